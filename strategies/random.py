"""Random search: every candidate is a fresh draw. The baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.space import Candidate
from nas.strategy import Strategy
from nas.trial import Trial


class Random(Strategy):
    """Draws from the space, uniformly within each depth where the space counts exactly."""

    objectives = float("inf")

    def ahead(self) -> float:
        return float("inf")

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        return self.space.sample(rng)

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""
