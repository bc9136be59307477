"""What else a training leaves that an ensemble may take: the ends of SGDR's cycles, and the mean of the last epochs."""

from __future__ import annotations

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
        ends = {round(end * epochs / RESTARTS[-1][1]) for _, end in RESTARTS[:-1]}  # the last one is the training's own
        self._cycles = ends - {0} if recipe.schedule == "sgdr" else set()
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


def _copy(network: torch.nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
