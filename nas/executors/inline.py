"""The calling process itself, one job at a time: workers 0, and the test double of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from nas.executor import Backend, JobFailed, T, Workers
from nas.executors._reply import Held, Reply
from nas.job import Evaluator


class Here(Backend):
    """No process of its own; so there is nothing to stop a job by, and `timeout` is not for it."""

    def workers(
        self, evaluator: Evaluator, devices: Sequence[str], threads: int = 1, timeout: float | None = None
    ) -> Workers:
        return Inline(evaluator, devices[0])


class Inline(Workers):
    """Runs a job when it is submitted."""

    slots = 1

    def __init__(self, evaluator: Evaluator, device: str = "cpu") -> None:
        self._held = Held(evaluator, device)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            reply = Reply(self._held.run(fn, args, kwargs))
        except Exception as error:
            reply = Reply.of(error)
        reply.settle(future)
        return future

    def stream(self, fn: Callable[..., Iterable[tuple[int, T]]], jobs: Sequence[Any]) -> list[Future[T]]:
        futures: list[Future[T]] = [Future() for _ in jobs]
        try:
            for position, result in self._held.run(fn, (jobs,), {}):
                futures[position].set_result(result)
        except Exception as error:
            failure = JobFailed.of(error)
            for future in futures:
                if not future.done():
                    future.set_exception(failure)
        return futures
