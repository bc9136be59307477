"""The vocabulary of layers: shape, parameters, FLOPs and torch constructor of each, side by side.

Everything here is arithmetic; torch is imported only when a `Call` is called. Shapes leave out the batch dimension.
FLOPs are those of one sample's forward pass, two per multiply-add, matrix products only, as
`torch.utils.flop_counter.FlopCounterMode` counts them. A test holds each line against torch's own module.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

Scalar = bool | int | float | str
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A deferred constructor call: calling it gives the `nn.Module`, printing it gives the source line."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()

    def __call__(self) -> Any:
        return getattr(importlib.import_module("torch.nn"), self.name)(*self.args, **dict(self.kwargs))

    def __str__(self) -> str:
        arguments = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs]
        return f"nn.{self.name}({', '.join(arguments)})"


class Op:
    """One kind of layer; its methods take the shapes of its inputs and its attributes. The default is the identity."""

    commutes = False  # whether the order of the inputs is of no account

    def shape(self, *inputs: Any, **attrs: Any) -> Shape:
        return inputs[0]  # type: ignore[no-any-return]  # Any lets a subclass name its own inputs and attributes

    def params(self, *inputs: Any, **attrs: Any) -> int:
        return 0

    def flops(self, *inputs: Any, **attrs: Any) -> int:
        return 0

    def layer(self, *inputs: Any, **attrs: Any) -> Call:
        raise TypeError(f"{type(self).__name__} has no layer of its own")


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


@dataclass(frozen=True)
class Activation(Op):
    """An element-wise function: `module` names torch's class, `gain` the function of `nn.init.calculate_gain`."""

    module: str
    gain: str
    kwargs: tuple[tuple[str, Any], ...] = ()

    def layer(self, x: Shape) -> Call:
        return Call(self.module, (), self.kwargs)


class Join(Op, ABC):
    """Several inputs into one, without parameters: an expression in the source, a function on tensors."""

    @abstractmethod
    def source(self, *names: str) -> str:
        """The expression of the variables `names`."""

    @abstractmethod
    def apply(self, *tensors: Any) -> Any:
        """The same of tensors."""


class Add(Join):
    """The sum of inputs of one shape."""

    commutes = True

    def shape(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) != 1:
            raise ValueError(f"add needs inputs of one shape, got {inputs}; use Sketch.residual to project them")
        return inputs[0]

    def source(self, *names: str) -> str:
        rest = (f"({name})" if " + " in name else name for name in names[1:])
        return " + ".join((names[0], *rest))

    def apply(self, *tensors: Any) -> Any:
        total = tensors[0]
        for tensor in tensors[1:]:
            total = total + tensor
        return total


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
    "dropout": Dropout(),
    "add": Add(),
    **ACTIVATIONS,
}

NOTHING: dict[str, Callable[..., bool]] = {  # layers that compute nothing are never written down
    "none": lambda x: True,
    "dropout": lambda x, p: p == 0,
    "flatten": lambda x: len(x) == 1,
}
