"""Layers of any shape of sample: dense, normalisation, dropout, activation."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from nas.ops.op import Call, Op, Shape


class Linear(Op):
    """`out` features from a flat input."""

    def shape(self, x: Shape, *, out: int, bias: bool = True) -> Shape:
        if len(x) != 1:
            raise ValueError(f"linear needs a flat input, got shape {x}; put 'flatten' before it")
        return (out,)

    def params(self, x: Shape, *, out: int, bias: bool = True) -> int:
        return x[0] * out + (out if bias else 0)

    def flops(self, x: Shape, *, out: int, bias: bool = True) -> int:
        return 2 * x[0] * out

    def layer(self, x: Shape, *, out: int, bias: bool = True) -> Call:
        return Call("Linear", (x[0], out), () if bias else (("bias", False),))


class Flatten(Op):
    """All dimensions of a sample into one; nothing at all where there is one already."""

    def shape(self, x: Shape) -> Shape:
        return (prod(x),)

    def layer(self, x: Shape) -> Call:
        return Call("Flatten")


class BatchNorm(Op):
    """Scale and shift per feature, statistics over the batch."""

    def params(self, x: Shape) -> int:
        return 2 * x[0]

    def layer(self, x: Shape) -> Call:
        return Call(f"BatchNorm{max(1, len(x) - 1)}d", (x[0],))


class LayerNorm(Op):
    """Scale and shift per element, statistics over the sample."""

    def params(self, x: Shape) -> int:
        return 2 * prod(x)

    def layer(self, x: Shape) -> Call:
        return Call("LayerNorm", (x[0] if len(x) == 1 else x,))


class Dropout(Op):
    """Zeroes a share `p` of the elements in training."""

    def layer(self, x: Shape, *, p: float) -> Call:
        return Call("Dropout", (p,))


class GroupNorm(Op):
    """Scale and shift per channel, statistics over `groups` groups of channels of the sample."""

    def params(self, x: Shape, *, groups: int) -> int:
        return 2 * x[0]

    def layer(self, x: Shape, *, groups: int) -> Call:
        return Call("GroupNorm", (groups, x[0]))


@dataclass(frozen=True)
class Activation(Op):
    """An element-wise function: `module` names torch's class, `gain` the function of `nn.init.calculate_gain`."""

    module: str
    gain: str
    kwargs: tuple[tuple[str, Any], ...] = ()

    def layer(self, x: Shape) -> Call:
        return Call(self.module, (), self.kwargs)
