"""Regularised evolution (Real et al. 2019, arXiv 1802.01548, algorithm 1), asynchronous: no generations."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._beginning import beginning, check_start

LARGEST = 10**6  # population


class Evolution(Strategy):
    """The last `population` trials live; the best of `sample` of them is mutated; the oldest dies, however good.

    With probability `crossover` the child takes its decisions from two such parents before it is mutated. The first
    network is the space's default, what a practitioner would try first, and every other one of the first population
    is some mutations away from it; with `start=random` all are drawn at random, as in the paper.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        population: int = 10,
        sample: int = 8,
        crossover: float = 0.0,
        start: str = "default",
    ) -> None:
        super().__init__(space)
        if not 1 <= population <= LARGEST:
            raise ValueError(f"population must be in 1..{LARGEST}, got {population}")
        if not 1 <= sample <= population:
            raise ValueError(f"sample must be in 1..population ({population}), got {sample}")
        if not 0 <= crossover <= 1:
            raise ValueError(f"crossover must be a probability in 0..1, got {crossover}")
        self.sample, self.crossover, self.start = sample, crossover, check_start(start)
        self.told = 0
        self.population: deque[Trial] = deque(maxlen=population)  # algorithm 1: the oldest dies

    def ahead(self) -> float:
        """All of the first population; after it half a one, whose parents are then younger by so much."""
        most = self.population.maxlen or 1
        return max(most - len(self.population), most // 2)

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        if len(self.population) + len(pending) < (self.population.maxlen or 0) or not self.population:
            return beginning(self.space, self.start, self.told + len(pending), rng)  # algorithm 1, first loop
        parent = self._tournament(rng)
        if rng.random() < self.crossover:
            parent = self.space.crossover(parent, self._tournament(rng), rng)
        return self.space.mutate(parent, rng)

    def tell(self, trial: Trial) -> None:
        self.told += 1
        if trial.values:
            self.population.append(trial)

    def _tournament(self, rng: np.random.Generator) -> Candidate:
        """The best of `sample` different ones; the paper may draw one twice, which lets weaker ones win more often."""
        entrants = rng.choice(len(self.population), size=min(self.sample, len(self.population)), replace=False)
        return max((self.population[i] for i in entrants), key=lambda trial: trial.value).candidate
