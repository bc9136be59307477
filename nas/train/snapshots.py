"""What else a training leaves that an ensemble may take: the ends of SGDR's cycles, and the mean of the last epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, update_bn

from nas.network import Network
from nas.recipe import Recipe
from nas.train.schedule import RESTARTS

State = dict[str, Tensor]


class Snapshots:
    """Snapshot ensembles (arXiv 1704.00109) and the average of epochs (arXiv 1803.05407), beside a training."""

    def __init__(self, network: Network, recipe: Recipe, epochs: int) -> None:
        self.network = network
        self.states: dict[str, State] = {}
        self._cycles = cycles(recipe, epochs) if recipe.schedule == "sgdr" else set()
        self._start = epochs - max(1, epochs // 4)
        self._average = AveragedModel(network)

    def after(self, epoch: int) -> None:
        """An epoch has ended, counted from 1."""
        if epoch in self._cycles:
            self.states[f"cycle{len(self.states) + 1}"] = _copy(self.network)
        if epoch > self._start:
            self._average.update_parameters(self.network)

    def finish(self, batches: Callable[[], Iterable[Tensor]]) -> dict[str, State]:
        """All of them by name; `batches` gives the training part, for BatchNorm's statistics of the average."""
        if int(self._average.n_averaged) > 1:
            with torch.no_grad():
                update_bn(batches(), self._average)
            self.states["average"] = _copy(self._average.module)
        return self.states


def cycles(recipe: Recipe, epochs: int) -> set[int]:
    """The last epoch of each of SGDR's cycles but the last: after it the rate is high again, or is before long."""
    warm, share = recipe.warmup * epochs, (1 - recipe.warmup) * epochs / RESTARTS[-1][1]
    spans = ((warm + share * start, math.floor(warm + share * end + 1e-9)) for start, end in RESTARTS[:-1])
    return {last for start, last in spans if last > start}


def _copy(network: torch.nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
