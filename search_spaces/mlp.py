"""Multi-layer perceptrons: depth, widths or macro shape, normalisation, activation, dropout, skip connections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.architecture import Architecture, Sketch
from nas.budget import Budget, Choose
from nas.counting import ChainTable
from nas.ops import ACTIVATIONS, Scalar, Shape
from nas.space import SearchSpace

PROFILES: dict[str, Callable[[float, float], float]] = {  # position 0..1, narrowest -> width as a share of the widest
    "cylinder": lambda t, end: 1.0,
    "pyramid": lambda t, end: end**t,
    "inverse-pyramid": lambda t, end: end ** (1 - t),
    "diamond": lambda t, end: end ** abs(2 * t - 1),
    "hourglass": lambda t, end: end ** (1 - abs(2 * t - 1)),
}
SHALLOWEST = {"free": 1, "cylinder": 1, "pyramid": 2, "inverse-pyramid": 2, "diamond": 3, "hourglass": 3}
NORMS = {"none": 1, "batchnorm": 2, "layernorm": 3}  # parameters a unit: bias, scale and shift, or all three
TAPERS = (0.125, 0.25, 0.5, 0.75)  # the narrowest layer as a share of the widest
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
DEEPEST = 64  # layers; the table of counts grows with them
SOLVED_FILL = 0.9  # the least share of the budget that solved widths use, where no other fill is asked for

Widths = npt.NDArray[np.int64]


class MLP(SearchSpace):
    """Flatten, then blocks of linear, normalisation, activation and dropout, with or without skips between them.

    `free` chooses every width; for the other macro shapes the widths are solved so that the network uses the budget.
    """

    def __init__(
        self,
        input_shape: Shape,
        classes: int,
        budget: Budget | None = None,
        *,
        max_depth: int = 10,
        min_width: int = 16,
        max_width: int = 4096,
    ) -> None:
        super().__init__(input_shape, classes, budget)
        if not 1 <= max_depth <= DEEPEST:
            raise ValueError(f"max_depth must be in 1..{DEEPEST}, got {max_depth}")
        if not 1 <= min_width <= max_width:
            raise ValueError(f"min_width must be in 1..max_width ({max_width}), got {min_width}")
        self.max_depth, self.min_width, self.max_width = max_depth, min_width, max_width
        grid = {int(2**octave * step) for octave in range(24) for step in (1, 1.25, 1.5, 1.75)}
        self.widths = tuple(sorted({w for w in grid if min_width <= w <= max_width} | {min_width, max_width}))
        self._solved: dict[tuple[Scalar, ...], int] = {}
        self._counts: dict[tuple[tuple[str, Scalar], ...], float] = {}

    def describe(self, choose: Choose) -> Architecture:
        shape = str(choose("shape", tuple(s for s, least in SHALLOWEST.items() if least <= self.max_depth)))
        depth = int(choose("depth", range(SHALLOWEST[shape], self.max_depth + 1)))
        norm = str(choose("norm", tuple(NORMS)))
        skip = depth > 1 and bool(choose("skip", (False, True)))
        if shape == "free":
            widths = [int(choose(f"width{i}", self.widths)) for i in range(1, depth + 1)]
        else:
            taper = 1.0 if shape == "cylinder" else float(choose("taper", TAPERS))
            widest = self.solve(shape, depth, norm, skip, taper) if self.budget else int(choose("width", self.widths))
            widths = self.profile(shape, depth, taper, widest)
        activation = str(choose("activation", tuple(ACTIVATIONS)))
        dropout = float(choose("dropout", DROPOUTS))

        net = Sketch(self.input_shape)
        x = net("flatten", net.input)
        for i, width in enumerate(widths):
            y = net("linear", x, out=width, bias=norm != "batchnorm")
            y = net("dropout", net(activation, net(norm, y)), p=dropout)
            x = net.residual(x, y) if skip and i > 0 else y
        return net.done(net("linear", x, out=self.classes))

    def profile(self, shape: str, depth: int, taper: float, widest: int) -> list[int]:
        """The widths of a macro shape; multiples of 8 where the widest is one, since hardware likes them."""
        return self._profiles(shape, depth, taper, np.array([widest]))[0].tolist()  # type: ignore[no-any-return]  # numpy

    def _profiles(self, shape: str, depth: int, taper: float, widest: Widths) -> Widths:
        """`profile` for many at once: (n,) -> (n, depth)."""
        grain = np.where(widest % 8 == 0, 8, 1)[:, None]
        shares = np.array([PROFILES[shape](i / max(1, depth - 1), taper) for i in range(depth)])
        widths: Widths = grain * np.rint(widest[:, None] * shares / grain).astype(np.int64)
        return np.maximum(self.min_width, widths)

    def solve(self, shape: str, depth: int, norm: str, skip: bool, taper: float) -> int:
        """The widest layer that brings this macro shape nearest below the budget; 0 where none reaches the fill."""
        assert self.budget is not None
        key = (shape, depth, norm, skip, taper)
        if key not in self._solved:
            least = self.budget.floor(SOLVED_FILL if self.budget.fill is None else self.budget.fill)
            widest = np.arange(self.min_width, self.max_width + 1)
            params = self._params(self._profiles(shape, depth, taper, widest), norm, skip)
            fits = (least <= params) & (params <= self.budget.most)
            aligned = fits & (widest % 8 == 0)
            chosen = np.where(aligned if aligned.any() else fits, params, 0)
            self._solved[key] = int(widest[chosen.argmax()]) if fits.any() else 0
        return self._solved[key]

    def params(self, widths: Sequence[int], norm: str, skip: bool) -> int:
        """Parameters of the network of these widths."""
        return int(self._params(np.array([widths]), norm, skip)[0])

    def _params(self, widths: Widths, norm: str, skip: bool) -> Widths:
        """`params` for many at once, (n, depth) -> (n,); a skip costs a projection where two widths differ."""
        before, after = widths[:, :-1], widths[:, 1:]
        inner = (before * after * (1 + (skip & (before != after)))).sum(axis=1)
        ends = math.prod(self.input_shape) * widths[:, 0] + (widths[:, -1] + 1) * self.classes
        return inner + ends + NORMS[norm] * widths.sum(axis=1)  # type: ignore[no-any-return]  # numpy

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        """Exact: uniform over the networks that fit within each depth, over the depths and shapes that have any."""
        if self.budget is None or name in ("activation", "dropout"):
            return (1.0,) * len(options)
        if name.startswith("width"):
            layer = int(name.removeprefix("width"))
            before = [int(taken[f"width{i}"]) for i in range(1, layer)]
            counts = self._next_width(before, int(taken["depth"]), str(taken["norm"]), bool(taken.get("skip")))
            return counts.tolist()  # type: ignore[no-any-return]  # numpy types tolist as Any
        totals = [self._count({**taken, name: option}) for option in options]
        return [float(total > 0) for total in totals] if name in ("shape", "depth") else totals

    def _count(self, taken: Mapping[str, Scalar]) -> float:
        """Networks that fit after the choices `taken` of shape, depth, norm, skip and taper, summed over those open."""
        key = tuple(taken.items())
        if key not in self._counts:
            shape = str(taken["shape"])
            solved = shape not in ("free", "cylinder")
            self._counts[key] = sum(
                self._fitting(shape, depth, norm, skip, taper)
                for depth in _open(taken, "depth", range(SHALLOWEST[shape], self.max_depth + 1))
                for norm in _open(taken, "norm", NORMS)
                for skip in _open(taken, "skip", (False, True) if depth > 1 else (False,))
                for taper in _open(taken, "taper", TAPERS if solved else (1.0,))
            )
        return self._counts[key]

    def _fitting(self, shape: str, depth: int, norm: str, skip: bool, taper: float) -> float:
        if shape == "free":
            return float(self._next_width([], depth, norm, skip).sum())
        return float(self.solve(shape, depth, norm, skip, taper) > 0)

    def _next_width(self, before: list[int], depth: int, norm: str, skip: bool) -> npt.NDArray[np.float64]:
        """How many networks go on from the widths `before` with each of `self.widths`."""
        assert self.budget is not None
        widths = np.array(self.widths)
        inputs = before[-1] if before else math.prod(self.input_shape)
        layer = inputs * widths * (1 + (skip & (widths != inputs) & bool(before))) + NORMS[norm] * widths
        spent = layer + (self.params(before, norm, skip) - before[-1] * self.classes if before else self.classes)
        table = _table(self.widths, NORMS[norm], skip, self.classes, self.budget.most, self.max_depth)
        return table.completions(spent, depth - len(before) - 1, self.budget.least, self.budget.most)


@lru_cache(maxsize=12)
def _table(widths: tuple[int, ...], unit: int, skip: bool, classes: int, most: int, depth: int) -> ChainTable:
    w = np.array(widths, dtype=np.int64)
    doubled = 1 + (skip & (w[:, None] != w[None, :]))
    return ChainTable(w[:, None] * w[None, :] * doubled + unit * w[None, :], w * classes, most, depth)


def _open(taken: Mapping[str, Any], name: str, options: Iterable[Any]) -> Iterable[Any]:
    return (taken[name],) if name in taken else options
