"""Expressions of one or several values: sum, product, concatenation, nothing."""

from __future__ import annotations

from typing import Any

from nas.ops.op import Join, Shape


class Add(Join):
    """The sum of inputs of one shape."""

    def commutes(self, **attrs: Any) -> bool:
        return True

    def shape(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) != 1:
            raise ValueError(f"add needs inputs of one shape, got {inputs}; use Sketch.residual to project them")
        return inputs[0]

    def source(self, *names: str) -> str:
        rest = (f"({name})" if _outermost(" + ", name) else name for name in names[1:])
        return " + ".join((names[0], *rest))

    def apply(self, *tensors: Any) -> Any:
        total = tensors[0]
        for tensor in tensors[1:]:
            total = total + tensor
        return total


class Multiply(Join):
    """The product of inputs, of which one may have a single element along a dimension where another has many."""

    def commutes(self, **attrs: Any) -> bool:
        return True

    def shape(self, *inputs: Shape) -> Shape:
        if len({len(x) for x in inputs}) != 1 or any(len(set(sizes) - {1}) > 1 for sizes in zip(*inputs, strict=True)):
            raise ValueError(f"multiply needs inputs of one shape, or 1 where they differ, got {inputs}")
        return tuple(max(sizes) for sizes in zip(*inputs, strict=True))

    def source(self, *names: str) -> str:
        first = f"({names[0]})" if _outermost(" + ", names[0]) else names[0]
        return " * ".join((first, *map(_factor, names[1:])))

    def apply(self, *tensors: Any) -> Any:
        product = tensors[0]
        for tensor in tensors[1:]:
            product = product * tensor
        return product


class Concat(Join):
    """The channels of all inputs, one after another.

    `ordered=False` states that what follows mixes all channels alike, so that the order of the inputs is of no account.
    """

    def commutes(self, **attrs: Any) -> bool:
        return not attrs.get("ordered", True)

    def shape(self, *inputs: Shape, ordered: bool = True) -> Shape:
        if len({x[1:] for x in inputs}) != 1:
            raise ValueError(f"concat needs inputs that differ in their channels alone, got {inputs}")
        return (sum(x[0] for x in inputs), *inputs[0][1:])

    def source(self, *names: str) -> str:
        return f"torch.cat(({', '.join(names)}), 1)" if len(names) > 1 else names[0]

    def apply(self, *tensors: Any) -> Any:
        import torch

        return torch.cat(tensors, 1) if len(tensors) > 1 else tensors[0]


class Zero(Join):
    """Zeros of the shape of the input."""

    def source(self, *names: str) -> str:
        return f"0 * {_factor(names[0])}"

    def apply(self, *tensors: Any) -> Any:
        return 0 * tensors[0]


def _factor(expression: str) -> str:
    return f"({expression})" if _outermost(" + ", expression) or _outermost(" * ", expression) else expression


def _outermost(operator: str, expression: str) -> bool:
    """Whether the operator stands outside all parentheses."""
    parts = expression.split(operator)[:-1]
    before = ("".join(parts[: i + 1]) for i in range(len(parts)))
    return any(text.count("(") == text.count(")") for text in before)
