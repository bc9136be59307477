"""What an operation is: arithmetic on shapes, and a deferred call of torch's constructor.

Everything here is arithmetic; torch is imported only when a `Call` is called. Shapes leave out the batch dimension.
FLOPs are those of one sample's forward pass, two per multiply-add, matrix products and convolutions only, as
`torch.utils.flop_counter.FlopCounterMode` counts them. A test holds each line against torch's own module.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
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

    def commutes(self, **attrs: Any) -> bool:
        """Whether the order of the inputs is of no account."""
        return False

    def shape(self, *inputs: Any, **attrs: Any) -> Shape:
        return inputs[0]  # type: ignore[no-any-return]  # Any lets a subclass name its own inputs and attributes

    def params(self, *inputs: Any, **attrs: Any) -> int:
        return 0

    def flops(self, *inputs: Any, **attrs: Any) -> int:
        return 0

    def layer(self, *inputs: Any, **attrs: Any) -> Call:
        raise TypeError(f"{type(self).__name__} has no layer of its own")


class Join(Op, ABC):
    """Several inputs into one, without parameters: an expression in the source, a function on tensors."""

    @abstractmethod
    def source(self, *names: str) -> str:
        """The expression of the variables `names`."""

    @abstractmethod
    def apply(self, *tensors: Any) -> Any:
        """The same of tensors."""
