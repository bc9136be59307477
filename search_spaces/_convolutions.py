"""What the convolutional spaces are built of, and what each piece costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Any

from nas.architecture import Sketch
from nas.ops import Scalar, Shape

WIDTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # channels, where they are chosen
RECIPE: dict[str, Scalar] = {  # what a convolutional network is trained with first
    "optimizer": "nesterov",
    "lr": 0.1,
    "schedule": "onecycle",
    "label_smoothing": 0.1,
}
NORMS = {"batch": "batchnorm", "group": "groupnorm", "none": "none"}


@dataclass(frozen=True)
class Style:
    """What the convolutions of a network have in common."""

    norm: str = "batch"
    activation: str = "relu"
    squeeze: bool = False  # squeeze-and-excitation (arXiv 1709.01507)


def check_images(space: str, shape: Shape) -> None:
    """Raise `ValueError` where a sample is no image."""
    if len(shape) != 3:
        raise ValueError(f"space {space} needs images (channels, height, width); got samples of shape {shape}")


@lru_cache(maxsize=2**16)
def measured(build: Callable[..., int], shape: Shape, *arguments: Any) -> tuple[Shape, int, int]:
    """Output shape, parameters and FLOPs of a piece on an input of `shape`."""
    net = Sketch(shape)
    piece = net.done(build(net, net.input, *arguments))
    return piece.shapes[-1], piece.num_params, piece.flops


def total(shape: Shape, pieces: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
    """Parameters and FLOPs of pieces (build, *arguments) one after another."""
    params = flops = 0
    for piece in pieces:
        shape, more_params, more_flops = measured(piece[0], shape, *piece[1:])
        params, flops = params + more_params, flops + more_flops
    return params, flops


def stem(net: Sketch, x: int, out: int, stride: int, style: Style) -> int:
    """A first convolution of 3x3, its normalisation and activation; pooled, not strided: it has seen every pixel."""
    with net.scope("stem"):
        y = net(style.activation, conv(net, x, out, 3, 1, style))
        return net("maxpool", y, kernel=stride, stride=stride) if stride > 1 else y


def conv(net: Sketch, x: int, out: int, kernel: int, stride: int, style: Style) -> int:
    """Convolution and normalisation; a bias where there is none to normalise it away."""
    return norm(net, net("conv", x, out=out, kernel=kernel, stride=stride, bias=style.norm == "none"), style)


def depthwise(net: Sketch, x: int, kernel: int, stride: int, style: Style) -> int:
    """The same, of each channel by itself."""
    return norm(net, net("depthwise", x, kernel=kernel, stride=stride, bias=style.norm == "none"), style)


def norm(net: Sketch, x: int, style: Style) -> int:
    """The normalisation of the style; groups: eight, or as many as divide the channels."""
    if style.norm == "group":
        return net("groupnorm", x, groups=gcd(8, net.shapes[x][0]))
    return net(NORMS[style.norm], x)


def pool(net: Sketch, x: int, kind: str, name: str) -> int:
    """Half the height and width."""
    with net.scope(name):
        return net(kind, x, kernel=2, stride=2)


def block(
    net: Sketch, x: int, name: str, kind: str, kernel: int, expansion: int, out: int, stride: int, style: Style
) -> int:
    """One block of a stage, a part of the network of its own."""
    with net.scope(name):
        if kind == "residual":
            return _residual(net, x, kernel, out, stride, style)
        if kind == "inverted":
            return _inverted(net, x, kernel, expansion, out, stride, style)
        with net.scope("main"):
            if kind == "separable":  # arXiv 1704.04861
                x = net(style.activation, depthwise(net, x, kernel, stride, style))
                kernel = stride = 1
            y = net(style.activation, conv(net, x, out, kernel, stride, style))
        return _squeezed(net, y, style)


def _residual(net: Sketch, x: int, kernel: int, out: int, stride: int, style: Style) -> int:
    """Two convolutions and a shortcut (arXiv 1512.03385)."""
    with net.scope("main"):
        y = net(style.activation, conv(net, x, out, kernel, stride, style))
        y = conv(net, y, out, kernel, 1, style)
    y = _squeezed(net, y, style)
    if net.shapes[x] != net.shapes[y]:
        with net.scope("shortcut"):
            x = conv(net, x, out, 1, stride, style)
    y = net("add", y, x)
    with net.scope("activation"):
        return net(style.activation, y)


def _inverted(net: Sketch, x: int, kernel: int, expansion: int, out: int, stride: int, style: Style) -> int:
    """Wide inside, narrow outside, a skip between the narrow ends (arXiv 1801.04381)."""
    with net.scope("expand"):
        y = net(style.activation, conv(net, x, net.shapes[x][0] * expansion, 1, 1, style))
        y = net(style.activation, depthwise(net, y, kernel, stride, style))
    y = _squeezed(net, y, style)
    with net.scope("contract"):
        y = conv(net, y, out, 1, 1, style)
    return net("add", y, x) if net.shapes[x] == net.shapes[y] else y


def _squeezed(net: Sketch, x: int, style: Style) -> int:
    """Every channel times a factor that the means of all channels decide."""
    if not style.squeeze:
        return x
    channels = net.shapes[x][0]
    with net.scope("squeeze"):
        y = net(style.activation, net("conv", net("globalpool", x), out=max(1, channels // 4), kernel=1))
        y = net("sigmoid", net("conv", y, out=channels, kernel=1))
    return net("multiply", x, y)


def head(net: Sketch, x: int, hidden: int, classes: int, activation: str, dropout: float) -> int:
    """The classifier: of the mean of each channel, or (hidden > 0) of all numbers through a dense layer."""
    with net.scope("head"):
        if hidden:
            x = net(activation, net("linear", net("flatten", x), out=hidden))
        else:
            x = net("flatten", net("globalpool", x))
        return net("linear", net("dropout", x, p=dropout), out=classes)
