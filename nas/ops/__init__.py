"""The vocabulary of layers: shape, parameters, FLOPs and torch constructor of each, side by side.

A new layer is a class in `dense` (any shape of sample), `spatial` (images) or `joins`, and a name in `OPS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from nas.ops.dense import Activation, BatchNorm, Dropout, Flatten, GroupNorm, LayerNorm, Linear
from nas.ops.joins import Add, Concat, Multiply, Zero
from nas.ops.op import Call, Join, Op, Scalar, Shape
from nas.ops.spatial import AvgPool, Conv, Depthwise, GlobalPool, MaxPool

__all__ = ["ACTIVATIONS", "NOTHING", "OPS", "Call", "Join", "Op", "Scalar", "Shape", "measure"]

ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation("ReLU", "relu"),
    "gelu": Activation("GELU", "relu"),
    "silu": Activation("SiLU", "relu"),
    "tanh": Activation("Tanh", "tanh"),
    "sigmoid": Activation("Sigmoid", "sigmoid"),
    "softplus": Activation("Softplus", "relu"),
    "leakyrelu": Activation("LeakyReLU", "leaky_relu", (("negative_slope", 0.01),)),
}

OPS: dict[str, Op] = {
    "linear": Linear(),
    "flatten": Flatten(),
    "batchnorm": BatchNorm(),
    "layernorm": LayerNorm(),
    "groupnorm": GroupNorm(),
    "dropout": Dropout(),
    "conv": Conv(),
    "depthwise": Depthwise(),
    "maxpool": MaxPool(),
    "avgpool": AvgPool(),
    "globalpool": GlobalPool(),
    "add": Add(),
    "multiply": Multiply(),
    "concat": Concat(),
    "zero": Zero(),
    **ACTIVATIONS,
}

NOTHING: dict[str, Callable[..., bool]] = {  # layers that compute nothing are never written down
    "none": lambda x: True,
    "dropout": lambda x, p: p == 0,
    "flatten": lambda x: len(x) == 1,
    "globalpool": lambda x: x[1:] == (1, 1),
}


@lru_cache(maxsize=2**16)  # a search describes the same few layers thousands of times
def measure(op: str, attrs: tuple[tuple[str, Scalar], ...], *inputs: Shape) -> tuple[Shape, int, int]:
    """Output shape, parameters and FLOPs of a layer."""
    kind, given = OPS[op], dict(attrs)
    return kind.shape(*inputs, **given), kind.params(*inputs, **given), kind.flops(*inputs, **given)
