"""Four tables of perceptrons with two hidden layers (arXiv 1905.04970): 62,208 each, on a regression problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import product

import numpy as np

from benchmarks.tabular.problem import Problem, numbered, packaged
from nas.architecture import Architecture, Sketch
from nas.budget import Budget, Choose
from nas.ops import Scalar
from nas.recipe import Recipe
from nas.space import SearchSpace

DATASETS = {  # as people call them, and files
    "protein": "protein_structure",
    "slice": "slice_localization",
    "naval": "naval_propulsion",
    "parkinsons": "parkinsons_telemonitoring",
}
INPUTS = {"protein": 9, "slice": 380, "naval": 15, "parkinsons": 20}
LAYER: dict[str, tuple[Scalar, ...]] = {
    "width": (16, 32, 64, 128, 256, 512),
    "activation": ("relu", "tanh"),
    "dropout": (0.0, 0.3, 0.6),
}
TRAINING: dict[str, tuple[Scalar, ...]] = {
    "lr": (5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1),
    "batch_size": (8, 16, 32, 64),
    "schedule": ("cosine", "constant"),
}
FORKS = {f"{name}{layer}": options for layer in (1, 2) for name, options in LAYER.items()} | TRAINING
PACKAGED = (  # the forks in the order of the digits by which the package names a row
    "activation1", "activation2", "batch_size", "dropout1", "dropout2", "lr", "schedule", "width1", "width2"
)  # fmt: skip
SHARE = 0.1  # of the largest network, the budget of searches with one


class FCNet(SearchSpace):
    """The nine hyper-parameters: of the first layer, of the second, of training. Each network is made once."""

    defaults = {"width": 64, "activation": "relu", "dropout": 0.0}

    def describe(self, choose: Choose) -> Architecture:
        return self._networks[tuple(choose(fork, FORKS[fork]) for fork in FORKS if fork not in TRAINING)]

    def recipe(self, choose: Choose) -> Recipe:
        lr, batch_size, schedule = (choose(fork, options) for fork, options in TRAINING.items())
        return Recipe("adam", float(lr), batch_size=int(batch_size), schedule=str(schedule))

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        """Exact, so that a draw is uniform over the networks that fit."""
        if self.budget is None or not name.startswith("width"):
            return (1.0,) * len(options)
        if name == "width2":
            return [float(self._fits(taken["width1"], width)) for width in options]
        later = self.offered("width2", LAYER["width"])
        return [float(sum(self._fits(width, second) for second in later)) for width in options]

    def _fits(self, width1: Scalar, width2: Scalar) -> bool:
        return self.budget is None or self.params(int(width1), int(width2)) in self.budget

    def params(self, width1: int, width2: int) -> int:
        return (self.input_shape[0] + 1) * width1 + (width1 + 1) * width2 + (width2 + 1) * self.classes

    @cached_property
    def _networks(self) -> dict[tuple[Scalar, ...], Architecture]:
        return {values: self._network(*values) for values in product(*(LAYER.values()), *(LAYER.values()))}

    def _network(self, *values: Scalar) -> Architecture:
        net = Sketch(self.input_shape)
        x = net.input
        for width, activation, dropout in (values[:3], values[3:]):
            x = net("dropout", net(str(activation), net("linear", x, out=width)), p=dropout)
        return net.done(net("linear", x, out=self.classes))


def problem(dataset: str, most: int, *, budgeted: bool = False) -> Problem:
    """A run sees the validation loss of one of four trainings, drawn for each row; reported is their mean's regret.

    With a budget of a tenth of the largest network the regret is to the best one that fits.
    """
    losses, costs, params = figures(dataset)
    budget = Budget(int(SHARE * params.max())) if budgeted else None
    space = FCNet((INPUTS[dataset],), 1, budget)
    means = losses.mean(0)
    best = means[params <= budget.most].min() if budget else means.min()
    return Problem(dataset, space, numbered(FORKS), -losses, costs, means - best, "regret", queries=most)


@lru_cache(maxsize=1)
def figures(dataset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the rows: validation losses after 100 epochs (4, rows), mean seconds of a training, number of parameters."""
    table = packaged("hpolib", DATASETS[dataset])
    digits = [dict(zip(FORKS, digits, strict=True)) for digits in product(*(range(len(o)) for o in FORKS.values()))]
    rows = [table["".join(str(row[fork]) for fork in PACKAGED)] for row in digits]
    losses = np.array([row["val_loss"] for row in rows]).T
    costs = np.array([row["train_time"] for row in rows]).mean(1)
    return losses, costs, np.array([row["model_size"][0] for row in rows])
