"""The rounds of a one-shot search. Before each the shared weights are trained; in it they stay as they are.

In the first round they are trained on networks drawn from the whole space, which with no other round is SPOS (arXiv
1904.00420). In each later one they are trained on, with the networks that the strategy has asked for in the round
before: the two phases of ENAS (arXiv 1802.03268, section 2.2), where the strategy is `reinforce`. So the weights of a
round are a function of the seed and of the trials before it, and a trial's figures depend on no other of its round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nas.architecture import Architecture
from nas.choosing import Ended
from nas.evaluate import Training
from nas.executor import JobFailed, Workers
from nas.finalists import FINALISTS, finalists, threads
from nas.job import Job, evaluate
from nas.oneshot.evaluator import OneShot
from nas.oneshot.lesson import FOLDER, PLAN, Lesson, plan
from nas.options import Options
from nas.placement import Placement
from nas.space import Candidate, SearchSpace
from nas.store import RunDirectory, TrialLog
from nas.trial import Row, Trial
from nas.weights import read_weights

POOL = 500  # networks drawn for the first round
TEACHING = 0.7  # of the search's time, what the training of the shared weights may take
LESSON = 10.0  # seconds that one should take: what a crash costs, and how often progress is told
MANY = 10  # times the epochs of a network by itself, that the shared weights are trained
TRIED = 16  # networks that tell how long an epoch takes
LITTLE = 0.1  # of the way from guessing to knowing: what shared weights should have learned at least
STATE = "training.pt"


@dataclass(frozen=True)
class Round:
    """What a search may do before the weights change.

    A candidate's fidelity says how far the weights have come that it is evaluated with: those of the last round rank
    first.
    """

    weights: Path
    progress: float
    search_limits: tuple[int | None, float | None]  # trials in all, seconds from the start of the search

    def __call__(self, candidate: Candidate) -> Candidate:
        return candidate if self.progress == 1 else replace(candidate, fidelity=self.progress, horizon=1.0)

    def told(self, trial: Trial) -> None:
        """Nothing is learned from it."""


@dataclass
class Rounds:
    """The rounds of one search, and the weights of each."""

    options: Options
    space: SearchSpace
    directory: RunDirectory
    placement: Placement
    evaluator: Training
    console: Console | None = None  # where it is said what is done

    def __post_init__(self) -> None:
        assert self.options.one_shot is not None
        self.number, self.epochs = self.options.one_shot["rounds"], self.options.one_shot["epochs"]
        self.folder, self.plan = self.directory.path / FOLDER, plan(self.directory.path)

    def of(self, log: TrialLog) -> Iterator[Round]:
        """Those that are not over, each when the trials of the one before are in the log.

        Raises `ValueError` where the weights cannot be trained.
        """
        trials, seconds = self.options.limits
        for number in range(max(0, len(self.plan) - 1), self.number):
            weights, share = self._trained(number, log), (number + 1) / self.number
            log.before = self.plan[number]["elapsed"]
            most = None if trials is None else math.ceil(share * trials)
            yield Round(weights, share, (most, self._deadline(number) if seconds else None))

    def _deadline(self, number: int) -> float:
        """Seconds from the start of the search at which a round is over, where there is a time limit."""
        return (self.options.time or math.inf) * self.options.search_share * (number + 1) / self.number

    def _trained(self, number: int, log: TrialLog) -> Path:
        """The weights of a round. Where they are not whole they are trained again, with the same trials to the same."""
        file, began = self._file(number), time.monotonic()
        if number < len(self.plan) and "elapsed" in self.plan[number] and read_weights(file) is not None:
            return file
        before = self._trained(number - 1, log) if number else None
        self.folder.mkdir(exist_ok=True)
        lesson = self._lesson(number, log.trials, before)
        with self._worker() as workers:
            if number == len(self.plan):
                spent = log.elapsed + time.monotonic() - began
                self._note(number, epochs=self._epochs(number, lesson, workers, spent))
            rows = self._taught(number, replace(lesson, epochs=self.plan[number]["epochs"]), workers)
        if "elapsed" not in self.plan[number]:
            spent = max(time.monotonic() - began, sum(row["seconds"] for row in rows))
            self._note(number, elapsed=log.elapsed + spent, curve=rows)
        self._doubt(rows[-1]["train_accuracy"])
        for left in (lesson.state, *filter(None, [before])):
            left.unlink(missing_ok=True)
        return file

    def _doubt(self, accuracy: float) -> None:
        """Warn where weights with such an accuracy on the training part have little to rank networks by."""
        guessing = float(np.bincount(self.evaluator.dataset.train.y).max() / len(self.evaluator.dataset.train))
        if self.console and accuracy < guessing + LITTLE * (1 - guessing):
            self.console.print(
                f"warning: the shared weights have learned little: {accuracy:.1%} of the training samples, where "
                f"guessing has {guessing:.1%}; give them more, such as --one-shot epochs={MANY * self.options.epochs}",
                style="yellow", highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip

    def _lesson(self, number: int, trials: Sequence[Trial], before: Path | None) -> Lesson:
        """The first epoch of a round's training."""
        seed = int(np.random.SeedSequence((self.options.seed, number, 3)).generate_state(1)[0])
        recipe, state = self.space.default().recipe, self.folder / STATE  # all candidates have the same
        return Lesson(self._pool(number, trials), recipe, seed, 1, 1, state, self._file(number), before)

    @contextmanager
    def _worker(self) -> Iterator[Workers]:
        """One with all cores and no time limit. Raises `ValueError` where it fails, `OSError` where the disk does."""
        devices = self.placement.devices
        workers = self.placement.workers(self.evaluator, 1, threads(devices, 1), timed=False)
        try:
            yield workers
        except JobFailed as error:
            if error.storage:
                raise OSError(str(error)) from None
            raise ValueError(f"the shared weights cannot be trained: {error}") from None
        finally:
            workers.shutdown(cancel_futures=True)

    def _taught(self, number: int, lesson: Lesson, workers: Workers) -> list[Row]:
        """The rows of all epochs of a round, once they are trained."""
        of = f" of round {number + 1} of {self.number}" if self.number > 1 else ""
        rows: list[Row] = []
        with self.console.status("shared weights") if self.console else nullcontext() as status:
            while len(rows) < lesson.epochs:
                if status:
                    status.update(f"training of the shared weights{of}: epoch {len(rows) + 1} of {lesson.epochs}")
                each = sum(row["seconds"] for row in rows) / max(1, len(rows))
                more = max(1, int(LESSON / each)) if each else 1
                until = min(lesson.epochs, len(rows) + more)
                rows = workers.submit(OneShot.teach, replace(lesson, until=until)).result()
        return rows

    def _epochs(self, number: int, lesson: Lesson, workers: Workers, spent: float) -> int:
        """Of a round: its part of those that were asked for, or what the time allows."""
        if self.options.time is None or self.epochs:
            return max(1, round((self.epochs or MANY * self.options.epochs) / self.number))
        each = workers.submit(OneShot.seconds, replace(lesson, pool=lesson.pool[:TRIED])).result()
        began = self._deadline(number - 1) if number else 0.0
        return max(1, int(TEACHING * (self._deadline(number) - max(began, spent)) / each))

    def _pool(self, number: int, trials: Sequence[Trial]) -> tuple[Architecture, ...]:
        """The networks of a round's training, drawn from the space, or told in the round before."""
        before = [t for t in trials if t.values and number and t.candidate.progress == number / self.number]
        told = sorted(before, key=lambda trial: trial.number)
        if told:
            return tuple(trial.candidate.architecture for trial in told)
        drawn = (self.space.sample(np.random.default_rng((self.options.seed, n, 4))) for n in range(POOL))
        return tuple(candidate.architecture for candidate in drawn)

    def _file(self, number: int) -> Path:
        return self.folder / f"round-{number + 1}.safetensors"

    def _note(self, number: int, **facts: Any) -> None:
        """Write down what is decided for a round, before it is acted on, and what came of it."""
        before = self.plan[number] if number < len(self.plan) else {}
        self.plan[number:] = [{**before, **facts}]
        self.directory.write_json(f"{FOLDER}/{PLAN}", {"rounds": self.plan})


def timed(ended: Ended, options: Options, executor: Workers) -> Ended:
    """With what an epoch takes of those that may be trained again, for a final training that is to end in time."""
    if options.one_shot is None or options.time is None:
        return ended
    began, both = time.monotonic(), [*ended.trials, *ended.baseline]
    number = options.finalists or FINALISTS
    small = [trial for trial in both if options.joins and trial.params <= options.budget // 2]
    best = [*finalists(both, number), *finalists(small, number)]
    taken = {id(trial): _trained(trial, options, executor) for trial in [*best[:1], *best]}  # the first one warms up
    known = [[taken.get(id(trial), trial) for trial in trials] for trials in (ended.trials, ended.baseline)]
    return replace(ended, trials=known[0], baseline=known[1], spent=ended.spent + time.monotonic() - began)


def _trained(trial: Trial, options: Options, executor: Workers) -> Trial:
    candidate = replace(trial.candidate, fidelity=1 / options.epochs, horizon=None)
    try:
        outcome = executor.submit(evaluate, Job(trial.number, candidate, trial.seed)).result()
    except JobFailed:  # the final training will say why
        return trial
    return replace(trial, metrics=outcome.metrics, curve=outcome.curve)
