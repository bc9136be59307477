"""Averages of the weights over a training: what is evaluated and kept in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from itertools import compress
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, update_bn

from nas.network import Network
from nas.recipe import AVERAGES

DECAY = 0.999  # of the exponential average, reached from below, so that short trainings have a short memory


class Raw:
    """No average: the weights as they are."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def step(self) -> None:
        """A step was taken."""

    def evaluated(self, epoch: int, batches: Callable[[], Iterable[Tensor]]) -> Network:
        """The network to evaluate after `epoch`; `batches` gives the training part."""
        return self.network

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` of a new one needs to go on from here."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing is averaged, so there is nothing to go on from."""


class Exponential(Raw):
    """An exponential moving average (EMA) over the steps, of parameters and of BatchNorm's statistics.

    By hand: a GPU is asked for the count of `AveragedModel` at each step, and waits for all that is under way.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.taken, self.model = 0, deepcopy(network)

    @torch.no_grad()
    def step(self) -> None:
        averaged, current = ([*model.parameters(), *model.buffers()] for model in (self.model, self.network))
        floats = [tensor.is_floating_point() for tensor in current]
        means, values = list(compress(averaged, floats)), list(compress(current, floats))
        torch._foreach_lerp_(means, values, 1 - warming_decay(self.taken) if self.taken else 1.0)
        for mean, value, real in zip(averaged, current, floats, strict=True):
            if not real:  # a count
                mean.copy_(value)
        self.taken += 1

    def evaluated(self, epoch: int, batches: Callable[[], Iterable[Tensor]]) -> Network:
        return self.model

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.taken = state["taken"]


class Stochastic(Raw):
    """Stochastic weight averaging (SWA, arXiv 1803.05407): the mean over the last quarter of the epochs' ends."""

    def __init__(self, network: Network, epochs: int) -> None:
        super().__init__(network)
        self.start = epochs - max(1, epochs // 4)
        self.model = AveragedModel(network)

    def evaluated(self, epoch: int, batches: Callable[[], Iterable[Tensor]]) -> Network:
        if epoch <= self.start:
            return self.network
        self.model.update_parameters(self.network)
        with torch.no_grad():
            update_bn(batches(), self.model)  # algorithm 1, last line
        return cast("Network", self.model.module)

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])


def warming_decay(taken: int) -> float:
    """The decay of the exponential average after `taken` steps: a memory of a tenth of them, until `DECAY`."""
    return min(DECAY, (1 + taken) / (10 + taken))


def make_average(kind: str, network: Network, epochs: int) -> Raw:
    """The average of a recipe, a word of `AVERAGES`."""
    if kind == "ema":
        return Exponential(network)
    if kind == "swa":
        return Stochastic(network, epochs)
    if kind != "none":
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}, got {kind!r}")
    return Raw(network)
