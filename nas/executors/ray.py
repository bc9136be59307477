"""A Ray cluster, of one machine or of many: one actor a slot, each holding the evaluator.

The evaluator, and so the data, lies in Ray's object store, which brings it to each machine once; actors map its arrays
into their memory. A worker that is lost, with its machine or alone, is replaced as soon as there is room for another;
its job goes to whoever is free, and has failed once it has lost `LIVES` of them.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.devices import cores
from nas.executor import Backend, JobFailed, Workers
from nas.executors._parcel import Folders, Parcel, opened, put_back, unseen
from nas.executors._reply import Held, Reply
from nas.executors._slots import Died, Slots, Worker
from nas.executors.local import ENVIRONMENT
from nas.extras import library, need
from nas.job import Evaluator

LIVES = 3  # workers lost with a job, after which it is the job's fault
ANSWER = 10.0  # seconds for a cluster to answer at its address
FULL = 60.0  # seconds that a worker waits for room before that is said
LOOK = 0.2  # seconds between two looks whether a worker that waits for room is still wanted
QUIET = {  # unless the user says otherwise
    "RAY_USAGE_STATS_ENABLED": "0",  # a search tells nobody of itself unasked
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what becomes of workers is in the log of trials, not on standard output
}


class Cluster(Backend):
    """A cluster by its address, `auto` for that of this machine; without one Ray is started here, for this search."""

    def __init__(self, *, address: str = "") -> None:
        self._address = address or os.environ.get("RAY_ADDRESS", "") or "local"
        self._ours = False
        self._put: tuple[Evaluator, Any] | None = None

    def open(self, device: str, workers: int | str, per_gpu: int) -> list[str]:
        need("executor ray", "ray", "ray")
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)  # read when ray is imported
        if ":" in device:
            raise ValueError(f"--device {device}: Ray chooses among the GPUs of a cluster; use --device cuda")
        if not _ray().is_initialized():  # else the user's own program has it
            self._connect(0 if workers == "auto" else int(workers))
        nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
        gpus = sum(int(node.get("GPU", 0)) for node in nodes) if device != "cpu" else 0
        if device == "cuda" and not gpus:
            raise ValueError("--device cuda: the cluster shows no GPU; use --device cpu or auto")
        self._share = 1 / per_gpu
        self._widest = max(int(node.get("CPU", 0)) for node in nodes)
        found = gpus * per_gpu or sum(int(node.get("CPU", 0)) for node in nodes)
        return ["cuda" if gpus else "cpu"] * (max(1, found) if workers == "auto" else int(workers))

    def workers(
        self, evaluator: Evaluator, devices: Sequence[str], threads: int = 1, timeout: float | None = None
    ) -> Workers:
        if self._put is None or self._put[0] is not evaluator:
            self._put = evaluator, _ray().put(evaluator)
        on_gpu = devices[0] != "cpu"
        threads = max(1, min(threads, self._widest))  # more are on no machine
        resources = {"num_cpus": 0, "num_gpus": self._share} if on_gpu else {"num_cpus": threads, "num_gpus": 0}
        return Actors(self._put[1], devices, threads, resources, timeout)

    def close(self) -> None:
        self._put = None
        if self._ours:
            _ray().shutdown()

    def _connect(self, workers: int) -> None:
        here = {"include_dashboard": False, "num_cpus": max(cores(), workers)} if self._address == "local" else {}
        found = re.fullmatch(r"(?:ray://)?(.+):(\d+)", self._address)
        if found is None and self._address not in ("auto", "local"):
            raise ValueError(f"the address of a Ray cluster is auto or HOST:6379, got {self._address!r}")
        try:
            if found is not None:  # Ray itself tries for five minutes
                socket.create_connection((found[1], int(found[2])), timeout=ANSWER).close()
            with _own_signals():
                _ray().init(address=self._address, log_to_driver=False, logging_level=logging.ERROR, **here)
        except (OSError, ValueError, RuntimeError) as error:
            said = str(error).partition("\n")[0]
            raise ValueError(f"no Ray cluster at {self._address} ({said}); start one with: ray start --head") from None
        self._ours = True


class Actors(Slots):
    """An actor for each of `devices`; `held` is the evaluator in the object store."""

    lives = LIVES

    def __init__(
        self, held: Any, devices: Sequence[str], threads: int, resources: Mapping[str, float], timeout: float | None
    ) -> None:
        variables = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": _own_paths(), **ENVIRONMENT}
        self._arguments = held, devices[0], threads
        self._options = {
            **resources,
            "max_restarts": 0,  # another actor takes the place of one that has died
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": variables},
        }
        super().__init__(len(devices), timeout)

    def pack(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Parcel:
        return Parcel.of((fn, args, kwargs))

    def start(self, slot: int) -> Worker | None:
        ray, failure, tell = _ray(), "", time.monotonic() + FULL
        for _ in range(LIVES):
            actor = ray.remote(_Actor).options(**self._options, name=None).remote(*self._arguments)
            ready = actor.unseen.remote({})
            while not ray.wait([ready], timeout=LOOK)[0]:  # until the cluster has room for it
                if self.over:
                    ray.kill(actor)
                    return None
                if time.monotonic() > tell:
                    tell = float("inf")
                    logging.getLogger("nas").warning("the cluster has no room for worker %d; it waits", slot)
            try:
                ray.get(ready)
                return _Remote(actor)
            except ray.exceptions.RayError as error:
                failure = _cause(error)
        raise JobFailed(f"no worker could be started: {failure}")

    def epitaph(self, death: Died) -> str:
        hint = "it may need more memory than there is"
        return f"{LIVES} workers were lost with it, the last because {death}; {hint}"


class _Remote(Worker):
    """An actor, seen from here."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._replies: Any = None

    def send(self, job: Parcel) -> bool:
        try:
            elsewhere = job.files(_ray().get(self._actor.unseen.remote(job.folders)))
            self._replies = self._actor.run.options(num_returns="streaming").remote(job.data, elsewhere)
        except _ray().exceptions.RayError:
            return False
        return True

    def reply(self, timeout: float | None) -> Reply | None:
        ray = _ray()
        if not ray.wait([self._replies], timeout=timeout)[0]:
            return None
        try:
            data, written = ray.get(next(self._replies))
        except ray.exceptions.RayError as error:
            raise Died(_cause(error)) from None
        try:
            put_back(written)
        except OSError as error:
            return Reply.of(error)
        return Reply.read(data)

    def kill(self) -> None:
        _ray().kill(self._actor)

    def close(self) -> None:
        self.kill()


