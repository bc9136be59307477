"""What chooses the next candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from nas.dataset import Dataset
from nas.space import Candidate, SearchSpace
from nas.trial import Trial


class Exhausted(Exception):
    """There is no candidate that has not been asked for. The search ends, unless what is in training changes that."""


class Strategy(ABC):
    """Two verbs, two laws: `ask` changes nothing, `tell` uses no chance.

    So the state is a fold of `tell` over the history, and a search is resumed by telling it again. Candidates come from
    the space's own verbs (`sample`, `mutate`, `crossover`, `draw`), which keep them inside the parameter budget.
    """

    objectives: float = 1  # how many values of a trial it can weigh, the first ones; infinity: any number
    exhaustive = False  # it asks for everything, and for nothing twice, until it raises `Exhausted`

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def plan(self, epochs: int) -> None:  # noqa: B027  # most strategies need not know
        """Told before all else how many epochs a full training has. For strategies that choose fidelities."""

    @property
    def paces(self) -> bool:
        """Whether it decides for how long candidates are trained."""
        return type(self).plan is not Strategy.plan

    def look(self, dataset: Dataset) -> None:  # noqa: B027  # most strategies see candidates alone
        """Told after `plan`, before all else, what is to be learned. For strategies that look at untrained networks."""

    def ahead(self) -> float:
        """How many candidates may be asked for before the first of them is told, with nothing lost by it.

        More are asked for only where a worker would be idle; up to so many where several are trained together.
        """
        return 1

    @abstractmethod
    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        """The next candidate, while `pending` are being evaluated. All chance comes from `rng`.

        Raises `Exhausted` where there is none.
        """

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """Learn from a finished trial, which may have failed (`trial.error`, no values)."""
