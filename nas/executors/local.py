"""Worker processes on this machine, one a device slot: persistent, pinned to their threads, replaced when they die.

They come from a fork server that has imported torch and has never computed with it (forking a process that has used
autograd hangs), so a worker starts in some 25 ms, and from nothing of the user's program: no `if __name__` is needed.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

from nas.executor import Backend, JobFailed, Workers
from nas.executors._reply import Held, Reply
from nas.executors._slots import Died, Slots, Worker
from nas.job import Evaluator

# not torch._dynamo, which torch.optim asks for: it takes as long as torch, and a group needs none
PRELOAD = ["torch", "safetensors.torch", "nas.executors.local", "nas.evaluate", "nas.train.fused.group"]
PRELOAD += ["nas.train.sanity"]
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # spinning OpenMP threads stalled two processes for half a minute
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),  # glibc else maps and faults in every large gradient anew: half the speed
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
PATIENCE = 10.0  # seconds for a process to end: one that a driver holds does not, and is left behind
_STARTING = threading.RLock()  # a start changes the environment and hides the main module for a moment


class Processes(Backend):
    """Processes of this machine, pinned to its devices."""

    def open(self, device: str, workers: int | str, per_gpu: int) -> list[str]:
        devices = super().open(device, workers, per_gpu)
        warm()
        return devices

    def workers(
        self, evaluator: Evaluator, devices: Sequence[str], threads: int = 1, timeout: float | None = None
    ) -> Workers:
        return Local(evaluator, devices, threads, timeout)


class Local(Slots):
    """One worker process for each of `devices`. `evaluator.prepare(device)` runs once in each."""

    def __init__(
        self, evaluator: Evaluator, devices: Sequence[str], threads: int = 1, timeout: float | None = None
    ) -> None:
        self._evaluator, self._devices, self._threads = evaluator, devices, threads
        super().__init__(len(devices), timeout)

    def pack(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        return bytes(ForkingPickler.dumps((fn, args, kwargs)))

    def start(self, slot: int) -> Worker | None:
        with _STARTING:
            if self.over:
                return None
            here, there = multiprocessing.Pipe()
            arguments = (there, self._evaluator, self._devices[slot], self._threads)
            context: Any = multiprocessing.get_context("forkserver" if "forkserver" in _methods() else "spawn")
            process = context.Process(target=_work, args=arguments, daemon=True, name=f"nas-worker-{slot}")
            warm(self._threads)
            try:
                with _without_main(), _environment(OMP_NUM_THREADS=str(self._threads), **ENVIRONMENT):
                    process.start()
            except Exception as error:  # an evaluator that cannot be pickled, no memory for a process
                raise JobFailed(f"no worker could be started: {error}") from None
            finally:
                there.close()
            return _Process(slot, process, here)


class _Process(Worker):
    def __init__(self, slot: int, process: Any, connection: Connection) -> None:
        self._slot, self._process, self._connection = slot, process, connection

    def send(self, job: bytes) -> bool:
        try:
            self._connection.send_bytes(job)
            self._connection.recv_bytes()
        except (EOFError, OSError):
            return False
        return True

    def reply(self, timeout: float | None) -> Reply | None:
        try:
            return Reply.read(self._connection.recv_bytes()) if self._connection.poll(timeout) else None
        except (EOFError, OSError):
            with _STARTING:  # a start looks for ends too, and how a process has ended can be read once
                self._process.join(PATIENCE)
            raise Died(_epitaph(self._slot, self._process.exitcode)) from None

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._connection.close()
        self._process.join(PATIENCE)


def warm(threads: int = 1) -> None:
    """Start the fork server, which imports torch while the caller goes on."""
    if "forkserver" in _methods():
        resource_tracker.ensure_running()  # first: its start undoes the signal mask of the other's
        multiprocessing.set_forkserver_preload(PRELOAD)
        with _STARTING, _without_main(), _environment(OMP_NUM_THREADS=str(threads), **ENVIRONMENT):
            multiprocessing.forkserver.ensure_running()


def _work(connection: Connection, evaluator: Evaluator, device: str, threads: int) -> None:
    """Main loop of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    held = Held(evaluator, device)
    while True:
        try:
            job = connection.recv_bytes()
            connection.send_bytes(b"taken")
            for reply in held.answer(job, pickle.loads, ForkingPickler.dumps):
                connection.send_bytes(reply)
        except (EOFError, OSError):
            return


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _epitaph(slot: int, exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
        return f"worker {slot} was ended by {name}{hint}"
    return f"worker {slot} ended with exit status {exitcode}"


def _methods() -> list[str]:
    return multiprocessing.get_all_start_methods()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the user's main module, which a started process would otherwise import and so run a second time."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Variables that the fork server, and so every worker, reads before it imports torch; Ctrl-C is not for them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
