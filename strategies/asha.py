"""Asynchronous successive halving, ASHA (Li et al. 2020, arXiv 1810.05934, algorithm 2), around any other strategy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.space import Candidate, SearchSpace
from nas.trial import Trial
from strategies._around import Around
from strategies._rungs import EPOCHS, Rungs, levels


class Asha(Around):
    """Candidates of the strategy `inner` get few epochs; the best 1/eta of a rung are trained on, without any barrier.

    A full training is the highest rung, and each below it has 1/eta of the epochs, down to `least` or to one. All rungs
    are beginnings of the full training's schedule, so whoever is promoted goes on where it stopped.

    `inner` is told of each candidate once, at the lowest rung. It compares what it is told, as a tournament or a moving
    average does, and only values of one fidelity can be compared: with those of higher rungs among them the candidates
    that were promoted would win for their epochs alone. Of all rungs the lowest is the one that has every candidate:
    higher ones hold only survivors, few and late, and a policy that never hears of the others learns from a sample that
    it did not draw. What a few epochs misjudge is put right by the rungs above, which choose what is handed over.
    """

    def __init__(self, space: SearchSpace, *, inner: str = "evolution", eta: int = 3, least: int = 1) -> None:
        super().__init__(space, inner)
        self.eta, self.least = eta, least
        self.plan(max(EPOCHS, least))

    def plan(self, epochs: int) -> None:
        self.rungs = Rungs(levels(epochs, self.eta, self.least), self.eta)

    def ahead(self) -> float:
        """New ones for a promotion, and more as more are known; else promotions would all come at the end."""
        return min(self.inner.ahead(), max(self.eta, len(self.rungs.rungs[0].told) // self.eta))

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        return self.rungs.promotion(pending) or self.draw(rng, pending)

    def draw(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        """Algorithm 2, get_job, its last lines: a new configuration, at rung 0."""
        drawn = [candidate for candidate in pending if candidate.fidelity == self.rungs.fidelities[0]]
        return self.rungs.lowest(self.inner.ask(rng, drawn))

    def tell(self, trial: Trial) -> None:
        self.rungs.tell(trial)
        if trial.candidate.fidelity == self.rungs.fidelities[0]:
            self.inner.tell(trial)
