"""Zero-cost proxies: what a network promises before it is trained (arXiv 2101.08134 compares them). More is better."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from nas.architecture import Architecture, Node
from nas.candidate import Candidate
from nas.dataset import Dataset
from nas.ops import Shape
from nas.plugins import nearest

if TYPE_CHECKING:
    from nas.train.zero_cost import Measuring

MEASURED = ("synflow", "nwot", "jacov", "grad_norm")  # by `nas.train.zero_cost`, on the network itself
COUNTED: dict[str, Callable[[Architecture], int]] = {"params": lambda a: a.num_params, "flops": lambda a: a.flops}
KEPT = 4096  # architectures


class Proxies:
    """The proxies `names`, one (`synflow`) or several (`synflow+params`), of candidates.

    Architectures are judged, not recipes: all are initialised alike, so that a candidate has the same values whatever
    was measured before. The latest `KEPT` are remembered.
    """

    def __init__(self, names: str) -> None:
        self.names = [*dict.fromkeys(names.split("+"))]
        for name in self.names:
            if name not in MEASURED and name not in COUNTED:
                among = f" in {names!r}" if len(self.names) > 1 else ""
                raise ValueError(f"there is no proxy {name!r}{among}; {nearest(name, [*MEASURED, *COUNTED])}")
        self.look(None)

    def look(self, dataset: Dataset | None) -> None:
        """Take the batch from the training part of `dataset`; of None it is normal noise with labels by chance."""
        self._dataset = dataset
        self._measured = lru_cache(KEPT)(self._measure)
        self.__dict__.pop("_measuring", None)

    def __call__(self, candidate: Candidate) -> tuple[float, ...]:
        """A value of each proxy; minus infinity where it has none, or the memory does not suffice."""
        return tuple(self.value(name, candidate.architecture) for name in self.names)

    def value(self, name: str, architecture: Architecture) -> float:
        if name in COUNTED:
            return float(COUNTED[name](architecture))
        return self._measured(name, architecture.input_shape, architecture.nodes)

    def _measure(self, name: str, shape: Shape, nodes: tuple[Node, ...]) -> float:
        """The nodes tell networks apart that are equal, and yet are not drawn in the same order."""
        return self._measuring(name, Architecture(shape, nodes))

    @cached_property
    def _measuring(self) -> Measuring:
        from nas.train.zero_cost import Measuring  # with torch, which counting does without

        return Measuring(self._dataset)
