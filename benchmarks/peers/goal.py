"""A search to an accuracy: what is searched, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from benchmarks.peers import plain

DEEPEST = 3
LEAST_LR, MOST_LR = 2e-4, 1e-2
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}

Data = plain.Data


@dataclass(frozen=True)
class Problem:
    """Networks of at most `parameters`, each trained for up to `epochs`; a search ends after `limit` seconds."""

    accuracy: float
    limit: float
    parameters: int
    epochs: int
    batch: int
    narrowest: int
    widest: int


PROBLEMS = {
    "digits": Problem(0.97, 120.0, 20_000, 20, 64, 16, 192),
    "frames": Problem(0.93, 300.0, 1_000_000, 8, 128, 64, 1024),
}


class Clock:
    """Seconds from its making to the first validation accuracy that is the goal or more."""

    def __init__(self, problem: Problem) -> None:
        self.start, self.reached, self.problem = time.perf_counter(), problem.limit, problem

    @property
    def over(self) -> bool:
        return self.reached < self.problem.limit or time.perf_counter() - self.start > self.problem.limit

    def saw(self, accuracy: float) -> None:
        if accuracy >= self.problem.accuracy:
            self.reached = min(self.reached, time.perf_counter() - self.start)


def widths_of(chosen: Mapping[str, Any]) -> list[int]:
    return [int(chosen[f"width{n}"]) for n in range(1, int(chosen["depth"]) + 1)]


def parameters(inputs: int, widths: Sequence[int], classes: int) -> int:
    return sum((before + 1) * after for before, after in zip((inputs, *widths), (*widths, classes), strict=True))


def train(
    chosen: Mapping[str, Any], data: Data, problem: Problem, told: Callable[[int, float], object] | None = None
) -> float:
    """Of depth, width1 ..., lr and activation; 0 for a network over the budget, which is not trained."""
    inputs, classes, widths = data[0].shape[1], int(data[1].max()) + 1, widths_of(chosen)
    if parameters(inputs, widths, classes) > problem.parameters:
        return 0.0
    network = plain.perceptron(inputs, widths, classes, ACTIVATIONS[chosen["activation"]])
    return plain.fit(network, data, problem.batch, problem.epochs, chosen["lr"], told)
