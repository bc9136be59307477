"""Where jobs run: the verbs of `concurrent.futures`, on workers that hold an evaluator, and what those run on."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from nas.devices import slots
from nas.job import Evaluator

T = TypeVar("T")
STICKY = ("CUDA error", "cuDNN error", "CUBLAS_STATUS")  # in the words of torch


class JobFailed(RuntimeError):
    """A job raised, or its worker died; `trace` is the worker's traceback, '' where it had no time for one.

    `storage`: it was an `OSError`, a full disk for example, which says nothing of the candidate.
    """

    def __init__(self, message: str, trace: str = "", storage: bool = False) -> None:
        super().__init__(message)
        self.trace, self.storage = trace, storage

    @classmethod
    def of(cls, error: BaseException) -> JobFailed:
        """The failure that an exception is."""
        if isinstance(error, JobFailed):
            return error
        trace = "".join(traceback.format_exception(error))
        return cls(f"{type(error).__name__}: {error}", trace, isinstance(error, OSError))

    def __reduce__(self) -> tuple[type[JobFailed], tuple[str, str, bool]]:
        return type(self), (str(self), self.trace, self.storage)


def spoils(error: BaseException | None) -> bool:
    """Whether no CUDA call of this process can succeed any more: such errors stay, a lack of memory does not."""
    while error is not None:
        kinds = [kind.__name__ for kind in type(error).__mro__]  # by name: what has no CUDA need not import torch
        sticky = isinstance(error, RuntimeError) and any(words in str(error) for words in STICKY)
        if "AcceleratorError" in kinds or (sticky and "OutOfMemoryError" not in kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


class Workers(Executor):
    """An executor of `slots` workers, each with an evaluator prepared once, before its first job.

    A job that raises, that takes longer than it may, or that ends its worker costs itself alone: its future has a
    `JobFailed`.
    """

    slots: int

    @abstractmethod
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn(evaluator, *args)` on a free worker; `fn` is a function that can be imported."""

    def stream(self, fn: Callable[..., Iterable[tuple[int, T]]], jobs: Sequence[Any]) -> list[Future[T]]:
        """Run `fn(evaluator, jobs)`, which gives (position, result) as each of the jobs ends: a future for each.

        What `fn` raises, and the end of the worker, is the failure of those that have not ended. Where an executor
        knows no better, all come with the last of them.
        """
        futures: list[Future[T]] = [Future() for _ in jobs]
        self.submit(_listed, fn, jobs).add_done_callback(lambda whole: _settle(futures, whole))
        return futures


def _listed(evaluator: Evaluator, fn: Callable[..., Iterable[tuple[int, T]]], jobs: Sequence[Any]) -> dict[int, T]:
    return dict(fn(evaluator, jobs))


def _settle(futures: Sequence[Future[T]], whole: Future[dict[int, T]]) -> None:
    """End the futures of several as that of the whole has ended."""
    for position, future in enumerate(futures):
        if whole.cancelled():
            future.cancel()
        elif (error := whole.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(whole.result()[position])


class Backend(ABC):
    """What workers run on. A file in `nas/executors/` with a subclass is a name for `--executor`.

    Keyword arguments of its constructor are what may follow the name: `--executor ray:address=auto`.
    """

    def open(self, device: str, workers: int | str, per_gpu: int) -> list[str]:
        """Get ready, once a search: the device of every worker, as the options ask for them.

        Raises `ValueError`, before anything is trained, where they cannot be had.
        """
        return slots(device, workers, per_gpu)

    @abstractmethod
    def workers(
        self, evaluator: Evaluator, devices: Sequence[str], threads: int = 1, timeout: float | None = None
    ) -> Workers:
        """A worker on each of `devices`; a job that takes more than `timeout` seconds is stopped."""

    def close(self) -> None:  # noqa: B027  # most have nothing to undo
        """Undo `open`; there are no workers any more."""
