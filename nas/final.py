"""Final training: the best networks again, from scratch, on the whole training part and for longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.devices import cores
from nas.evaluate import Job, Outcome, evaluate
from nas.executor import Workers
from nas.recipe import Recipe
from nas.space import Candidate
from nas.store import TrialLog
from nas.trial import Trial, best_first, finite

FINALISTS = 2  # networks that are trained again, where no time limit says otherwise
MOST = 8  # where there is time for more
LONGER = 4  # times the epochs of the search
LONGEST = 24  # times, under a time limit, for a network that has not learned its training data by heart ...
ENOUGH = 2_000_000  # ... but no more than `LONGER` where it has then seen so many samples
THREADS = 4  # at most, of one network on a CPU, where there is no time for as many networks as workers
SCALING = 0.85  # of a second thread and each one more: what it adds to the speed of one
BY_HEART = 0.5  # of the mistakes on validation data, the share that is no mistake on training data


def finalists(trials: Sequence[Trial], number: int = FINALISTS) -> list[Trial]:
    """The best trials, best first, of different networks or differently trained ones."""
    distinct: dict[tuple[str, Recipe], Trial] = {}
    for trial in best_first(trials):
        distinct.setdefault(trial.candidate.key[:2], trial)
    return list(distinct.values())[:number]


def affordable(
    trials: Sequence[Trial], seconds: float, devices: Sequence[str], epochs: int, samples: int, share: float = 1.0
) -> list[tuple[Trial, int]]:
    """Which of the best trials to train again, and for how many epochs, in `seconds` on these devices.

    A network that has learned its training data by heart gains little from more epochs, so more networks are tried
    instead; so does one that has seen its `samples` often. `epochs`: those of the search at most; `share`: of the
    samples, those that were searched on.
    """
    chosen: list[tuple[Trial, int]] = []
    fewest = -(-len(devices) // threads(devices, 1))
    for number in range(min(fewest, MOST), MOST + 1):
        best = finalists(trials, number)
        each = [_wanted(trial, epochs, samples) for trial in best]
        longest = max((e * _epoch(t, share) for e, t in zip(each, best, strict=True)), default=1.0)
        faster = 1 + SCALING * (threads(devices, number) - 1)
        fit = seconds * faster / (longest * -(-number // len(devices)))  # one after another on each worker
        if chosen and (fit < 1 or len(best) < number):
            break
        least = [max(1, round(epochs * min(1.0, t.candidate.fidelity))) for t in best]  # what the search gave them
        chosen = [(t, max(low, int(e * min(1.0, fit)))) for low, e, t in zip(least, each, best, strict=True)]
    return chosen


def threads(devices: Sequence[str], networks: int) -> int:
    """Of each of so many networks that are trained at once: more than one where the devices are idle cores."""
    return max(1, min(THREADS, len(devices) // networks, cores() // networks)) if devices[0] == "cpu" else 1


def _wanted(trial: Trial, epochs: int, samples: int) -> int:
    longest = max(LONGER, min(LONGEST, ENOUGH // (epochs * samples)))
    last = trial.curve[-1] if trial.curve else {}
    train, validation = last.get("train_accuracy", 0.0), last.get("val_accuracy", 0.0)
    return epochs * (LONGER if train - validation > BY_HEART * (1 - validation) else longest)


def _epoch(trial: Trial, share: float) -> float:
    """Seconds of an epoch on all of the training part."""
    return max(1e-9, trial.metrics["seconds"] / max(1.0, trial.metrics["epochs"]) / share)


@dataclass
class FinalTraining:
    """Trains finalists and records them in `log`, where their fidelity tells for how many epochs; done once each.

    Failures are written to the file `errors`.
    """

    log: TrialLog
    executor: Workers
    seed: int
    weights_of: Callable[[int], Path]
    errors: Path

    def run(self, chosen: Sequence[tuple[Trial, float]]) -> list[Trial]:
        """Train each network with its fidelity. Trials of this log, those finished before among them, in that order."""
        known = {t.candidate.key: t for t in self.log.trials if t.values}
        wanted = [replace(trial.candidate, fidelity=fidelity) for trial, fidelity in chosen]
        running: dict[Future[Outcome], Job] = {}
        try:
            for candidate in wanted:
                if candidate.key not in known:
                    job = self._job(candidate, len(running))
                    future = self.executor.submit(evaluate, job)
                    running[future] = job
                    if future.done():  # in this process: it has been trained
                        known[candidate.key] = self._record(running.pop(future), future)
            for future in as_completed(list(running)):
                job = running.pop(future)
                known[job.candidate.key] = self._record(job, future)
        except KeyboardInterrupt:  # what had finished is not lost
            for future in [future for future in running if future.done()]:
                self._record(running.pop(future), future)
            raise
        return [known[candidate.key] for candidate in wanted]

    def _job(self, candidate: Candidate, before: int) -> Job:
        number = max((t.number for t in self.log.trials), default=-1) + 1 + before
        seed = int(np.random.SeedSequence((self.seed, number, 2)).generate_state(1)[0])
        return Job(number, candidate, seed, self.weights_of(number), final=True)

    def _record(self, job: Job, future: Future[Outcome]) -> Trial:
        trial = Trial(job.number, job.candidate, job.seed)
        if error := future.exception():
            if getattr(error, "storage", False):
                raise OSError(str(error))
            trial = replace(trial, error=str(error) or type(error).__name__)
            with self.errors.open("a", encoding="utf-8") as file:
                file.write(f"final training {trial.number}: {trial.error}\n{getattr(error, 'trace', '')}\n")
        else:
            outcome = future.result()
            facts, curve = finite(outcome.metrics), tuple(map(finite, outcome.curve))
            trial = replace(trial, values=outcome.values, metrics=facts, curve=curve)
        self.log.append(trial)
        return trial
