"""Jobs that one worker trains together: which of those that wait go together, and what comes back of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from math import inf, isfinite
from queue import Empty, SimpleQueue
from typing import NamedTuple

from nas.executor import Workers
from nas.job import Job, Outcome, evaluate_all
from nas.space import Candidate
from nas.trial import Trial, finite

ROUNDING = 1e-9  # of a sum of parts, of which 1 is a whole pack
WAITING = 64  # jobs that are kept waiting, at most, so that like finds like

Alike = Callable[[Candidate], tuple[Hashable, int]]  # what candidates must share to go together, and how many may
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
    if not result.values or not all(map(isfinite, result.values)):
        return replace(trial, error=f"an objective is missing, or not finite: {result.values}"), ""
    values, curve = tuple(map(float, result.values)), tuple(map(finite, result.curve))
    return replace(trial, values=values, metrics=finite(result.metrics), curve=curve), ""


class Entry(NamedTuple):
    """A job that waits: what others must share with it, its part of a pack, and its time by some measure."""

    job: Job
    kind: Hashable
    part: float
    time: float


class Waiting:
    """Jobs that wait for a worker, the oldest first."""

    def __init__(self, alike: Alike = apart) -> None:
        self._alike = alike
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def jobs(self) -> list[Job]:
        return [entry.job for entry in self._entries]

    def add(self, job: Job) -> None:
        kind, most = self._alike(job.candidate)
        steps = job.candidate.fidelity / job.candidate.recipe.batch_size  # a pack's members take as many
        self._entries.append(Entry(job, kind, 1 / most, steps / most))

    @property
    def alone(self) -> bool:
        """Whether the oldest goes with no other."""
        return bool(self._entries) and self._entries[0].part == 1

    def hungry(self, most: float = inf, fair: float = inf) -> bool:
        """Whether a pack as `take` would make it could be larger if there were more jobs."""
        if not self._entries:
            return True
        alike = [entry for entry in self._entries if entry.kind == self._entries[0].kind]
        filled = sum(entry.part for entry in alike)
        room = filled + filled / len(alike) <= 1 + ROUNDING
        small = len(alike) < most and sum(entry.time for entry in alike) < self._limit(fair)
        return room and small and len(self) < WAITING

    def take(self, most: float = inf, fair: float = inf) -> list[Job]:
        """The oldest job and those that go with it: `most` at most, and about the time of `fair` average jobs."""
        limit, taken, left = self._limit(fair), self._entries[:1], list[Entry]()
        filled, time = taken[0].part, taken[0].time
        for entry in self._entries[1:]:
            fits = len(taken) < most and filled + entry.part <= 1 + ROUNDING
            if fits and time + entry.time / 2 <= limit and entry.kind == taken[0].kind:  # to the nearest job
                taken.append(entry)
                filled, time = filled + entry.part, time + entry.time
            else:
                left.append(entry)
        self._entries = left
        return [entry.job for entry in taken]

    def _limit(self, fair: float) -> float:
        return fair * sum(entry.time for entry in self._entries) / len(self._entries)


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
        """Wait for a job to end, then the results of all that have, by number; none where `timeout` seconds pass first.

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
