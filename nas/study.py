"""The loop: ask whenever a worker is free, log what comes back, tell the strategy. No barrier, no generation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count, takewhile
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from nas.events import Broadcast, Monitor
from nas.executor import Workers
from nas.job import Job
from nas.live import by_hand
from nas.objectives import ACCURACY, of_copy
from nas.pace import Allowance, Pacing
from nas.packs import WAITING, Alike, Flight, Result, Waiting, apart, concluded
from nas.space import Candidate
from nas.store import TrialLog
from nas.strategy import Exhausted, Strategy
from nas.trial import Trial

GRACE = 0.1  # share of the time limit that running trials may take beyond it
HOPELESS = 100  # trials that have failed, and none has a result
MOMENT = 0.05  # seconds of chores between two results, and of results between two waits for the disk
PACK = 0.5  # of the time that is left, what a pack of trainings may take
COPIES = 1000  # trials in a row without a new candidate: the strategy has converged, or there is none
Key = tuple[Any, ...]


@dataclass
class Study:
    """One search. `known` trials of earlier searches on the same task are not trained again either."""

    strategy: Strategy
    log: TrialLog
    executor: Workers
    seed: int
    trials: int | None = None
    seconds: float | None = None
    known: Sequence[Trial] = ()
    monitors: Sequence[Monitor] = ()
    weights_of: Callable[[int], Path] | None = None  # where trial n leaves its weights, should it be the best so far
    keep_all: bool = False  # leave the weights of every trial, not only of those that are the best so far
    live_of: Callable[[int], Path] | None = None  # where it writes what it has to say while it runs
    pace: Pacing | None = None
    checkpoint_of: Callable[[int], Path] | None = None  # where it leaves what a later trial may go on from
    allowance: Allowance | None = None
    alike: Alike = apart  # which candidates a worker trains together
    objectives: Sequence[str] = (ACCURACY,)
    shared: Path | None = None  # weights that all of this search are evaluated with, which then trains none
    chores: Iterator[None] = field(default_factory=lambda: iter(()))  # what is done bit by bit while workers are busy
    _copying: dict[Key, list[Job]] = field(default_factory=dict, init=False)  # candidates like one that is on its way

    def run(self) -> list[Trial]:
        """Search until the limit of trials or of time; told trials are in `log` at any moment, whatever happens."""
        self._began = time.monotonic() - self.log.elapsed
        self._finished = {t.candidate.key: t for t in [*self.known, *self.log.trials] if t.values}
        taken = {t.number for t in self.log.trials}
        self._numbers: Iterator[int] = (n for n in count() if n not in taken)
        self._asked = len(taken)
        self._failed = sum(t.error is not None for t in self.log.trials)
        self._sync_at = 0.0  # when the disk is waited for again
        self._copies = len(list(takewhile(lambda t: t.copy_of is not None, reversed(self.log.trials))))
        self._exhausted = ""  # why the strategy has nothing to ask for, until it is told of another trial
        self._trained, self._spent = 0, 0.0  # trials that have a value of their own, and the seconds they took
        self._bests: dict[float, float] = {}  # of each share of a schedule that trainings have come to
        self._paused: dict[Key, Trial] = {}  # of each candidate that may be trained on, how far it has come
        self._waiting, self._flight = Waiting(self.alike), Flight(self.executor)
        for trial in self.log.trials:  # resume is replay
            self._learn(trial)
        self._watching = Broadcast(self.monitors)
        self._watching.started(self.log.trials)
        try:
            self._loop()
        except KeyboardInterrupt:  # what had finished is not lost
            told = {trial.number for trial in self.log.trials}
            for job, result in self._flight.landed(0):
                if job.number not in told:
                    self._tell(job, result)
            raise
        finally:
            self._watching.finished()
        return self.log.trials

    def _loop(self) -> None:
        while True:
            while len(self._flight) < self.executor.slots and self._gather():
                self._send(self._waiting.take(self._most(), self._fair()))
            if not self._flight or self._over():
                return
            self._do_chores()
            self._collect()

    def _do_chores(self) -> None:
        """What takes its time, while workers are busy: the disk is waited for once a moment, not once a trial."""
        now = time.monotonic()
        if now >= self._sync_at:
            self.log.sync()
            self._sync_at = now + MOMENT
        end = time.monotonic() + MOMENT
        for _ in self.chores:
            if time.monotonic() > end:
                break

    def _gather(self) -> bool:
        """Ask for as many as the next pack can take, and the strategy be asked for; whether there is any."""
        while self._may_ask() and (not self._waiting or (self._wanting() and len(self._pending()) < self._ahead)):
            self._ask()
        return bool(self._waiting) and not self._closed()

    def _wanting(self) -> bool:
        """Whether the next pack could be larger; or the last are shared out, and it matters what they all cost."""
        few = self.trials is not None and self.trials - self._asked + len(self._waiting) <= WAITING
        shared = few and self._ahead == inf and not self._waiting.alone
        return shared or self._waiting.hungry(self._most(), self._fair())

    @property
    def _ahead(self) -> float:
        return self.strategy.ahead()

    def _most(self) -> float:
        """How many may go together, so that a pack does not outlast the search.

        The very first goes alone, where the strategy learns from it: there is a result soon.
        """
        if not self._bests and not self._flight and self._ahead < inf:
            return 1
        if self.seconds is None:
            return inf
        left = self.seconds - self.elapsed()
        return max(1, int(PACK * left / self._spent * self._trained)) if self._spent else 1

    def _fair(self) -> float:
        """A worker's share, in jobs, of those that are trained, that wait and that may be asked for."""
        more = 0.0
        if self._may_ask():
            more = self._ahead - len(self._pending())
            more = max(1.0, more if self.trials is None else min(more, self.trials - self._asked))
        return (len(self._flight.jobs) + len(self._waiting) + more) / self.executor.slots

    def _may_ask(self) -> bool:
        enough = self.trials is not None and self._asked >= self.trials
        hopeless = self._failed >= HOPELESS and not self._bests
        spent = self.allowance is not None and not self.allowance.left(len(self._flight.jobs) + len(self._waiting))
        return not (enough or spent or hopeless or self.nothing_left or self._closed())

    @property
    def nothing_left(self) -> str:
        """Why there is no new candidate, in words; empty where there may be one."""
        if self._copies < COPIES or self.strategy.exhaustive:
            return self._exhausted
        return f"the last {COPIES:,} candidates were trained before; another strategy or seed may find others"

    def _over(self) -> bool:
        """Past the grace; but a search that has no result yet waits for its first."""
        return self._late(GRACE) and bool(self._bests)

    def _closed(self) -> bool:
        """Past the time for new trials; the first one is begun in any case."""
        return self._late(0.0) and bool(self._bests or self._flight or self._failed)

    def _late(self, grace: float) -> bool:
        return self.seconds is not None and self.elapsed() >= self.seconds * (1 + grace)

    def elapsed(self) -> float:
        """Seconds of search, all sessions together."""
        return time.monotonic() - self._began

    def _ask(self) -> None:
        number = next(self._numbers)
        rng = np.random.default_rng((self.seed, number))
        try:
            candidate: Any = self.strategy.ask(rng, self._pending())
        except Exhausted as error:
            self._numbers, self._exhausted = chain([number], self._numbers), str(error) or "no candidate is left"
            return
        if not isinstance(candidate, Candidate):
            name = type(self.strategy).__name__
            raise ValueError(f"{name}.ask() must return a candidate, such as self.space.sample(rng), got {candidate!r}")
        if self.pace is not None:
            candidate = self.pace(candidate)
        seed = int(np.random.SeedSequence((self.seed, number, 1)).generate_state(1)[0])
        weights, live = (of(number) if of else None for of in (self.weights_of, self.live_of))
        told = Job(number, candidate, seed, weights, live=live, order=self.seed, shared=self.shared)
        job = self._segment(told)
        self._asked += 1
        twin = self._finished.get(candidate.key)
        self._copies += 1
        if twin is not None:
            self._tell(job, twin)
        elif candidate.key in self._copying:
            self._copying[candidate.key].append(job)
        else:
            self._copies, self._copying[candidate.key] = 0, []
            self._waiting.add(job)

    def _pending(self) -> list[Candidate]:
        copies = (job for jobs in self._copying.values() for job in jobs)
        return [job.candidate for job in (*self._flight.jobs, *self._waiting.jobs, *copies)]

    def _segment(self, job: Job) -> Job:
        """The job as a segment of a longer training: with the seed and the checkpoint of the one before it."""
        candidate = job.candidate
        if candidate.horizon is None:
            return job
        of: Callable[[int], Path | None] = self.checkpoint_of or (lambda number: None)
        after = of(job.number) if candidate.progress < 1 else None
        begun = self._paused.get(candidate.lineage)
        if begun is None:
            return replace(job, after=after)
        return replace(job, seed=begun.seed, before=of(begun.number), after=after)

    def _beat(self, candidate: Candidate) -> float:
        """The value from which it would be the best so far, as `best_first` ranks."""
        further = any(progress > candidate.progress for progress in self._bests)
        return float("inf") if further else self._bests.get(candidate.progress, float("-inf"))

    def _send(self, jobs: Sequence[Job]) -> None:
        self._flight.send([replace(j, beat=float("-inf") if self.keep_all else self._beat(j.candidate)) for j in jobs])

    def _collect(self) -> None:
        """Wait for a job to end, and tell the strategy of all that have."""
        timeout = None
        if self.seconds is not None and self._bests:
            timeout = max(0.0, self.seconds * (1 + GRACE) - self.elapsed())
        if not self.log.synced:
            timeout = MOMENT if timeout is None else min(timeout, MOMENT)
        for job, result in self._flight.landed(timeout):
            trial = self._tell(job, result)
            copies = self._copying.pop(job.candidate.key)
            if trial.values:
                for copy in copies:
                    self._tell(copy, trial)
            elif by_hand(trial.error):  # whoever stopped it meant the network, not its first copy
                for copy in copies:
                    self._tell(copy, result)
            elif copies:  # the failure may have been the worker's: the next one tries for itself
                self._copying[job.candidate.key] = copies[1:]
                self._send(copies[:1])

    def _tell(self, job: Job, result: Result | Trial) -> Trial:
        ended, trace = round(time.time(), 3), ""
        trial = Trial(job.number, job.candidate, job.seed, elapsed=self.elapsed(), ended=ended)
        if isinstance(result, Trial):
            cost = {"epochs": 0, "seconds": 0.0}
            metrics, curve = {**result.metrics, **cost}, result.curve
            original = result.number if result.copy_of is None else result.copy_of
            values = of_copy(result.values, trial.candidate.architecture, self.objectives)
            trial = replace(trial, values=values, metrics=metrics, curve=curve, copy_of=original)
        else:
            trial, trace = concluded(trial, result)
        self.log.append(trial)
        if trial.values:
            self._finished.setdefault(job.candidate.key, trial)
        self._learn(trial)
        self._watching.told(trial)
        if trial.error is not None:
            self._failed += 1
            self._watching.failed(trial, trace)
        return trial

    def _learn(self, trial: Trial) -> None:
        """What a told trial changes, in this session or replayed from one before."""
        candidate = trial.candidate
        if trial.values:
            self._bests[candidate.progress] = max(self._bests.get(candidate.progress, trial.value), trial.value)
        if trial.values and trial.copy_of is None and candidate.horizon is not None:
            begun = self._paused.get(candidate.lineage)
            if begun is None or begun.candidate.fidelity < candidate.fidelity:
                self._paused[candidate.lineage] = trial
        if trial.values and trial.copy_of is None:
            self._trained += 1
            self._spent += trial.metrics.get("seconds", 0.0)
        self.strategy.tell(trial)
        self._exhausted = ""
        for learner in (self.pace, self.allowance):
            if learner is not None:
                learner.told(trial)
