"""Where jobs run: the verbs of `concurrent.futures`, on workers that hold an evaluator."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


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


class Workers(Executor):
    """An executor of `slots` workers, each with an evaluator prepared once, before its first job.

    A job that raises costs itself alone: its future has a `JobFailed`.
    """

    slots: int

    @abstractmethod
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn(evaluator, *args)` on a free worker; `fn` is a function that can be imported."""
