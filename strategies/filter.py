"""Candidates of any other strategy, filtered before they are trained by a zero-cost proxy (arXiv 2101.08134, 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.dataset import Dataset
from nas.proxies import Proxies
from nas.space import Candidate, SearchSpace
from nas.strategy import Exhausted
from nas.trial import Trial
from strategies._around import Around

MOST = 1000  # candidates for each that is trained


class Filter(Around):
    """Of every `of` candidates of the strategy `inner` the one of which `proxy` promises most.

    `inner` is told of that one alone.
    """

    def __init__(self, space: SearchSpace, *, inner: str = "evolution", proxy: str = "nwot", of: int = 4) -> None:
        super().__init__(space, inner)
        if not 2 <= of <= MOST:
            raise ValueError(f"of must be in 2..{MOST}, got {of}")
        self.proxies, self.of = Proxies(proxy), of
        if len(self.proxies.names) > 1:
            raise ValueError(f"proxy must be one, for what is the best by several is not defined, got {proxy!r}")

    def look(self, dataset: Dataset) -> None:
        super().look(dataset)
        self.proxies.look(dataset)

    def ahead(self) -> float:
        return self.inner.ahead()

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        """Each candidate is asked for while those before it count as pending, so that they differ."""
        asked: list[Candidate] = []
        for chance in rng.spawn(self.of):
            try:
                asked.append(self.inner.ask(chance, [*pending, *asked]))
            except Exhausted:
                if not asked:
                    raise
                break
        return max(asked, key=self.proxies)

    def tell(self, trial: Trial) -> None:
        self.inner.tell(trial)
