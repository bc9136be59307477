"""Asynchronous Hyperband: brackets of ASHA (arXiv 1810.05934) as Hyperband has them (arXiv 1603.06560)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from nas.dataset import Dataset
from nas.recipe import Recipe
from nas.space import Candidate, SearchSpace
from nas.strategy import Exhausted, Strategy
from nas.trial import Trial
from strategies._rungs import EPOCHS, levels
from strategies.asha import Asha


class Hyperband(Strategy):
    """A bracket of ASHA for each rung to begin at: from one that trusts a few epochs to one that trains all in full.

    New candidates go to the brackets in the proportions of Hyperband's algorithm 1. Each bracket has an `inner`
    strategy of its own, told of what begins in it: values at the lowest rungs of two brackets cannot be compared. A
    candidate lives in the bracket that it was first told in, though another draws it too: it is one training.
    """

    def __init__(self, space: SearchSpace, *, inner: str = "evolution", eta: int = 3, least: int = 1) -> None:
        super().__init__(space)
        self.inner, self.eta, self.least = inner, eta, least
        self.plan(max(EPOCHS, least))

    def plan(self, epochs: int) -> None:
        begins = levels(epochs, self.eta, self.least)
        self.brackets = [Asha(self.space, inner=self.inner, eta=self.eta, least=least) for least in begins]
        for bracket in self.brackets:
            bracket.plan(epochs)
        self.begins = [bracket.rungs.fidelities[0] for bracket in self.brackets]
        most = len(begins)  # s_max + 1
        # algorithm 1: for s in s_max, ..., 0: n = ceil(B / R * eta^s / (s + 1)), with B = (s_max + 1) R
        self.shares = [-(-most * self.eta**s // (s + 1)) for s in reversed(range(most))]
        self.begun = Counter[int]()  # candidates that each bracket has drawn
        self.homes: dict[tuple[str, Recipe, float], int] = {}

    def look(self, dataset: Dataset) -> None:
        for bracket in self.brackets:
            bracket.look(dataset)

    def ahead(self) -> float:
        """As many as any of the brackets: nobody knows whose turn it will be."""
        return min(bracket.ahead() for bracket in self.brackets)

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        for bracket in self.brackets:
            if promotion := bracket.rungs.promotion(pending):
                return promotion
        drawn = [candidate for candidate in pending if not self._promoted(candidate)]
        begun = self.begun + Counter(self._begins(candidate) for candidate in drawn)
        exhausted = Exhausted()
        for behind in sorted(range(len(self.shares)), key=lambda b: (begun[b] + 1) / self.shares[b]):
            try:
                return self.brackets[behind].draw(rng, drawn)
            except Exhausted as error:  # the others may have more
                exhausted = error
        raise exhausted

    def tell(self, trial: Trial) -> None:
        candidate, begins = trial.candidate, self._begins(trial.candidate)
        promoted = self._promoted(candidate)
        home = self.homes.setdefault(candidate.lineage, begins)
        if home <= begins:
            self.brackets[home].rungs.tell(trial)
        if not promoted:
            self.begun[begins] += 1
            self.brackets[begins].inner.tell(trial)

    def _begins(self, candidate: Candidate) -> int:
        """The bracket whose lowest rung has this fidelity."""
        return self.begins.index(candidate.fidelity)

    def _promoted(self, candidate: Candidate) -> bool:
        """Whether it was asked for as a promotion; a bracket may draw, at its lowest rung, what lives in one below."""
        home = self.homes.get(candidate.lineage)
        return home is not None and home < self._begins(candidate) and self.brackets[home].rungs.expects(candidate)
