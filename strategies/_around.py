"""Strategies around another one, which draws the candidates."""

from __future__ import annotations

from nas import plugins
from nas.dataset import Dataset
from nas.space import SearchSpace
from nas.strategy import Strategy


class Around(Strategy):
    """What has an `inner` strategy, which sees what it sees and leaves the fidelity alone."""

    def __init__(self, space: SearchSpace, inner: str) -> None:
        super().__init__(space)
        self.inner: Strategy = plugins.make("strategies", inner, Strategy, space)
        if self.inner.paces:
            raise ValueError(f"inner must be a strategy that leaves the fidelity alone, got {inner!r}")
        self.exhaustive = self.inner.exhaustive

    def look(self, dataset: Dataset) -> None:
        self.inner.look(dataset)
