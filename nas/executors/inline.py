"""The calling process itself, one job at a time: workers 0, and the test double of the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from nas.evaluate import Evaluator
from nas.executor import JobFailed, T, Workers


class Inline(Workers):
    """Runs a job when it is submitted."""

    slots = 1

    def __init__(self, evaluator: Evaluator, device: str = "cpu") -> None:
        self._evaluator, self._device, self._prepared = evaluator, device, False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            if not self._prepared:
                self._evaluator.prepare(self._device)
                self._prepared = True
            future.set_result(fn(self._evaluator, *args, **kwargs))
        except Exception as error:
            future.set_exception(JobFailed.of(error))
        return future
