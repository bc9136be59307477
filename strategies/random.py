"""Random search: every candidate is a fresh draw. The baseline of every comparison."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial

REDRAWS = 30  # of a network that was asked for before: as a baseline it is to have seen as many as others


class Random(Strategy):
    """Draws from the space, uniformly within each depth where the space counts exactly.

    None twice as long as others are easily found.
    """

    objectives = float("inf")

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self.told: set[Hashable] = set()

    def ahead(self) -> float:
        return float("inf")

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        asked = {candidate.key[:2] for candidate in pending if candidate.progress == 1}
        for _ in range(1 + REDRAWS):
            candidate = self.space.sample(rng)
            if candidate.key[:2] not in self.told and candidate.key[:2] not in asked:
                break
        return candidate

    def tell(self, trial: Trial) -> None:
        if trial.candidate.progress == 1:  # for however many epochs; else it may be asked for again, and trained on
            self.told.add(trial.candidate.key[:2])
