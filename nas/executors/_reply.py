"""What every worker does with a job, whatever it runs on: prepare its evaluator once, compute, reply."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from nas.executor import JobFailed, spoils
from nas.job import Evaluator

Buffer = bytes | memoryview


class Reply(NamedTuple):
    """The result of a job, or why it failed. `spoilt`: the process it ran in is of no more use.

    `position`: of what is done together the one that has ended; None for what ends the whole.
    """

    result: Any = None
    failure: JobFailed | None = None
    spoilt: bool = False
    position: int | None = None

    @classmethod
    def of(cls, error: Exception) -> Reply:
        """To a job that has raised the exception that is being handled."""
        return cls(failure=JobFailed.of(error), spoilt=spoils(error))

    @classmethod
    def read(cls, data: bytes) -> Reply:
        """As it was sent; a failure where it cannot be read here."""
        try:
            reply = pickle.loads(data)  # noqa: S301  # from our own worker
            if not isinstance(reply, cls):
                raise TypeError(f"the worker runs another version of nas: it has sent {reply!r:.80}")
            return reply
        except Exception as error:  # a module that only the worker has, for example
            return cls.of(error)

    def settle(self, future: Future[Any]) -> None:
        """End the job's future."""
        if self.failure is None:
            future.set_result(self.result)
        else:
            future.set_exception(self.failure)


class Held:
    """An evaluator as a worker holds it."""

    def __init__(self, evaluator: Evaluator, device: str) -> None:
        self._evaluator, self._device, self._prepared = evaluator, device, False

    def run(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a job comes to; raises what it raises."""
        if not self._prepared:
            self._evaluator.prepare(self._device)
            self._prepared = True
        return fn(self._evaluator, *args, **kwargs)

    def answer(self, job: bytes, loads: Callable[[bytes], Any], dumps: Callable[[Reply], Buffer]) -> Iterator[Buffer]:
        """The replies to a job, all as they travel; what cannot be read or sent is a failure that says so."""
        spoilt = False
        try:
            result = self.run(*loads(job))
            if isinstance(result, Generator):  # of several that are done together
                for position, found in result:
                    spoilt = spoilt or (isinstance(found, Exception) and spoils(found))
                    yield dumps(Reply(found, position=position))
                result = None
            yield dumps(Reply(result, spoilt=spoilt or self._spoilt))
        except Exception as error:
            reply = Reply.of(error)
            yield dumps(reply._replace(spoilt=reply.spoilt or self._spoilt))

    @property
    def _spoilt(self) -> bool:
        """Whether the evaluator says so, though nothing may have failed."""
        return bool(getattr(self._evaluator, "spoilt", False))
