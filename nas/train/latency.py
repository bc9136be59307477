"""The time that networks take for one sample, in turn, so that what else the machine does falls upon all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from nas.architecture import Architecture
from nas.network import Network
from nas.train.threads import one_thread

SECONDS = 5.0  # for all of them, once each has had its usual rounds, or one and this is four times over
ROUNDS = 3, 20  # usually, at most
PASSES = 3  # a round: the first of them finds the caches cold


def milliseconds(architectures: Sequence[Architecture], device: torch.device) -> list[float]:
    """Of each network the least time of a forward pass of one sample in evaluation mode, on one thread."""
    with torch.device("meta"):
        networks = [Network(architecture).eval() for architecture in architectures]
    _fill(networks, device)
    inputs = [torch.zeros(1, *architecture.input_shape, device=device) for architecture in architectures]
    least, began = [math.inf] * len(networks), time.perf_counter()
    with torch.inference_mode(), one_thread():
        for done in range(ROUNDS[1]):
            if done and time.perf_counter() - began > SECONDS * (1 if done >= ROUNDS[0] else 4):
                break
            for i, (network, x) in enumerate(zip(networks, inputs, strict=True)):
                least[i] = min(least[i], *(_seconds(network, x) for _ in range(PASSES)))
    return [1e3 * seconds for seconds in least]


def _fill(networks: Sequence[Network], device: torch.device) -> None:
    """Tensors that are views of one: dozens of networks take the memory of one, and each no less of the caches."""
    states = [network.state_dict() for network in networks]
    most = max(sum(t.numel() for t in state.values() if t.is_floating_point()) for state in states)
    zeros = torch.zeros(most, device=device)
    for network, state in zip(networks, states, strict=True):
        start = 0
        for name, tensor in state.items():
            if tensor.is_floating_point():
                state[name] = zeros[start : start + tensor.numel()].view(tensor.shape)
                start += tensor.numel()
            else:
                state[name] = torch.zeros_like(tensor, device=device)
        network.load_state_dict(state, assign=True)


def _seconds(network: Network, x: Tensor) -> float:
    began = time.perf_counter()
    network(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began
