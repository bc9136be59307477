"""Activations and their gradients, written into tensors that are there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

Step = Callable[[], Any]
aten = torch.ops.aten
_threshold, _softplus = aten.threshold_backward.grad_input, aten.softplus_backward.grad_input
_leaky, _leaky_backward = aten.leaky_relu.out, aten.leaky_relu_backward.grad_input


@dataclass(frozen=True)
class Gradient:
    """`forward` (x, out=) and `backward` (gradient, what is kept, grad_input=); kept is the output or the input."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    keeps_output: bool = False


def _relu(x: Tensor, *, out: Tensor) -> Tensor:
    return torch.clamp_min(x, 0, out=out)


GRADIENTS: dict[str, Gradient] = {
    "relu": Gradient(_relu, lambda g, x, grad_input: _threshold(g, x, 0, grad_input=grad_input), keeps_output=True),
    "gelu": Gradient(aten.gelu.out, aten.gelu_backward.grad_input),
    "silu": Gradient(aten.silu.out, aten.silu_backward.grad_input),
    "tanh": Gradient(torch.tanh, aten.tanh_backward.grad_input, keeps_output=True),
    "sigmoid": Gradient(torch.sigmoid, aten.sigmoid_backward.grad_input, keeps_output=True),
    "softplus": Gradient(aten.softplus.out, lambda g, x, grad_input: _softplus(g, x, 1, 20, grad_input=grad_input)),
    "leakyrelu": Gradient(
        lambda x, out: _leaky(x, 0.01, out=out),
        lambda g, x, grad_input: _leaky_backward(g, x, 0.01, False, grad_input=grad_input),
    ),
}


def forward(activation: str, x: Tensor, out: Tensor) -> Step:
    """Computes `out` from `x`."""
    return partial(GRADIENTS[activation].forward, x, out=out)


def backward(activation: str, gradient: Tensor, x: Tensor, y: Tensor, out: Tensor) -> Step:
    """Computes the gradient of `x` from that of `y`, the output."""
    kind = GRADIENTS[activation]
    return partial(kind.backward, gradient, y if kind.keeps_output else x, grad_input=out)
