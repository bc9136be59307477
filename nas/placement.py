"""Where a search trains: what its workers run on, opened once, and the device of each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nas import plugins
from nas.executor import Backend, Workers
from nas.job import Evaluator
from nas.options import Options

FOLDER = "nas.executors"


@dataclass(frozen=True)
class Placement:
    """An open backend; `timeout` is that of a trial, in seconds."""

    backend: Backend
    devices: list[str]
    timeout: float | None = None

    @classmethod
    @contextmanager
    def of(cls, options: Options) -> Iterator[Placement]:
        """As the options have it. Raises `ValueError` where that cannot be had."""
        name = "inline" if options.workers == 0 else options.executor
        backend: Backend = plugins.make(FOLDER, name, Backend)
        try:
            devices = backend.open(options.device, options.workers, options.workers_per_gpu)
            yield cls(backend, devices, options.trial_timeout)
        finally:
            backend.close()

    def workers(self, evaluator: Evaluator, number: int | None = None, threads: int = 1, timed: bool = True) -> Workers:
        """A worker on each device, or on the first `number`; `timed`: their jobs are trials, which may be stopped."""
        return self.backend.workers(evaluator, self.devices[:number], threads, self.timeout if timed else None)
