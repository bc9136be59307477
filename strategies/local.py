"""Local search (White et al., arXiv 2005.02960): to a better neighbour, and where there is none to a new beginning.

Neighbours differ in one decision; what follows from it is kept, or is the nearest that fits, or the default.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nas.ops import Scalar
from nas.recipe import Recipe
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._beginning import check_start

FAILED = float("-inf")
FEW = 8  # neighbours asked for at once where the first better one ends it
DRAWS = 100  # until a network to start from is one that nobody has asked for

Network = tuple[str, Recipe]  # what is trained and how, whatever the fidelity
Move = tuple[str, Scalar]  # the decision in which a neighbour differs, and what it takes there


class Local(Strategy):
    """Goes from where it is to a better neighbour; where there is none, it begins again at a random network.

    With `improvement=best` all neighbours are evaluated, and the best of them is taken; with `first`, the first better
    one to be told. With several workers more networks are known than one worker would have asked for: one that is
    better than here, and no neighbour, is gone to in both cases. Known networks are not asked for again; their values
    count. The first network is the space's default, or with `start=random` a random one.
    """

    def __init__(self, space: SearchSpace, *, improvement: str = "first", start: str = "default") -> None:
        super().__init__(space)
        if improvement not in ("best", "first"):
            raise ValueError(f"improvement must be best or first, got {improvement!r}")
        self.first, self.start = improvement == "first", check_start(start)
        self.told: dict[Network, float] = {}
        self.here: Candidate | None = None
        self.value = FAILED

    def ahead(self) -> float:
        """The neighbours left; of those few, where the first that is better makes the others needless."""
        left = 1 if self.here is None else max(1, len(self.moves) - self.since)
        return min(left, FEW) if self.first else left

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        training = {_network(candidate) for candidate in pending}
        if not self.told and not training and self.start == "default":
            return self.space.default()
        for move in rng.permutation(len(self.moves)) if self.here is not None else ():
            candidate = self._neighbour(self.moves[move])
            if (network := _network(candidate)) not in self.told and network not in training:
                return candidate
        return self._new(rng, training)  # of the neighbours those that are left are in training

    def _new(self, rng: np.random.Generator, training: Collection[Network]) -> Candidate:
        for _ in range(DRAWS):
            candidate = self.space.sample(rng)
            if (network := _network(candidate)) not in self.told and network not in training:
                break
        return candidate

    def tell(self, trial: Trial) -> None:
        candidate, value = trial.candidate, trial.value if trial.values else FAILED
        self.told[_network(candidate)] = max(value, self.told.get(_network(candidate), FAILED))
        if self.here is not None:
            self.since += 1
        if value > self.value and (self.first or not self._beside(candidate)):
            self._go(candidate, value)
        self._go_on()

    def _go(self, candidate: Candidate, value: float) -> None:
        self.here, self.value, self.since = candidate, value, 0
        self.moves: list[Move] = [(c.name, o) for c in candidate.choices for o in c.options if o != c.value]
        self.open = list(self.moves)  # those before the last one that is known to be untold may have been told
        self._drawn: dict[Move, Candidate] = {}

    def _go_on(self) -> None:
        """While all neighbours are known: to the best of them, or, where none is better, to a new beginning."""
        while self.here is not None:
            while self.open and _network(self._neighbour(self.open[-1])) in self.told:
                self.open.pop()
            if self.open:
                return
            around = [self._neighbour(move) for move in self.moves]
            best = max(around, key=lambda candidate: self.told[_network(candidate)], default=self.here)
            value = self.told[_network(best)]
            if value > self.value:
                self._go(best, value)
            else:
                self.here, self.value = None, FAILED

    def _neighbour(self, move: Move) -> Candidate:
        """Drawn when it is looked at: a network may have hundreds of neighbours, and be left after the first."""
        assert self.here is not None
        if move not in self._drawn:
            self._drawn[move] = self.space.nearest({**self.here.values, move[0]: move[1]})
        return self._drawn[move]

    def _beside(self, candidate: Candidate) -> bool:
        """Whether it takes one decision otherwise than the network here, of those that are offered to both."""
        values = {} if self.here is None else self.here.values
        both = [c for c in candidate.choices if c.name in values and values[c.name] in c.options]
        return sum(c.value != values[c.name] for c in both) == 1


def _network(candidate: Candidate) -> Network:
    return candidate.key[:2]
