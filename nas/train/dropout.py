"""Dropout from sixteen random bits an element: a network of its own stream, so that it drops the same in any company.

On a CPU torch draws such masks one element at a time, which took five times as long as the matrix product before it;
four elements of each 64-bit word of SFC64 take a tenth of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 1 << 16  # of a share p: it is rounded to this many


class Bits:
    """The stream of random bits of one training."""

    def __init__(self, seed: int) -> None:
        self._stream = np.random.SFC64(seed)

    @property
    def state(self) -> Tensor:
        """Where the stream stands."""
        return torch.from_numpy(self._stream.state["state"]["state"].view(np.int64).copy())

    @state.setter
    def state(self, state: Tensor) -> None:
        self._stream.state = {**self._stream.state, "state": {"state": state.numpy().view(np.uint64).copy()}}

    def fill(self, layers: Sequence[np.ndarray]) -> None:
        """Draw for one layer after the other, into arrays of int16."""
        sizes = [-(-len(layer) // 4) * 4 for layer in layers]  # each begins with a fresh word
        drawn = self._stream.random_raw(sum(sizes) // 4).view(np.int16)
        for layer, start in zip(layers, accumulate(sizes, initial=0), strict=False):
            layer[:] = drawn[start : start + len(layer)]

    def elements(self, number: int) -> Tensor:
        """So many random int16, (number,)."""
        return torch.from_numpy(self._stream.random_raw(-(-number // 4)).view(np.int16)[:number])


def threshold(p: float) -> int:
    """Elements below it, as int16, are dropped."""
    return round(p * LEVELS) - LEVELS // 2


def scale(p: float) -> float:
    """What the elements that are left are multiplied by."""
    return LEVELS / (LEVELS - round(p * LEVELS))


@contextmanager
def dropping(network: nn.Module, bits: Bits) -> Iterator[None]:
    """In here the `nn.Dropout` layers of a network on a CPU take their masks from `bits` while it trains."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    if any(p.device.type != "cpu" for p in network.parameters()):
        layers = []  # elsewhere torch's own is one kernel
    for layer in layers:
        layer.forward = _Forward(layer, bits)  # type: ignore[assignment]  # of this instance alone, for a while
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _Forward:
    """`nn.Dropout.forward` from a stream of bits."""

    def __init__(self, layer: nn.Dropout, bits: Bits) -> None:
        self._layer, self._bits = layer, bits

    def __call__(self, x: Tensor) -> Tensor:
        if not self._layer.training or not self._layer.p:
            return x
        drawn = self._bits.elements(x.numel())
        # features first, as networks that are trained together have them
        drawn = drawn.view(x.shape[1], -1).t() if x.ndim == 2 else drawn.view(x.shape)
        kept = torch.empty_like(x)
        torch.ge(drawn, threshold(self._layer.p), out=kept)
        return x * kept.mul_(scale(self._layer.p))
