"""NSGA-II (Deb et al. 2002, IEEE TEVC 6(2), 182-197) for several objectives, asynchronous: no generations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._beginning import beginning, check_start
from strategies._options import at_least

AGAIN = 10  # mutations more, at most, of a child that has been told already
Values = npt.NDArray[np.float64]  # (n, objectives), to be maximised


class NSGA2(Strategy):
    """The best `population` of all that were told live, by rank and then by crowding; the worst dies.

    Parents win a tournament of two. With probability `crossover` the child takes its decisions from two of them; it is
    then mutated, more than once where it is known already. It begins as `evolution` does: with the space's default and
    networks near it, every other one at random; with `start=random` all are. With one objective it is an evolution in
    which the worst dies, and not the oldest.
    """

    objectives = float("inf")

    def __init__(
        self, space: SearchSpace, *, population: int = 10, crossover: float = 0.5, start: str = "default"
    ) -> None:
        super().__init__(space)
        at_least(population=(population, 2))
        if not 0 <= crossover <= 1:
            raise ValueError(f"crossover must be a probability in 0..1, got {crossover}")
        self.size, self.crossover, self.start = population, crossover, check_start(start)
        self.population: list[Trial] = []  # best first
        self.known: set[object] = set()
        self.told = 0

    def ahead(self) -> float:
        """All of the first population; after it half a one, whose parents are then older by so much."""
        return max(self.size - len(self.population), self.size // 2)

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        if len(self.population) + len(pending) < self.size or not self.population:
            return beginning(self.space, self.start, self.told + len(pending), rng)
        child = self._tournament(rng)
        if rng.random() < self.crossover:
            child = self.space.crossover(child, self._tournament(rng), rng)
        training = {_network(candidate) for candidate in pending}
        for _ in range(AGAIN):
            child = self.space.mutate(child, rng)
            if _network(child) not in self.known and _network(child) not in training:
                break
        return child

    def tell(self, trial: Trial) -> None:
        """Section III-C, the main loop, with one offspring: the union is sorted, and the best of it survive."""
        self.told += 1
        network = _network(trial.candidate)
        if not trial.values or network in self.known:  # a network twice would crowd itself out
            return
        self.known.add(network)
        union = [*self.population, trial]
        order = crowded_order(np.array([t.values for t in union]))
        self.population = [union[n] for n in order[: self.size]]

    def _tournament(self, rng: np.random.Generator) -> Candidate:
        """Of two the better by the crowded-comparison operator: the one that stands before the other."""
        return self.population[int(rng.integers(len(self.population), size=2).min())].candidate


def _network(candidate: Candidate) -> tuple[object, ...]:
    """Equal for two whose training would be the same, and that cost the same: one may hold more parameters."""
    return (*candidate.key[:2], candidate.architecture.num_params)


def crowded_order(values: Values) -> list[int]:
    """Rows of `values`, best first. Section III-B: the lower rank before the higher, of equals the less crowded."""
    order: list[int] = []
    for front in fronts(values):
        distance = crowding(values[front])
        order += [front[n] for n in np.argsort(-distance, kind="stable")]
    return order


def fronts(values: Values) -> list[list[int]]:
    """Section III-A, non-dominated sorting: rows that none dominates, those that these alone dominate, and so on."""
    as_good = np.all(values[:, None] >= values, axis=-1)  # (n, n)
    dominates = as_good & ~as_good.T
    left, found = np.ones(len(values), dtype=bool), list[list[int]]()
    while left.any():
        front = left & ~np.any(dominates[left], axis=0)
        found.append(np.flatnonzero(front).tolist())
        left &= ~front
    return found


def crowding(values: Values) -> Values:
    """Section III-B, crowding distance of the rows of a front, (n, objectives) -> (n,); infinite at its ends."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        sorted_, spread = column[order], np.ptp(column)
        distance[order[[0, -1]]] = np.inf  # I[1] = I[l] = inf
        if spread > 0:
            distance[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / spread  # (I[i+1].m - I[i-1].m) / (f_max - f_min)
    return distance
