"""Multi-layer perceptrons: depth, widths or macro shape, normalisation, activation, dropout, skip connections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.architecture import Architecture, Sketch
from nas.budget import Budget, Choose
from nas.counting import ChainTable
from nas.ops import ACTIVATIONS, Scalar, Shape
from nas.space import SearchSpace
from nas.widths import SOLVED_FILL

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
DROPPED = {"hidden": ("hidden",), "input too": ("input", "hidden"), "last": ()}  # the layers that dropout follows
DEEPEST = 64  # layers; the table of counts grows with them
MEMO = 20_000  # beginnings of networks of which the next widths are remembered
SIZES = (1.0, 0.5, 0.25, 0.1, 0.05)  # shares of the budget that solved widths aim at
WIDTH, WIDE, NARROW = 512, 256, 64  # of a usual layer; of one that stands much dropout; of one that is too narrow

Widths = npt.NDArray[np.int64]


class MLP(SearchSpace):
    """Flatten, then blocks of linear, normalisation, activation and dropout, with or without skips between them.

    `free` chooses every width; for the other macro shapes the widths are solved so that the network uses the budget.
    """

    defaults = {
        "context": 25,
        "shape": "free",
        "depth": 3,
        "norm": "batchnorm",
        "activation": "gelu",
        "dropout": 0.3,
        "width": WIDTH,
        "lr": 2e-3,
        "schedule": "onecycle",
        "label_smoothing": 0.05,
    }
    regularising = frozenset(("dropout", "dropped"))

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
            raise ValueError(f"widths must be 1 or more, min_width at most max_width; got {min_width} and {max_width}")
        self.max_depth, self.min_width, self.max_width = max_depth, min_width, max_width
        grid = {int(2**octave * step) for octave in range(24) for step in (1, 1.25, 1.5, 1.75)}
        self.widths = tuple(sorted({w for w in grid if min_width <= w <= max_width} | {min_width, max_width}))
        self._aligned = np.arange(min_width, max_width + 1) % 8 == 0

    def describe(self, choose: Choose) -> Architecture:
        sample = self.input(choose)
        shape = str(choose("shape", tuple(s for s, least in SHALLOWEST.items() if least <= self.max_depth)))
        depth = int(choose("depth", range(SHALLOWEST[shape], self.max_depth + 1)))
        norm = str(choose("norm", tuple(NORMS)))
        skip = depth > 1 and bool(choose("skip", (False, True)))
        if shape == "free":
            widths = [int(choose(f"width{i}", self.widths)) for i in range(1, depth + 1)]
        else:
            taper = 1.0 if shape == "cylinder" else float(choose("taper", TAPERS))
            if self.budget is None:
                widest = int(choose("width", self.widths))
            else:
                size = float(choose("size", self._sizes))
                widest = self.solve(math.prod(sample), shape, depth, norm, skip, taper, size)
            widths = self.profile(shape, depth, taper, widest)
        activation = str(choose("activation", tuple(ACTIVATIONS)))
        dropout = float(choose("dropout", DROPOUTS))
        dropped = DROPPED[str(choose("dropped", tuple(DROPPED)))] if dropout else ()

        net = Sketch(sample)
        x = net("dropout", net("flatten", net.input), p=dropout if "input" in dropped else 0.0)
        for i, width in enumerate(widths, 1):
            y = net("linear", x, out=width, bias=norm != "batchnorm")
            p = dropout if "hidden" in dropped or i == depth else 0.0
            y = net("dropout", net(activation, net(norm, y)), p=p)
            x = net.residual(x, y) if skip and i > 1 else y
        return net.done(net("linear", x, out=self.classes))

    @cached_property
    def _usuals(self) -> dict[str, Scalar]:
        """Three layers of the usual width on the usual context; where they do not fit, narrower or fewer, on less."""
        usual = super()._usuals
        if self.budget is None:
            return usual
        for depth in range(min(int(usual["depth"]), self.max_depth), 0, -1):
            for context in sorted({0, *(c for c in self.contexts if c <= int(usual["context"]))}, reverse=True):
                even = self._even(context, depth, str(usual["norm"]))
                if even >= NARROW:
                    break
            if even:
                break
        width = min(WIDTH, even or self.min_width)
        narrow = {} if width >= WIDE else {"dropout": 0.1, "lr": 4e-3}  # they have no units to spare, and learn faster
        if self.narrowing.only is not None:  # where widths are no choice, the nearest on offer may not fit
            width = max((w for w in self.widths if w <= width), default=self.min_width)
        return {**usual, "context": context, "depth": depth, "width": width, **narrow}

    def _even(self, context: int, depth: int, norm: str) -> int:
        """The widest of equal layers that fit the budget, 0 where there is none."""
        assert self.budget is not None
        inputs = self._inputs({"context": context})
        if self.params(inputs, [self.max_width] * depth, norm, False) <= self.budget.most:
            return self.max_width  # which may be far from the fill
        return self.solve(inputs, "cylinder", depth, norm, False, 1.0, 1.0)

    # what has been counted belongs to one budget and one narrowing: a copy of the space begins anew

    @cached_property
    def _aims(self) -> dict[float, tuple[int, int]]:
        """Of each size the least and the most parameters."""
        assert self.budget is not None
        fill = SOLVED_FILL if self.budget.fill is None else self.budget.fill
        aims = {size: Budget(max(1, int(self.budget.most * size)), fill) for size in SIZES}
        return {size: (aim.least, aim.most) for size, aim in aims.items()}

    @cached_property
    def _solved(self) -> dict[tuple[Scalar, ...], int]:
        return {}

    @cached_property
    def _shapes(self) -> dict[tuple[Scalar, ...], tuple[Widths, Widths]]:
        return {}

    @cached_property
    def _widest(self) -> int:
        """No layer of a network inside the budget is wider: it takes at least `min_width` or the inputs."""
        assert self.budget is not None
        least = min(self.min_width, math.prod(self.input_shape))
        return max(self.min_width, min(self.max_width, self.budget.most // least))

    @cached_property
    def _next(self) -> dict[tuple[Scalar, ...], npt.NDArray[np.float64]]:
        return {}

    @cached_property
    def _counts(self) -> dict[tuple[object, ...], list[float]]:
        return {}

    def profile(self, shape: str, depth: int, taper: float, widest: int) -> list[int]:
        """The widths of a macro shape; multiples of 8 where the widest is one, since hardware likes them."""
        return self._profiles(shape, depth, taper, np.array([widest]))[0].tolist()  # type: ignore[no-any-return]  # numpy

    def _profiles(self, shape: str, depth: int, taper: float, widest: Widths) -> Widths:
        """`profile` for many at once: (n,) -> (n, depth)."""
        grain = np.where(widest % 8 == 0, 8, 1)[:, None]
        shares = np.array([PROFILES[shape](i / max(1, depth - 1), taper) for i in range(depth)])
        widths: Widths = grain * np.rint(widest[:, None] * shares / grain).astype(np.int64)
        return np.maximum(self.min_width, widths)

    def solve(self, inputs: int, shape: str, depth: int, norm: str, skip: bool, taper: float, size: float) -> int:
        """The widest layer that brings this shape nearest below `size` of the budget; 0 where none reaches the fill."""
        assert self.budget is not None
        key = (inputs, shape, depth, norm, skip, taper, size)
        if key not in self._solved:
            least, most = self._aims[size]
            first, after = self._shaped(shape, depth, norm, skip, taper)
            params = inputs * first + after
            fits = (least <= params) & (params <= most)
            aligned = fits & self._aligned[: len(fits)]
            chosen = np.where(aligned if aligned.any() else fits, params, 0)
            self._solved[key] = self.min_width + int(chosen.argmax()) if fits.any() else 0
        return self._solved[key]

    def _shaped(self, shape: str, depth: int, norm: str, skip: bool, taper: float) -> tuple[Widths, Widths]:
        """For every widest layer from `min_width` on: width of the first, parameters beyond the input's weights."""
        key = (shape, depth, norm, skip, taper)
        if key not in self._shapes:
            widths = self._profiles(shape, depth, taper, np.arange(self.min_width, self._widest + 1))
            self._shapes[key] = widths[:, 0], self._params(0, widths, norm, skip)
        return self._shapes[key]

    def params(self, inputs: int, widths: Sequence[int], norm: str, skip: bool) -> int:
        """Parameters of the network of these widths on so many inputs."""
        return int(self._params(inputs, np.array([widths]), norm, skip)[0])

    def _params(self, inputs: int, widths: Widths, norm: str, skip: bool) -> Widths:
        """`params` for many at once, (n, depth) -> (n,); a skip costs a projection where two widths differ."""
        before, after = widths[:, :-1], widths[:, 1:]
        inner = (before * after * (1 + (skip & (before != after)))).sum(axis=1)
        ends = inputs * widths[:, 0] + (widths[:, -1] + 1) * self.classes
        return inner + ends + NORMS[norm] * widths.sum(axis=1)  # type: ignore[no-any-return]  # numpy

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        """Exact: uniform over the networks that fit within each depth, over the depths and shapes that have any."""
        if self.budget is None:
            return super().completions(taken, name, options)
        if name in ("activation", "dropout", "dropped"):
            return (1.0,) * len(options)
        if name.startswith("width"):
            layer = int(name.removeprefix("width"))
            before = [int(taken[f"width{i}"]) for i in range(1, layer)]
            inputs, depth, norm = self._inputs(taken), int(taken["depth"]), str(taken["norm"])
            counts = self._next_width(inputs, before, depth, norm, bool(taken.get("skip")))
            return counts.tolist()  # type: ignore[no-any-return]  # numpy types tolist as Any
        key = (name, *taken.items())
        if key not in self._counts:
            count = self._any if name in ("context", "shape", "depth") else self._count
            self._counts[key] = [float(count({**taken, name: option})) for option in options]
        return self._counts[key]

    def _inputs(self, taken: Mapping[str, Scalar]) -> int:
        return math.prod(self.input_shape) * (2 * int(taken.get("context", 0)) + 1)

    def _count(self, taken: Mapping[str, Scalar]) -> float:
        """Networks that fit after the choices `taken`, summed over the forks still open; dropout's do not count."""
        return sum(self._fits(taken))

    def _any(self, taken: Mapping[str, Scalar]) -> bool:
        """Whether a network fits after the choices `taken`, which are those of the first forks."""
        return any(self._fits(taken))

    def _fits(self, taken: Mapping[str, Scalar]) -> Iterator[float]:
        """The terms of `_count`, and what `_any` looks for."""
        inputs = self._inputs(taken)
        if self.budget is not None and inputs * self.min_width > self.budget.most:
            return  # the first layer alone is too large
        for shape in self._open(taken, "shape", tuple(SHALLOWEST)):
            for depth, norm in product(
                self._open(taken, "depth", range(SHALLOWEST[shape], self.max_depth + 1)),
                self._open(taken, "norm", tuple(NORMS)),
            ):
                for skip in self._open(taken, "skip", (False, True)) if depth > 1 else (False,):
                    if shape == "free":
                        yield float(self._next_width(inputs, [], depth, norm, skip).sum())
                        continue
                    tapers = self._open(taken, "taper", TAPERS) if shape != "cylinder" else (1.0,)
                    for taper, size in product(tapers, self._open(taken, "size", self._sizes)):
                        yield float(self.solve(inputs, shape, depth, norm, skip, taper, size) > 0)

    def _open(self, taken: Mapping[str, Any], name: str, options: Sequence[Scalar]) -> Iterable[Any]:
        return (taken[name],) if name in taken else self.offered(name, options)

    @property
    def _sizes(self) -> tuple[float, ...]:
        return SIZES if self.budget is not None and self.budget.fill is None else (1.0,)

    def _next_width(self, inputs: int, before: list[int], depth: int, norm: str, skip: bool) -> npt.NDArray[np.float64]:
        """How many networks go on from the widths `before` with each of the widths on offer."""
        key: tuple[Scalar, ...] = (inputs, *before, depth, norm, skip)
        if key not in self._next:  # a child begins as its parent does
            if len(self._next) >= MEMO:
                self._next.clear()
            self._next[key] = self._counted(inputs, before, depth, norm, skip)
        return self._next[key]

    def _counted(self, inputs: int, before: list[int], depth: int, norm: str, skip: bool) -> npt.NDArray[np.float64]:
        assert self.budget is not None
        offered, mine, open_ = self._offered
        widths, layer_number = np.array(offered), len(before) + 1
        left = before[-1] if before else inputs
        layer = left * widths * (1 + (skip & (widths != left) & bool(before))) + NORMS[norm] * widths
        spent = layer + (self.params(inputs, before, norm, skip) - left * self.classes if before else self.classes)
        table = _table(offered, NORMS[norm], skip, self.classes, self.budget.most)
        limits = self.budget.least, self.budget.most
        counts = table.completions(spent, depth - layer_number, *limits, open_[layer_number:depth])
        return counts[mine[layer_number - 1]]

    @cached_property
    def _offered(self) -> tuple[tuple[int, ...], list[list[int]], tuple[tuple[bool, ...], ...]]:
        """The widths of free layers.

        All of them; of each layer the positions of its own among them; of the first layers which they are, until all
        that follow have all.
        """
        each = [[int(w) for w in self.offered(f"width{i}", self.widths)] for i in range(1, self.max_depth + 1)]
        widths = tuple(sorted({width for layer in each for width in layer}))
        fewer = max((i for i, layer in enumerate(each, 1) if len(layer) < len(widths)), default=0)
        open_ = tuple(tuple(width in layer for width in widths) for layer in each[:fewer])
        return widths, [[widths.index(width) for width in layer] for layer in each], open_


@lru_cache(maxsize=12)
def _table(widths: tuple[int, ...], unit: int, skip: bool, classes: int, most: int) -> ChainTable:
    w = np.array(widths, dtype=np.int64)
    doubled = 1 + (skip & (w[:, None] != w[None, :]))
    return ChainTable(w[:, None] * w[None, :] * doubled + unit * w[None, :], w * classes, most)
