"""Final training: the best networks again, from scratch, on the whole training part and for longer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nas.events import Monitor
from nas.executor import Workers
from nas.finalists import Again
from nas.job import Job, Teacher
from nas.live import Sweep
from nas.packs import Alike, Flight, Result, Waiting, apart, concluded
from nas.recipe import Recipe
from nas.space import Candidate
from nas.store import TrialLog
from nas.trial import Trial

Key = tuple[str, Recipe, float, float]


@dataclass
class FinalTraining:
    """Trains finalists and records them in `log`, where their fidelity tells for how many epochs; done once each.

    Failures are written to the file `errors`.
    """

    log: TrialLog
    executor: Workers
    seed: int
    epochs: int  # of the search, by which a fidelity is 1
    weights_of: Callable[[int], Path]
    live_of: Callable[[int], Path]
    errors: Path
    watching: Monitor = field(default_factory=Monitor)
    snapshots: bool = False
    teacher: Teacher | None = None
    alike: Alike = apart  # which candidates a worker trains together

    def run(self, chosen: Sequence[Again]) -> list[Trial]:
        """Train each network as often as it is to be; those of this log, failures too, are not repeated."""
        wanted = self._wanted(chosen)
        done = self._done(wanted)
        waiting, flight = Waiting(self.alike), Flight(self.executor)
        sweep = Sweep(self.live_of)
        sweep.finished()
        self.watching.started(self.log.trials)
        try:
            for number, candidate in enumerate(_missing(wanted, done)):
                waiting.add(self._job(candidate, number))
            while waiting or flight:
                while waiting and len(flight) < self.executor.slots:
                    fair = (len(waiting) + len(flight.jobs)) / self.executor.slots
                    flight.send(waiting.take(fair=fair))
                self.log.sync()
                for job, result in flight.landed():
                    done[job.candidate.key].append(self._record(job, result))
        except KeyboardInterrupt:  # what had finished is not lost
            told = {trial.number for trial in self.log.trials}
            for job, result in flight.landed(0):
                if job.number not in told:
                    self._record(job, result)
            raise
        finally:
            sweep.finished()
            self.watching.finished()
        return self.finished(chosen)

    def left(self, chosen: Sequence[Again]) -> int:
        """How many trainings `run` would do."""
        wanted = self._wanted(chosen)
        return len(_missing(wanted, self._done(wanted)))

    def finished(self, chosen: Sequence[Again]) -> list[Trial]:
        """The trainings of these networks that the log holds, for these epochs and by this teacher."""
        return [trial for trials in self._done(self._wanted(chosen)).values() for trial in trials]

    def _wanted(self, chosen: Sequence[Again]) -> list[Candidate]:
        return [c for again in chosen for c in [_candidate(again, self.epochs)] * again.seeds]

    def _done(self, wanted: Sequence[Candidate]) -> dict[Key, list[Trial]]:
        """Of each candidate its trainings so far, in the order of their numbers."""
        done: dict[Key, list[Trial]] = {candidate.key: [] for candidate in wanted}
        teacher = None if self.teacher is None else self.teacher.number
        for trial in sorted(self.log.trials, key=lambda trial: trial.number):
            if trial.candidate.key in done and trial.metrics.get("teacher") == teacher:
                done[trial.candidate.key].append(trial)
        return done

    def _job(self, candidate: Candidate, before: int) -> Job:
        number = max((t.number for t in self.log.trials), default=-1) + 1 + before
        seed = int(np.random.SeedSequence((self.seed, number, 2)).generate_state(1)[0])
        job = Job(number, candidate, seed, self.weights_of(number), final=True, live=self.live_of(number))
        return replace(job, snapshots=self.snapshots, teacher=self.teacher)

    def _record(self, job: Job, result: Result) -> Trial:
        trial, trace = concluded(Trial(job.number, job.candidate, job.seed, ended=round(time.time(), 3)), result)
        if trial.error is not None:
            with self.errors.open("a", encoding="utf-8") as file:
                file.write(f"final training {trial.number}: {trial.error}\n{trace}\n")
        self.log.append(trial)
        self.watching.told(trial)
        if trial.error is not None:
            self.watching.failed(trial, trace)
        return trial


def _candidate(again: Again, epochs: int) -> Candidate:
    return replace(again.trial.candidate, fidelity=again.epochs / epochs, horizon=None)


def _missing(wanted: Sequence[Candidate], done: Mapping[Key, Sequence[Trial]]) -> list[Candidate]:
    """Those that have not been trained as often as they are wanted: the first seed of all before the second of any."""
    asked: Counter[Key] = Counter()
    left: list[tuple[int, Candidate]] = []
    for candidate in wanted:
        asked[candidate.key] += 1
        if asked[candidate.key] > len(done[candidate.key]):
            left.append((asked[candidate.key], candidate))
    return [candidate for _, candidate in sorted(left, key=lambda pair: pair[0])]
