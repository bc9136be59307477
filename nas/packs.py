"""Jobs that one worker trains together: which of those that wait go together, and what comes back of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue

from nas.executor import Workers
from nas.job import Job, Outcome, evaluate_all
from nas.space import Candidate
from nas.trial import Trial, finite

FULL = 1 + 1e-9  # of a pack: a job of which so many fit takes one part in so many of it
WAITING = 64  # jobs that are kept waiting, at most, so that like finds like

Alike = Callable[[Candidate], tuple[Hashable, int]]  # what candidates must share to go together, and how many may
Entry = tuple[Job, Hashable, int]
Result = Outcome | BaseException


def apart(candidate: Candidate) -> tuple[Hashable, int]:
    """Every candidate by itself."""
    return None, 1


def concluded(trial: Trial, result: Result) -> tuple[Trial, str]:
    """A trial with what came back of it, and the traceback where it has failed.

    Raises `OSError` where the disk has failed, which says nothing of the candidate.
    """
    if isinstance(result, BaseException):
        if getattr(result, "storage", False):
            raise OSError(str(result))
        return replace(trial, error=str(result) or type(result).__name__), getattr(result, "trace", "")
    if not result.values or not all(map(math.isfinite, result.values)):
        return replace(trial, error=f"an objective is missing, or not finite: {result.values}"), ""
    values, curve = tuple(map(float, result.values)), tuple(map(finite, result.curve))
    return replace(trial, values=values, metrics=finite(result.metrics), curve=curve), ""


class Waiting:
    """Jobs that wait for a worker, the oldest first."""

    def __init__(self, alike: Alike = apart) -> None:
        self._alike = alike
        self._jobs: list[Entry] = []

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def jobs(self) -> list[Job]:
        return [job for job, _, _ in self._jobs]

    def add(self, job: Job) -> None:
        self._jobs.append((job, *self._alike(job.candidate)))

    def hungry(self, most: float, workers: int = 1) -> bool:
        """Whether the next packs of so many workers could take more than there are."""
        if not self._jobs:
            return True
        _, kind, many = self._jobs[0]
        alike = [1 / entry[2] for entry in self._jobs if entry[1] == kind]
        room = sum(alike) + 1 / many <= workers * FULL
        return room and len(alike) < workers * most and len(self) < workers * WAITING

    def take(self, most: float, workers: int = 1) -> list[Job]:
        """The oldest job and those that go with it: `most` at most, and of all work the share of one of the workers."""
        share = sum(1 / many for _, _, many in self._jobs) / workers
        taken, left, filled = self._jobs[:1], list[Entry](), 1 / self._jobs[0][2]
        for entry in self._jobs[1:]:
            part = 1 / entry[2]
            fits = len(taken) < most and filled + part <= FULL and filled + part / 2 <= share
            if fits and entry[1] == taken[0][1]:
                taken.append(entry)
                filled += part
            else:
                left.append(entry)
        self._jobs = left
        return [job for job, _, _ in taken]


class Flight:
    """Packs that workers are busy with; what comes of a job is heard when it ends, whatever its pack still does."""

    def __init__(self, executor: Workers) -> None:
        self.executor = executor
        self._numbers = count()
        self._packs: dict[int, dict[Future[Outcome | Exception], Job]] = {}  # of each the jobs that have not ended
        self._ended: SimpleQueue[tuple[int, Future[Outcome | Exception]]] = SimpleQueue()
        self._landed: list[tuple[Job, Result]] = []  # what nobody has seen to

    def __len__(self) -> int:
        """Packs, of which a worker has one at a time."""
        return len(self._packs)

    @property
    def jobs(self) -> list[Job]:
        return [job for pack in self._packs.values() for job in pack.values()]

    def send(self, jobs: Sequence[Job]) -> None:
        number, futures = next(self._numbers), self.executor.stream(evaluate_all, jobs)
        self._packs[number] = dict(zip(futures, jobs, strict=True))
        for future in futures:
            future.add_done_callback(lambda ended: self._ended.put((number, ended)))

    def landed(self, timeout: float | None = None) -> Iterator[tuple[Job, Result]]:
        """Wait for a job to end; the results of all that have, by number. None in time: none.

        Whoever is interrupted at one of them is given it again, and those that follow, when asking the next time.
        """
        try:
            if not self._landed:
                self._landed += self._heard(*self._ended.get(timeout=timeout))
            while True:
                self._landed += self._heard(*self._ended.get_nowait())
        except Empty:
            self._landed.sort(key=lambda pair: pair[0].number)
        while self._landed:
            yield self._landed[0]
            del self._landed[0]

    def _heard(self, number: int, future: Future[Outcome | Exception]) -> list[tuple[Job, Result]]:
        """What the end of a future says: of its job, or where its worker has failed, of all that the pack still had."""
        pack = self._packs.get(number, {})
        if future not in pack:  # it has been seen to with others
            return []
        error = future.exception()
        if error is None:
            ended: list[tuple[Job, Result]] = [(pack.pop(future), future.result())]
            if not pack:
                del self._packs[number]
            return ended
        jobs = list(self._packs.pop(number).values())
        if len(jobs) == 1 or getattr(error, "storage", False):
            return [(job, error) for job in jobs]
        half = len(jobs) // 2  # one of them has taken the worker with it: which one is found by halves
        self.send(jobs[:half])
        self.send(jobs[half:])
        return []
