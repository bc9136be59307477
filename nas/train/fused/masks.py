"""The dropout masks of a stack: each member's own, whatever the company that it keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nas.train.dropout import Bits, scale, threshold
from nas.train.fused import hashed
from nas.train.fused.activations import Step
from nas.train.fused.stack import Stack


class Masks(ABC):
    """Zero where an element is dropped, else the scale of its layer: `mask`, (features of all that drop any, batch).

    `at[member, layer]` are the rows of a member; its input is layer 0, what its level l gives layer l + 1. `steps` make
    a mask of random integers, `bits`, of which the least are dropped.
    """

    dtype: torch.dtype

    def __init__(self, stack: Stack, batch: int) -> None:
        self.at: dict[tuple[int, int], slice] = {}
        self.device, rows = stack.device, 0
        dropped = list(_dropped(stack))
        for member, layer, width, _ in dropped:
            self.at[member, layer] = slice(rows, rows + width)
            rows += width
        self.mask = torch.empty(rows, batch, device=self.device)
        self.bits = torch.empty(rows, batch, dtype=self.dtype, device=self.device)
        unit = 1 << torch.iinfo(self.dtype).bits - 16  # what one of 16 bits is worth
        least = self._column([unit * threshold(p) for *_, p in dropped], self.dtype)
        scales = self._column([scale(p) for *_, p in dropped], torch.float32)
        self.steps: list[Step] = [
            *self._drawing(),
            partial(torch.ge, self.bits, least, out=self.mask),
            partial(self.mask.mul_, scales),
        ]

    def _column(self, values: Sequence[float], dtype: torch.dtype) -> Tensor:
        """A value of each layer for each of its rows, (rows, 1)."""
        widths = [rows.stop - rows.start for rows in self.at.values()]
        return torch.tensor(np.repeat(values, widths), dtype=dtype, device=self.device).unsqueeze(1)

    @abstractmethod
    def _drawing(self) -> list[Step]:
        """What of a step makes `bits`."""

    @abstractmethod
    def prepare(self) -> None:
        """What is done on the host before a step."""


class Drawn(Masks):
    """From the streams of the members, in the order in which their networks would draw."""

    dtype = torch.int16

    def __init__(self, stack: Stack, batch: int, streams: Sequence[Bits]) -> None:
        super().__init__(stack, batch)
        self._layers: dict[int, list[np.ndarray]] = {}
        self._streams = streams
        for (member, _), rows in self.at.items():
            self._layers.setdefault(member, []).append(self.bits[rows].view(-1).numpy())

    def _drawing(self) -> list[Step]:
        return []

    def prepare(self) -> None:
        for member, layers in self._layers.items():
            self._streams[member].fill(layers)


class Hashed(Masks):
    """By `nas.train.fused.hashed`, with the keys of the step to come, int32 (members,)."""

    dtype = torch.int32

    def __init__(self, stack: Stack, batch: int, seeds: Sequence[int], keys: Tensor) -> None:
        self._keys, self._seeds = keys, seeds
        super().__init__(stack, batch)

    def _drawing(self) -> list[Step]:
        batch = self.bits.shape[1]
        made = [
            hashed.salts(self._seeds[member], layer, batch * (rows.stop - rows.start)).reshape(-1, batch)
            for (member, layer), rows in self.at.items()
        ]
        salts = torch.from_numpy(np.concatenate(made)).to(self.device)
        owner = self._column([member for member, _ in self.at], torch.int64).squeeze(1)
        return [partial(_added, self._keys, owner, salts, self.bits), *hashed.mixing(self.bits)]

    def prepare(self) -> None:
        """Nothing: whoever takes the step says the keys."""


def _added(keys: Tensor, owner: Tensor, salts: Tensor, out: Tensor) -> None:
    """To the salts of each row the key of its owner."""
    torch.add(salts, keys.index_select(0, owner).unsqueeze(1), out=out)


def masks_of(stack: Stack, batch: int, streams: Sequence[Bits], seeds: Sequence[int], keys: Tensor) -> Masks | None:
    """As the device has them; None where nothing is dropped."""
    if not any(True for _ in _dropped(stack)):
        return None
    return Hashed(stack, batch, seeds, keys) if stack.ways.hashed else Drawn(stack, batch, streams)


def _dropped(stack: Stack) -> Iterator[tuple[int, int, int, float]]:
    """Layers of which some is dropped: member, layer, features, share; those of a layer side by side."""
    for member, chain in enumerate(stack.chains):
        if chain.p:
            yield member, 0, stack.features, chain.p
    for level, rows in enumerate(stack.levels):
        for member in rows.members:
            block = stack.block(member, level)
            if block.p:
                yield member, level + 1, block.width, block.p
