"""What a search found."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from nas.ensemble import Joint
from nas.objectives import front
from nas.selection import Finalist, finalists_of
from nas.trial import Trial, best_first

FOLDERS = {"network": "best", "ensemble": "ensemble", "distilled": "distilled"}  # where what is chosen lies


@dataclass(frozen=True)
class Result:
    """What a search found. `trials` are the strategy's, `baseline` those of random search at equal cost.

    `final` are the best of both, trained again on the whole training part and for longer, with fresh seeds; `distilled`
    the best of them once more, taught by the ensemble `joint`. The test part is used for what is `chosen` alone.
    """

    path: Path
    trials: list[Trial]
    baseline: list[Trial]
    final: list[Trial]
    test_accuracy: float | None
    interrupted: bool
    joining: frozenset[int] = frozenset()  # of `final`: the small networks that were trained for an ensemble's sake
    joint: Joint | None = None
    distilled: list[Trial] = field(default_factory=list)
    tests: int = 0  # networks or ensembles that the test part was used for, in all sessions of this run

    @property
    def best(self) -> Trial:
        """The network whose final trainings are best on average, of those the best one; of all trials where none are.

        Raises `ValueError` without a result.
        """
        for finalist in self.finalists[:1]:
            return finalist.best
        for trial in best_first([*self.trials, *self.baseline]):
            return trial
        if not self.trials:
            raise ValueError(f"the search in {self.path} was interrupted before the first network was trained")
        raise ValueError(f"no trial in {self.path} has a result; see errors.log there")

    @property
    def front(self) -> list[Trial]:
        """The trials that no other dominates: with several objectives the trade-offs, best accuracy first.

        Of shared weights those of the last round: values of others are by other weights.
        """
        trials = [trial for trial in (*self.trials, *self.baseline) if trial.values]
        furthest = max((trial.candidate.progress for trial in trials), default=1.0)
        return front(trial for trial in trials if trial.candidate.progress == furthest)

    @property
    def chosen(self) -> str:
        """What is best by what can be expected of it: the `network`, the `ensemble`, or the `distilled` network."""
        expected = {"network": self.finalists[0].mean if self.finalists else self.best.value}
        if self.joint is not None:
            expected["ensemble"] = self.joint.crossed
        if taught := finalists_of(self.distilled):
            expected["distilled"] = taught[0].mean
        return max(expected, key=lambda name: (expected[name], name == "network"))

    @property
    def finalists(self) -> list[Finalist]:
        """The networks that were trained again, best mean first."""
        return finalists_of(self.final)

    @property
    def folder(self) -> Path:
        """Where what is chosen lies: model.py, weights, config.json, predict.py."""
        return self.path / FOLDERS[self.chosen]

    def export(self, path: str | Path) -> Path:
        """Copy the folder of what is chosen to `path`."""
        return Path(shutil.copytree(self.folder, path, dirs_exist_ok=True))
