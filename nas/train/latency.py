"""The time that networks take for one sample, in turn, so that what else the machine does falls upon all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from nas.architecture import Architecture
from nas.network import Network

SECONDS = 5.0  # for all of them, once each has had its usual rounds, or one and this is four times over
ROUNDS = 3, 20  # usually, at most
PASSES = 3  # a round: the first of them finds the caches cold


def milliseconds(architectures: Sequence[Architecture], device: torch.device) -> list[float]:
    """Of each network the least time of a forward pass of one sample in evaluation mode, on one thread."""
    most = max(architecture.num_params for architecture in architectures)
    zeros = torch.zeros(3 * most, device=device)  # with running statistics; all networks share it
    networks = [(_built(a, zeros), torch.zeros(1, *a.input_shape, device=device)) for a in architectures]
    least, began = [math.inf] * len(networks), time.perf_counter()
    with torch.inference_mode(), _one_thread():
        for done in range(ROUNDS[1]):
            if done and time.perf_counter() - began > SECONDS * (1 if done >= ROUNDS[0] else 4):
                break
            for i, (network, x) in enumerate(networks):
                least[i] = min(least[i], *(_seconds(network, x) for _ in range(PASSES)))
    return [1e3 * seconds for seconds in least]


def _built(architecture: Architecture, zeros: Tensor) -> Network:
    """Its tensors are views of `zeros`: dozens of networks take the memory of one, and each no less of the caches."""
    with torch.device("meta"):
        network = Network(architecture).eval()
    state, start = {}, 0
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            state[name] = zeros[start : start + tensor.numel()].view(tensor.shape)
            start += tensor.numel()
        else:
            state[name] = torch.zeros_like(tensor, device=zeros.device)
    network.load_state_dict(state, assign=True)
    return network


def _seconds(network: Network, x: Tensor) -> float:
    began = time.perf_counter()
    network(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
