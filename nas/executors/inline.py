"""The calling process itself: one job at a time, exceptions with their own traceback. Workers 0, and the test double."""

from __future__ import annotations

import traceback
from concurrent.futures import Executor, Future
from typing import Any

from nas.executors.local import TrialFailed


class Inline(Executor):
    """Runs a job when it is submitted."""

    slots = 1

    def __init__(self, evaluator: Any, device: str = "cpu") -> None:
        self._evaluator, self._device, self._prepared = evaluator, device, False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            if not self._prepared:
                self._evaluator.prepare(self._device)
                self._prepared = True
            call = self._evaluator if fn == "__call__" else getattr(self._evaluator, fn)
            future.set_result(call(*args))
        except Exception as error:
            future.set_exception(TrialFailed(f"{type(error).__name__}: {error}", traceback.format_exc()))
        return future
