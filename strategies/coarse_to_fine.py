"""Coarse to fine: many networks for few epochs, then what lies around the best of them, in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nas.space import Candidate, SearchSpace
from nas.strategy import Exhausted
from nas.trial import Trial, best_first
from strategies._around import Around
from strategies._options import at_least
from strategies._rungs import EPOCHS, Lineage


class CoarseToFine(Around):
    """Rounds of `first` trials, twice as many, four times as many, ..., for nobody says how many there will be.

    A share of `coarse` of each are candidates of the strategy `inner`, trained for a share of `epochs` of a full
    training. The others are trained in full: the `best` coarse ones, which go on where they stopped, and then networks
    one decision away from one of the `best` that were trained in full. With `first` as many as there are trials it is
    one round. `inner` is told of coarse trials alone, for only values of equal epochs can be compared.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        inner: str = "random",
        coarse: float = 0.5,
        epochs: float = 0.25,
        first: int = 8,
        best: int = 3,
    ) -> None:
        super().__init__(space, inner)
        self.exhaustive = False  # whatever `inner` is, neighbours are drawn
        for name, share in (("coarse", coarse), ("epochs", epochs)):
            if not 0 < share < 1:
                raise ValueError(f"{name} must be a share in 0..1, neither of them, got {share}")
        at_least(first=(first, 2), best=(best, 1))
        self.coarse, self.epochs, self.first, self.best = coarse, epochs, first, best
        self.told = 0
        self.tried: list[Trial] = []  # the best coarse trials, each candidate once
        self.trained: list[Trial] = []  # the best of those in full
        self.done: set[Lineage] = set()  # all that were trained in full
        self.plan(EPOCHS)

    def plan(self, epochs: int) -> None:
        self.low = max(1, round(self.epochs * epochs)) / epochs

    def ahead(self) -> float:
        left, is_coarse = self._left(self.told)
        return min(left, self.inner.ahead()) if is_coarse else left

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        _, is_coarse = self._left(self.told + len(pending))
        if not is_coarse and any(candidate.fidelity == self.low < 1 for candidate in pending):
            raise Exhausted("the best of those that are being trained for few epochs are not known yet")
        if is_coarse or not (self.tried or self.trained):
            asked = [candidate for candidate in pending if candidate.fidelity == self.low]
            try:
                return replace(self.inner.ask(rng, asked), fidelity=self.low, horizon=1.0)
            except Exhausted:  # all were trained for few epochs, which is what the others wait for
                if not self.tried:
                    raise
        begun = self.done | {candidate.lineage for candidate in pending if candidate.fidelity == 1}
        for trial in self.tried:
            if trial.candidate.lineage not in begun:
                return replace(trial.candidate, fidelity=1.0)
        parents = self.trained or self.tried
        parent = parents[rng.integers(len(parents))].candidate
        return replace(self.space.mutate(parent, rng), fidelity=1.0, horizon=1.0)

    def tell(self, trial: Trial) -> None:
        self.told += 1
        if trial.candidate.fidelity == self.low:
            self.inner.tell(trial)
            self.tried = self._best(self.tried, trial)
        if trial.candidate.fidelity == 1:
            self.done.add(trial.candidate.lineage)
            self.trained = self._best(self.trained, trial)

    def _best(self, best: Sequence[Trial], trial: Trial) -> list[Trial]:
        others = [other for other in best if other.candidate.lineage != trial.candidate.lineage]
        return best_first([*best, trial] if len(others) == len(best) else best)[: self.best]

    def _left(self, asked: int) -> tuple[int, bool]:
        """After so many candidates: how many are left of this part of the round, and whether it is the coarse one."""
        length = self.first
        while asked >= length:
            asked, length = asked - length, 2 * length
        turn = min(max(1, round(self.coarse * length)), length - 1)
        return (turn - asked, True) if asked < turn else (length - asked, False)
