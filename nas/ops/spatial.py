"""Layers of images, samples of shape (channels, height, width): convolution and pooling."""

from __future__ import annotations

from math import prod
from typing import Any

from nas.ops.op import Call, Op, Shape


class Conv(Op):
    """`out` channels from windows of `kernel` x `kernel`, padded so that stride 1 keeps height and width."""

    def shape(
        self,
        x: Shape,
        *,
        out: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> Shape:
        _check_image("a convolution", x)
        if kernel % 2 == 0:
            raise ValueError(f"the kernel of a convolution must be odd, got {kernel}")
        if x[0] % groups or out % groups:
            raise ValueError(f"groups must divide channels in ({x[0]}) and out ({out}), got {groups}")
        return (out, -(-x[1] // stride), -(-x[2] // stride))

    def params(self, x: Shape, *, out: int, kernel: int, groups: int = 1, bias: bool = True, **attrs: Any) -> int:
        return out * (x[0] // groups * kernel**2 + bias)

    def flops(self, x: Shape, *, out: int, kernel: int, stride: int = 1, groups: int = 1, **attrs: Any) -> int:
        return 2 * (x[0] // groups) * kernel**2 * prod(self.shape(x, out=out, kernel=kernel, stride=stride))

    def layer(self, x: Shape, *, out: int, kernel: int, **attrs: Any) -> Call:
        usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True}
        given = {**usual, **attrs, "padding": attrs.get("dilation", 1) * (kernel - 1) // 2}
        return Call("Conv2d", (x[0], out, kernel), tuple((k, v) for k, v in given.items() if v != usual[k]))


class Depthwise(Conv):
    """A convolution of each channel by itself."""

    def shape(  # type: ignore[override]  # `out` is settled by the input
        self, x: Shape, *, kernel: int, stride: int = 1, dilation: int = 1, bias: bool = True
    ) -> Shape:
        return super().shape(x, out=x[0], kernel=kernel, stride=stride, dilation=dilation, bias=bias)

    def params(self, x: Shape, **attrs: Any) -> int:
        return super().params(x, out=x[0], groups=x[0], **attrs)

    def flops(self, x: Shape, *, kernel: int, stride: int = 1, **attrs: Any) -> int:
        return 2 * kernel * kernel * prod(self.shape(x, kernel=kernel, stride=stride))

    def layer(self, x: Shape, **attrs: Any) -> Call:
        return super().layer(x, out=x[0], groups=x[0], **attrs)


class Pool(Op):
    """One number of each window of `kernel` x `kernel`, channel by channel."""

    def shape(self, x: Shape, *, kernel: int, stride: int, padding: int = 0) -> Shape:
        _check_image("a pool", x)
        height, width = ((size + 2 * padding - kernel) // stride + 1 for size in x[1:])
        if min(height, width) < 1:
            raise ValueError(f"a window of {kernel}x{kernel} does not fit an input of shape {x}")
        return (x[0], height, width)


class MaxPool(Pool):
    """The largest number of each window."""

    def layer(self, x: Shape, *, kernel: int, stride: int, padding: int = 0) -> Call:
        return Call("MaxPool2d", (kernel, stride, padding))


class AvgPool(Pool):
    """The mean of each window; what pads the borders does not count."""

    def layer(self, x: Shape, *, kernel: int, stride: int, padding: int = 0) -> Call:
        counting = (("count_include_pad", False),) if padding else ()
        return Call("AvgPool2d", (kernel, stride, padding), counting)


class GlobalPool(Op):
    """The mean of every channel: (channels, 1, 1)."""

    def shape(self, x: Shape) -> Shape:
        _check_image("a pool", x)
        return (x[0], 1, 1)

    def layer(self, x: Shape) -> Call:
        return Call("AdaptiveAvgPool2d", (1,))


def _check_image(layer: str, x: Shape) -> None:
    if len(x) != 3:
        raise ValueError(f"{layer} needs an input (channels, height, width), got shape {x}")
