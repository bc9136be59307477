"""The dropout masks of a stack: each member's from its own bits, in the order in which its network would draw them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nas.train.dropout import LEVELS, Bits, scale, threshold
from nas.train.fused.activations import Step
from nas.train.fused.stack import Stack


class Masks:
    """Zero where an element is dropped, else the scale of its layer; `draw` makes those of the next step.

    `levels[level]` (features, batch), of members with dropout there; `inputs[member]` (features, batch).
    """

    def __init__(self, stack: Stack, batch: int) -> None:
        self.levels = [torch.ones(rows.number, batch, device=stack.device) for rows in stack.levels]
        self.inputs: dict[int, Tensor] = {}
        self._steps: list[Step] = []
        self._drawn: list[list[np.ndarray]] = [[] for _ in stack.chains]  # int16, of each member layer by layer
        for member, chain in enumerate(stack.chains):
            if chain.p:
                self.inputs[member] = torch.ones(stack.features, batch, device=stack.device)
                self._write(self.inputs[member], [(member, chain.p, slice(0, stack.features))])
        for level, (rows, mask) in enumerate(zip(stack.levels, self.levels, strict=True)):
            shares = [(member, stack.block(member, level).p, rows.of_member(member)) for member in rows.members]
            if any(p for _, p, _ in shares):
                self._write(mask, shares)

    def _write(self, mask: Tensor, shares: Sequence[tuple[int, float, slice]]) -> None:
        """Write down how a mask is made, of members that own rows of it and drop such a share."""
        bits = torch.full(mask.shape, LEVELS // 2 - 1, dtype=torch.int16)  # nothing is dropped
        least, scales = torch.full((len(mask), 1), threshold(0.0), dtype=torch.int16), torch.ones(len(mask), 1)
        for member, p, rows in shares:
            if p:
                self._drawn[member].append(bits[rows].view(-1).numpy())
                least[rows], scales[rows] = threshold(p), scale(p)
        self._steps += [partial(torch.ge, bits, least, out=mask), partial(mask.mul_, scales)]

    def draw(self, bits: Sequence[Bits]) -> None:
        """From the streams of the members."""
        for stream, layers in zip(bits, self._drawn, strict=True):
            if layers:
                stream.fill(layers)
        for step in self._steps:
            step()
