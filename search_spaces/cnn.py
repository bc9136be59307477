"""Convolutional networks: stages of plain, residual, separable or inverted blocks, pooled or strided between them.

By default the widths are solved, so that a network uses its budget as far as `max_flops` lets it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from nas.architecture import Architecture, Sketch
from nas.budget import Budget, Choose
from nas.ops import ACTIVATIONS, Scalar, Shape
from nas.widths import solve
from search_spaces._convolutions import NORMS, RECIPE, WIDTHS, Style, block, check_images, head, pool, stem, total
from search_spaces._ways import Formed, Way

KERNELS = (3, 5, 7)
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
HIDDEN = (32, 64, 128, 256, 512)  # units of the dense layer, where there is one
EAGER = 8  # a fork that settles the size is answered in proportion to this power of the parameters used
PRIOR: dict[str, dict[Scalar, float]] = {
    "profile": {"growing": 3.0},
    "stages": {1: 0.25, 3: 2.0},
    "block": {"residual": 3.0},
    "kernel": {3: 3.0},
    "norm": {"batch": 6.0, "group": 2.0},
    "activation": {"relu": 4.0, "gelu": 4.0, "silu": 4.0, "leakyrelu": 2.0, "sigmoid": 0.25},
    "head": {"average": 5.0},
}
LIGHT: dict[str, Scalar] = {"block": "separable", "squeeze": False, "norm": "none", "head": "average"}
WAYS: tuple[dict[str, Scalar], ...] = (  # to answer the forks still open; a number is the nearest that is offered
    {**LIGHT, "down": "maxpool", "stem": 4},
    {**LIGHT, "down": "maxpool", "stem": 4, "block": "plain", "stages": 4, "growth": 2.0},
    {**LIGHT, "down": "maxpool", "stem": 4, "head": "dense", "hidden": 512},
)


@dataclass(frozen=True)
class Stage:
    """Blocks of one kind and one width."""

    blocks: int
    kind: str
    kernel: int
    expansion: int = 1


@dataclass(frozen=True)
class Form:
    """A network but for its widths: these are `channels`, or grow from stage to stage from `width` or a solved one."""

    stride: int  # of the stem
    stages: tuple[Stage, ...]
    style: Style
    down: str
    hidden: int
    growth: float
    width: int
    channels: tuple[int, ...]
    dropout: float = 0.0


class CNN(Formed[Form]):
    """Stem, stages with downsampling between them, head. Samples are images (channels, height, width)."""

    defaults = {
        "profile": "growing", "growth": 2.0, "width": 32, "channels": 64, "stem": 2, "stages": 3, "blocks": 1,
        "block": "residual", "kernel": 3, "expansion": 4, "squeeze": False, "norm": "batch", "activation": "silu",
        "down": "stride", "head": "average", "hidden": 128, "dropout": 0.0, **RECIPE,
    }  # fmt: skip

    prior = PRIOR
    costless = frozenset(("activation", "dropout"))
    regularising = frozenset(("dropout",))

    def __init__(
        self,
        input_shape: Shape,
        classes: int,
        budget: Budget | None = None,
        *,
        max_stages: int = 4,
        max_blocks: int = 4,
        min_width: int = 8,
        max_width: int = 512,
        max_flops: float = 150e6,
    ) -> None:
        super().__init__(input_shape, classes, budget)
        check_images("cnn", self.input_shape)
        if max_stages < 1 or max_blocks < 1:
            raise ValueError(f"max_stages and max_blocks must be at least 1, got {max_stages} and {max_blocks}")
        if not 1 <= min_width <= max_width:
            raise ValueError(f"widths must be 1 or more, min_width at most max_width; got {min_width} and {max_width}")
        self.max_blocks, self.min_width, self.max_width, self.max_flops = max_blocks, min_width, max_width, max_flops
        self.size = min(self.input_shape[1:])
        self.max_stages = max_stages
        self.widths = tuple(w for w in sorted({*WIDTHS, min_width, max_width}) if min_width <= w <= max_width)
        if not (flops := self.smallest().flops) <= max_flops:
            raise ValueError(f"max_flops must be at least {flops:,} for such images, got {max_flops:,.0f}")

    @cached_property
    def _solved(self) -> dict[Form, tuple[int, int]]:
        """Forms and their solved widths."""
        return {}

    def built(self, form: Form) -> Architecture:
        net = Sketch(self.input_shape)
        x = net.input
        for build, *arguments in self._pieces(form, self._channels(form), named=True):
            x = build(net, x, *arguments)
        return net.done(x)

    def form(self, choose: Choose) -> Form:
        """Ask every fork; what cannot matter is not asked."""
        profile = choose("profile", ("growing", "free"))
        stride = int(choose("stem", tuple(s for s in (1, 2, 4) if s == 1 or self.size // s >= 16)))
        most = min(self.max_stages, max(1, (self.size // stride).bit_length() - 1))  # the last one sees 2x2 at least
        count = int(choose("stages", range(1, most + 1)))
        stages = tuple(self._stage(choose, i, self.size // stride >> (i - 1)) for i in range(1, count + 1))
        squeeze, norm = bool(choose("squeeze", (False, True))), str(choose("norm", tuple(NORMS)))
        down = str(choose("down", ("stride", "maxpool", "avgpool"))) if count > 1 else ""
        hidden = int(choose("hidden", HIDDEN)) if choose("head", ("average", "dense")) == "dense" else 0
        growth, width, channels = 1.0, 0, tuple[int, ...]()
        if profile == "free":
            channels = tuple(int(choose(f"channels{i}", self.widths)) for i in range(1, count + 1))
        else:
            growth = float(choose("growth", (2.0, 1.5, 1.0))) if count > 1 else 1.0
            width = 0 if self.budget else int(choose("width", self.widths))
        style = Style(norm, str(choose("activation", tuple(ACTIVATIONS))), squeeze)
        dropout = float(choose("dropout", DROPOUTS))
        return Form(stride, stages, style, down, hidden, growth, width, channels, dropout)

    def _stage(self, choose: Choose, number: int, size: int) -> Stage:
        blocks = int(choose(f"blocks{number}", range(1, self.max_blocks + 1)))
        kind = str(choose(f"block{number}", ("residual", "plain", "separable", "inverted")))
        kernel = int(choose(f"kernel{number}", tuple(k for k in KERNELS if k <= max(3, size))))
        expansion = int(choose(f"expansion{number}", (2, 4, 6))) if kind == "inverted" else 1
        return Stage(blocks, kind, kernel, expansion)

    def _pieces(self, form: Form, channels: Sequence[int], named: bool = False) -> Iterator[tuple[Any, ...]]:
        """What the network is built of, in order; the names of the blocks only where they are wanted."""
        yield stem, channels[0], form.stride, form.style
        for i, (stage, out) in enumerate(zip(form.stages, channels, strict=True), 1):
            if i > 1 and form.down != "stride":
                yield pool, form.down, f"pool{i - 1}"
            for j in range(1, stage.blocks + 1):
                stride = 2 if i > 1 and j == 1 and form.down == "stride" else 1
                name = f"stage{i}_{stage.kind}{j}" if named else ""
                yield block, name, stage.kind, stage.kernel, stage.expansion, out, stride, form.style
        yield head, form.hidden, self.classes, form.style.activation, form.dropout

    def _channels(self, form: Form) -> Sequence[int]:
        """The channels of each stage."""
        if form.channels:
            return form.channels
        width, grain = (form.width, 1) if form.width else self._solve(form)
        return _grown(form, width or self.min_width, grain)

    def _solve(self, form: Form) -> tuple[int, int]:
        """The width of the first stage that brings the network nearest below the budget, and its grain."""
        assert self.budget is not None
        key = _priced(form)
        if key not in self._solved:
            self._solved[key] = solve(
                lambda width, grain: self._cost(form, _grown(form, width, grain)),
                self.budget, self.max_flops, self.min_width, self.max_width,
            )  # fmt: skip
        return self._solved[key]

    def _cost(self, form: Form, channels: Sequence[int]) -> tuple[int, int]:
        return total(self.input_shape, list(self._pieces(_priced(form), channels)))

    def ways(self, taken: Mapping[str, Scalar]) -> Iterator[Way]:
        """The lightest alone, for a width is found where the least one fits; with a fill, ways to use parameters."""
        if self.budget is None or self.budget.fill is None:
            yield {**WAYS[0], "channels": self.min_width}
            return
        for way in WAYS:
            for channels in self.widths[:1] if taken.get("profile") == "growing" else self.widths:
                yield {**way, "channels": channels}

    def direct(self, name: str, taken: Mapping[str, Scalar]) -> bool:
        return name == f"channels{taken.get('stages')}"

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        weights = super().completions(taken, name, options)
        if self.budget is None or not (name == "growth" or self.direct(name, taken)) or not any(weights):
            return weights
        used = [w and self._params({**taken, name: option}) for w, option in zip(weights, options, strict=True)]
        return [w * (params / max(used)) ** EAGER for w, params in zip(weights, used, strict=True)]

    def _params(self, taken: Mapping[str, Scalar]) -> int:
        """The parameters of a network of which all that costs any is chosen."""
        form = self.answered(taken, WAYS[0])
        return self._cost(form, self._channels(form))[0] if form else 0

    def _topped(self, form: Form, taken: Mapping[str, Scalar]) -> Form:
        """`form` with as many channels in the last stage as fit, where they are still open."""
        name = f"channels{len(form.stages)}"
        if not form.channels or name in taken:
            return form
        widths = sorted(int(width) for width in self.offered(name, self.widths))
        wider = [replace(form, channels=(*form.channels[:-1], width)) for width in widths]
        fit = bisect_left(wider, True, key=lambda form: not self._within(form, 0))  # a wider one costs more
        return wider[fit - 1] if fit else form

    def fits(self, form: Form, taken: Mapping[str, Scalar]) -> bool:
        if form.channels or form.width or self.budget is None:
            least = self.budget.least if self.budget else 0
            return self._within(form, least) or (least > 0 and self._within(self._topped(form, taken), least))
        if self.budget.fill is None:  # a width that fits is found where the least one does
            return self._within(replace(form, channels=tuple(_grown(form, self.min_width, 1))), 0)
        return self._solve(form)[0] > 0

    def _within(self, form: Form, least: int) -> bool:
        params, flops = self._cost(form, self._channels(form))
        return flops <= self.max_flops and (self.budget is None or least <= params <= self.budget.most)


def _grown(form: Form, width: int, grain: int) -> list[int]:
    """The channels of each stage, multiples of the grain, each `growth` times those of the stage before."""
    return [max(1, round(width * form.growth**i / grain)) * grain for i in range(len(form.stages))]


def _priced(form: Form) -> Form:
    """The form with what costs nothing left out."""
    return replace(form, style=replace(form.style, activation="relu"), dropout=0.0)
