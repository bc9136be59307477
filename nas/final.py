"""Final training: the best networks again, from scratch, on the whole training part and for longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.evaluate import Job, Outcome, evaluate
from nas.executor import Workers
from nas.recipe import Recipe
from nas.store import TrialLog
from nas.trial import Trial, best_first, finite

FINALISTS = 2  # networks that are trained again, where no time limit says otherwise
MOST = 6  # where there is time for more
LONGER = 4  # times the epochs of the search
LONGEST = 12  # times, under a time limit, for a network that has not learned its training data by heart
BY_HEART = 0.03  # training accuracy above validation accuracy


def finalists(trials: Sequence[Trial], number: int = FINALISTS) -> list[Trial]:
    """The best trials, best first, of different networks or differently trained ones."""
    distinct: dict[tuple[str, Recipe], Trial] = {}
    for trial in best_first(trials):
        distinct.setdefault(trial.candidate.key[:2], trial)
    return list(distinct.values())[:number]


def affordable(
    trials: Sequence[Trial], seconds: float, slots: int, epochs: int, share: float
) -> list[tuple[Trial, int]]:
    """Which of the best trials to train again, and for how many epochs, in `seconds` of `slots` workers.

    A network that has learned its training data by heart gains little from more epochs, so more networks are tried
    instead. `epochs`: those of the search at most; `share`: of the training part, what was searched on.
    """
    chosen: list[tuple[Trial, int]] = []
    for number in range(min(slots, MOST), MOST + 1):
        best = finalists(trials, number)
        each = [_wanted(trial, epochs) for trial in best]
        fit = seconds * slots / sum(e * _epoch(t, share) for e, t in zip(each, best, strict=True)) if best else 0.0
        if chosen and (fit < 1 or len(best) < number):
            break
        chosen = [(t, max(epochs, int(e * min(1.0, fit)))) for e, t in zip(each, best, strict=True)]
    return chosen


def _wanted(trial: Trial, epochs: int) -> int:
    last = trial.curve[-1] if trial.curve else {}
    by_heart = last.get("train_accuracy", 0.0) > last.get("val_accuracy", 0.0) + BY_HEART
    return epochs * (LONGER if by_heart else LONGEST)


def _epoch(trial: Trial, share: float) -> float:
    """Seconds of an epoch on all of the training part."""
    return max(1e-9, trial.metrics["seconds"] / max(1.0, trial.metrics["epochs"]) / share)


@dataclass
class FinalTraining:
    """Trains finalists and records them in `log`, where their fidelity tells for how many epochs; done once each."""

    log: TrialLog
    executor: Workers
    seed: int
    weights_of: Callable[[int], Path]
    told: Callable[[Trial], None] = lambda trial: None

    def run(self, chosen: Sequence[tuple[Trial, float]]) -> list[Trial]:
        """Train each network with its fidelity. Trials of this log, those finished before among them, in that order."""
        known = {t.candidate.key: t for t in self.log.trials if t.values and self.weights_of(t.number).exists()}
        wanted = [replace(trial.candidate, fidelity=fidelity) for trial, fidelity in chosen]
        number = max((t.number for t in self.log.trials), default=-1) + 1
        jobs = {}
        for candidate in wanted:
            if candidate.key not in known:
                seed = int(np.random.SeedSequence((self.seed, number, 2)).generate_state(1)[0])
                job = Job(number, candidate, seed, self.weights_of(number), final=True)
                jobs[self.executor.submit(evaluate, job)] = job
                number += 1
        for future in as_completed(jobs):
            trial = self._trial(jobs[future], future.exception(), None if future.exception() else future.result())
            self.log.append(trial)
            known[trial.candidate.key] = trial
            self.told(trial)
        return [known[candidate.key] for candidate in wanted]

    def _trial(self, job: Job, error: BaseException | None, outcome: Outcome | None) -> Trial:
        if outcome is None:
            if getattr(error, "storage", False):
                raise OSError(str(error))
            return Trial(job.number, job.candidate, job.seed, error=str(error))
        curve = tuple(map(finite, outcome.curve))
        return Trial(job.number, job.candidate, job.seed, outcome.values, finite(outcome.metrics), curve)
