"""What TensorBoard, W&B and MLflow have in common: every trial of every arm written once, with the best so far."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from nas.events import Monitor
from nas.ops import Scalar
from nas.trial import Row, Trial, finite

CURVES = {  # columns of a learning curve, as those who know such tools look for them
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/validation",
}
PLACES = ("epoch", "fold")  # columns that say where in a curve a row stands


@dataclass(frozen=True)
class Told:
    """A trial of an arm, how many of the arm have ended with it, and the best accuracy among those."""

    arm: str
    trial: Trial
    ended: int
    best: float | None
    earlier: bool  # told by an earlier session, and so perhaps written by it

    @property
    def name(self) -> str:
        """The trial's in its arm, in the order of the numbers: trial-00017."""
        return f"trial-{self.trial.number:05d}"

    @property
    def accuracy(self) -> float | None:
        """What was maximised; None where the trial has failed."""
        return self.trial.values[0] if self.trial.values else None

    @property
    def choices(self) -> dict[str, Scalar]:
        return self.trial.candidate.values

    @cached_property
    def finish(self) -> float:
        """When the trial ended, in seconds since 1970; now where its log does not say."""
        return self.trial.ended or time.time()

    @property
    def begin(self) -> float:
        return self.finish - self.trial.metrics.get("seconds", 0.0)

    def epochs(self) -> Iterator[tuple[int, int, float, dict[str, float]]]:
        """Of every epoch its fold (0 where there are none), its number, when it ended, and the other figures."""
        at = self.finish - sum(row.get("seconds", 0.0) for row in self.trial.curve)
        for number, row in enumerate(self.trial.curve, start=1):
            at += row.get("seconds", 0.0)
            yield int(row.get("fold", 0)), int(row.get("epoch", number)), at, _figures(row)


class Tracker(Monitor, ABC):
    """Override `write`, and `open` and `closed` where there is something to open and to close."""

    def __init__(self) -> None:
        self.arm, self._opened = "search", False
        self._ended: dict[str, int] = {}
        self._best: dict[str, float] = {}

    def open(self) -> None:
        """Once, before the first trial, while the workers start: the time for an import that takes its time."""

    @abstractmethod
    def write(self, told: Told) -> None:
        """Write a trial; one that is `earlier` only if it has not been written."""

    def entered(self, phase: str) -> None:
        self.arm = phase
        if not self._opened:
            self._opened = True
            self.open()

    def started(self, history: Sequence[Trial]) -> None:
        self._ended.pop(self.arm, None)
        self._best.pop(self.arm, None)
        for trial in history:
            self._write(trial, earlier=True)

    def told(self, trial: Trial) -> None:
        self._write(trial, earlier=False)

    def _write(self, trial: Trial, earlier: bool) -> None:
        arm, ended = self.arm, self._ended.get(self.arm, 0) + 1
        if trial.values:
            self._best[arm] = max(self._best.get(arm, trial.values[0]), trial.values[0])
        self._ended[arm] = ended
        self.write(Told(arm, trial, ended, self._best.get(arm), earlier))


def _figures(row: Row) -> dict[str, float]:
    return {name: value for name, value in finite(row).items() if name not in PLACES}
