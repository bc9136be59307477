"""How much is trained: fewer epochs of expensive networks under a time limit, as many in all as another search had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nas.space import Candidate
from nas.trial import Trial

TRIALS = 24  # that a search should have seen at its end
RATE = {"cpu": 5e10, "cuda": 5e12}  # floating point operations a second
CALLS = {"cpu": 5e-4, "cuda": 1e-3}  # seconds of a step that no arithmetic is done in


class Pacing(Protocol):
    """Says how far a candidate is trained, and learns from trials."""

    def __call__(self, candidate: Candidate) -> Candidate: ...

    def told(self, trial: Trial) -> None: ...


@dataclass
class Pace:
    """The share of its epochs that a candidate may be trained for, by its FLOPs and steps, and the speed seen so far.

    `seconds` of search on `slots` workers; `samples` a full training passes, epochs and folds together.
    """

    seconds: float
    slots: int
    samples: int
    epochs: int
    device: str = "cpu"
    folds: int = 1

    def __post_init__(self) -> None:
        self._expected = self._spent = 0.0

    def told(self, trial: Trial) -> None:
        """Learn from the time that a training took."""
        if trial.values and trial.copy_of is None:
            self._expected += self._full(trial.candidate) * trial.metrics["epochs"] / (self.epochs * self.folds)
            self._spent += trial.metrics["seconds"]

    def __call__(self, candidate: Candidate) -> Candidate:
        """The candidate with a fidelity at which some `TRIALS` like it fit into the time; at least one epoch.

        A candidate with a horizon is left as it is: its strategy spends few epochs where they are wasted, and would not
        know a rung again that was moved.
        """
        if candidate.horizon is not None:
            return candidate
        slower = self._spent / self._expected if self._spent else 1.0
        share = self.seconds * self.slots / TRIALS / (slower * self._full(candidate))
        epochs = max(1, int(self.epochs * min(1.0, share)))
        return replace(candidate, fidelity=min(candidate.fidelity, epochs / self.epochs))

    def _full(self, candidate: Candidate) -> float:
        """Seconds of a full training, on a machine that is as expected."""
        kind = self.device.partition(":")[0]
        arithmetic = 3.0 * candidate.architecture.flops / RATE[kind]  # forward, and twice as much backward
        return self.samples * (arithmetic + CALLS[kind] / candidate.recipe.batch_size)


@dataclass
class Allowance:
    """The epochs that a search may train in all, `each` at most of one network; folds together."""

    epochs: int
    each: int
    spent: int = 0

    @classmethod
    def equal_to(cls, trials: Sequence[Trial], each: int) -> Allowance | None:
        """As many as these trials have trained; None where none was to be trained on: as many trials, then."""
        if all(trial.candidate.horizon is None for trial in trials):
            return None
        return cls(round(sum(trial.metrics.get("epochs", 0) for trial in trials)), each)

    @property
    def trainings(self) -> int:
        """How many that is, if none ends early."""
        return max(1, -(-self.epochs // self.each))

    def told(self, trial: Trial) -> None:
        """A copy counts like the training that it spared, for the result is had either way."""
        self.spent += max(1, len(trial.curve))

    def left(self, running: int) -> bool:
        """Whether another may begin while so many run, each of which may take all its epochs."""
        return self.spent + running * self.each < self.epochs
