"""Worker processes on this machine, one a device slot: persistent, pinned to their threads, replaced when they die.

They come from a fork server that has imported torch and has never computed with it (forking a process that has used
autograd hangs), so a worker starts in some 25 ms, and from nothing of the user's program: no `if __name__` is needed.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

from nas.evaluate import Evaluator
from nas.executor import JobFailed, T, Workers

PRELOAD = ["torch", "torch._dynamo", "safetensors.torch", "nas.executors.local", "nas.evaluate", "nas.train.loop"]
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # spinning OpenMP threads stalled two processes for half a minute
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),  # glibc else maps and faults in every large gradient anew: half the speed
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
_STARTING = threading.RLock()  # a start changes the environment and hides the main module for a moment


class Local(Workers):
    """One worker process for each of `devices`. `evaluator.prepare(device)` runs once in each.

    A worker that dies costs its own job alone, and is replaced.
    """

    def __init__(self, evaluator: Evaluator, devices: Sequence[str], threads: int = 1) -> None:
        self._evaluator, self._threads = evaluator, threads
        self._jobs: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._processes: dict[int, Any] = {}
        self._closed = self._killed = False
        self._failure = "the executor was shut down"
        self.slots = len(devices)
        self._servers = [
            threading.Thread(target=self._serve, args=(slot, device), daemon=True)
            for slot, device in enumerate(devices)
        ]
        for server in self._servers:
            server.start()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        if self._closed:
            raise RuntimeError("the executor has been shut down")
        future: Future[T] = Future()
        try:
            self._jobs.put((future, bytes(ForkingPickler.dumps((fn, args, kwargs)))))
        except Exception as error:  # pickle raises what it likes
            future.set_exception(JobFailed(f"the job cannot be sent to a worker: {error}"))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let running jobs end, or with `cancel_futures` kill their workers."""
        if self._closed:
            return
        self._closed = True
        for _ in self._servers:
            self._jobs.put(None)
        if cancel_futures:
            with _STARTING:
                self._killed = True
                for process in self._processes.values():
                    process.kill()
        if wait:
            for server in self._servers:
                server.join()

    def _serve(self, slot: int, device: str) -> None:
        """Thread of one slot: hand jobs to its process, one at a time, and start it again when it has died."""
        worker: tuple[Any, Connection] | None = self._start(slot, device)
        while item := self._jobs.get():
            future, job = item
            if self._killed:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            if worker is None or not _sent(worker[1], job):  # it died while idle: that costs nothing
                worker = self._start(slot, device)
                if worker is None or not _sent(worker[1], job):
                    future.set_exception(JobFailed(self._failure))
                    continue
            try:
                succeeded, result = worker[1].recv()
            except (EOFError, OSError):
                worker[0].join()
                future.set_exception(JobFailed(_epitaph(slot, worker[0].exitcode)))
                worker = None
                continue
            if succeeded:
                future.set_result(result)
            else:
                future.set_exception(JobFailed(*result))
        if worker is not None:
            worker[1].close()
            worker[0].join()

    def _start(self, slot: int, device: str) -> tuple[Any, Connection] | None:
        with _STARTING:
            if self._killed:
                return None
            here, there = multiprocessing.Pipe()
            arguments = (there, self._evaluator, device, self._threads)
            context: Any = multiprocessing.get_context("forkserver" if "forkserver" in _methods() else "spawn")
            process = context.Process(target=_work, args=arguments, daemon=True, name=f"nas-worker-{slot}")
            warm(self._threads)
            try:
                with _without_main(), _environment(OMP_NUM_THREADS=str(self._threads), **ENVIRONMENT):
                    process.start()
            except Exception as error:  # an evaluator that cannot be pickled, no memory for a process
                self._failure = f"no worker could be started: {error}"
                return None
            finally:
                there.close()
            self._processes[slot] = process
            return process, here


def _sent(connection: Connection, job: bytes) -> bool:
    """Whether the worker has taken the job."""
    try:
        connection.send_bytes(job)
        connection.recv_bytes()
    except (EOFError, OSError):
        return False
    return True


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
    prepared = False
    while True:
        try:
            job = connection.recv_bytes()
            connection.send_bytes(b"taken")
        except (EOFError, OSError):
            return
        try:
            if not prepared:
                evaluator.prepare(device)
                prepared = True
            fn, args, kwargs = pickle.loads(job)  # noqa: S301  # from our own coordinator
            reply = ForkingPickler.dumps((True, fn(evaluator, *args, **kwargs)))
        except Exception as error:
            failure = JobFailed.of(error)
            reply = ForkingPickler.dumps((False, (str(failure), failure.trace, failure.storage)))
        try:
            connection.send_bytes(reply)
        except OSError:
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
