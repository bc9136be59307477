"""A search to an accuracy: what is searched, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from benchmarks.peers import plain

LIMIT = 120.0  # seconds
EPOCHS, BATCH, PARAMETERS = 20, 64, 20_000
DEEPEST, NARROWEST, WIDEST = 3, 16, 192
LEAST_LR, MOST_LR = 2e-4, 1e-2
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}

Data = plain.Data


class Clock:
    """Seconds from its making to the first validation accuracy that is the goal or more."""

    def __init__(self, goal: float) -> None:
        self.start, self.reached, self.goal = time.perf_counter(), LIMIT, goal

    @property
    def over(self) -> bool:
        return self.reached < LIMIT or time.perf_counter() - self.start > LIMIT

    def saw(self, accuracy: float) -> None:
        if accuracy >= self.goal:
            self.reached = min(self.reached, time.perf_counter() - self.start)


def widths_of(chosen: Mapping[str, Any]) -> list[int]:
    return [int(chosen[f"width{n}"]) for n in range(1, int(chosen["depth"]) + 1)]


def parameters(inputs: int, widths: Sequence[int], classes: int) -> int:
    return sum((before + 1) * after for before, after in zip((inputs, *widths), (*widths, classes), strict=True))


def train(chosen: Mapping[str, Any], data: Data, told: Callable[[int, float], object] | None = None) -> float:
    """Of depth, width1 ..., lr and activation; 0 for a network over the budget, which is not trained."""
    inputs, classes, widths = data[0].shape[1], int(data[1].max()) + 1, widths_of(chosen)
    if parameters(inputs, widths, classes) > PARAMETERS:
        return 0.0
    network = plain.perceptron(inputs, widths, classes, ACTIVATIONS[chosen["activation"]])
    return plain.fit(network, data, BATCH, EPOCHS, chosen["lr"], told)
