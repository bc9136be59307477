"""Every network of a small space, once each: a grid search that knows forks within forks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np

from nas.ops import Scalar
from nas.space import Candidate, SearchSpace, weighted
from nas.strategy import Exhausted, Strategy
from nas.trial import Trial

Path = tuple[int, ...]  # the answers so far
Way = tuple[tuple[str, Scalar], ...]


class Grid(Strategy):
    """The order is that of `init_seed`: `shuffled`, so that a search cut short has seen something of everything.

    `lexicographic` takes options as the space lists them, those of the last fork first. Either order is the same for
    every seed of a search. When all have been told or are in training, the search ends.
    """

    objectives = float("inf")
    exhaustive = True

    def __init__(self, space: SearchSpace, *, order: str = "shuffled", init_seed: int = 0) -> None:
        super().__init__(space)
        if order not in ("shuffled", "lexicographic"):
            raise ValueError(f"order must be shuffled or lexicographic, got {order!r}")
        if init_seed < 0:
            raise ValueError(f"init_seed must be at least 0, got {init_seed}")
        self._rest = iter(space) if order == "lexicographic" else shuffled(space, np.random.default_rng(init_seed))
        self._listed: list[Candidate] = []  # as far as they were looked at: only `_told` is what has been learned
        self._told: set[Way] = set()
        self._first = 0  # all before it are told

    def ahead(self) -> float:
        return float("inf")

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        taken = {_way(candidate) for candidate in pending}
        for candidate in chain(islice(self._listed, self._first, None), self._looked()):
            if _way(candidate) not in taken and _way(candidate) not in self._told:
                return candidate
        raise Exhausted(f"space {self.space} has {len(self._listed):,} networks, and each has had its turn")

    def tell(self, trial: Trial) -> None:
        self._told.add(_way(trial.candidate))
        while self._first < len(self._listed) and _way(self._listed[self._first]) in self._told:
            self._first += 1

    def _looked(self) -> Iterator[Candidate]:
        for candidate in self._rest:
            self._listed.append(candidate)
            yield candidate


def shuffled(space: SearchSpace, rng: np.random.Generator) -> Iterator[Candidate]:
    """Every candidate once, each a draw from those that are left."""
    path: Path = ()
    closed: set[Path] = set()  # beginnings of which no network is left

    def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
        nonlocal path
        index = weighted([0.0 if (*path, i) in closed else w for i, w in enumerate(weights)], rng)
        path = (*path, index)
        return index

    while () not in closed:
        path = ()
        candidate = space.draw(answer)
        yield candidate
        closed.add(path)
        for choice in reversed(candidate.choices):
            path = path[:-1]
            siblings = {(*path, i) for i in range(len(choice.options))}
            if not siblings <= closed:
                break
            closed.difference_update(siblings)
            closed.add(path)


def _way(candidate: Candidate) -> Way:
    return tuple(candidate.values.items())