class _Actor:
    """What runs on a machine of the cluster."""

    def __init__(self, evaluator: Evaluator, device: str, threads: int) -> None:
        import warnings

        import torch

        torch.set_num_threads(threads)
        # arrays in the object store cannot be written, and nobody does
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        self._held = Held(evaluator, device)

    def unseen(self, folders: Mapping[str, int | None]) -> list[str]:
        return unseen(folders)

    def run(self, job: bytes, elsewhere: Folders) -> Iterator[tuple[bytes, Folders]]:
        yield from opened(self._held, job, elsewhere)


def _ray() -> Any:
    return library("ray")


def _cause(error: Exception) -> str:
    """What Ray knows of the end of a worker, without its paragraphs of advice."""
    words = " ".join(str(error).split())
    if "running low on memory" in words or type(error).__name__ == "OutOfMemoryError":
        return "its machine ran out of memory"
    if "creation task" in words:  # a traceback
        return str(error).strip().rpartition("\n")[2]
    found = re.search(r"The actor (?:is dead|died) because (.+?)[.:](?: |$)", words)
    return found.group(1) if found else words[:200]


def _own_paths() -> str:
    """Where this program finds modules beyond those installed; workers look there too, and where they would anyway."""
    paths = [Path(path).absolute() for path in sys.path]
    own = [str(path) for path in paths if not any(path.is_relative_to(root) for root in (sys.prefix, sys.base_prefix))]
    return os.pathsep.join([*own, "${PYTHONPATH}"])


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray would end this process on SIGTERM at once, and nothing would be saved."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
