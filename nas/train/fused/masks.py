"""The dropout masks of a stack: each member's from its own bits, in the order in which its network would draw them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nas.train.dropout import Bits, scale, threshold, words_of
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
        self._words: list[np.ndarray] = []
        for member, chain in enumerate(stack.chains):
            masks: list[tuple[float, Tensor]] = []
            if chain.p:
                self.inputs[member] = torch.empty(stack.features, batch, device=stack.device)
                masks.append((chain.p, self.inputs[member]))
            for level, block in enumerate(chain.blocks):
                if block.p:
                    masks.append((block.p, self.levels[level][stack.levels[level].of_member(member)]))
            self._words.append(self._drawn(masks))
        for level, rows in enumerate(stack.levels):
            blocks = [stack.block(member, level) for member in rows.members]
            if any(block.p for block in blocks):
                scales = [scale(block.p) for block in blocks for _ in range(block.width)]
                self._steps.append(partial(self.levels[level].mul_, torch.tensor(scales).unsqueeze(1)))
        for member, mask in self.inputs.items():
            self._steps.append(partial(mask.mul_, scale(stack.chains[member].p)))

    def _drawn(self, masks: Sequence[tuple[float, Tensor]]) -> np.ndarray:
        """The 64-bit words that these masks of one member are made of."""
        sizes = [words_of(mask.numel()) for _, mask in masks]
        words = torch.empty(sum(sizes), dtype=torch.int64)
        for piece, (p, mask) in zip(torch.split(words, sizes) if masks else (), masks, strict=True):
            drawn = piece.view(torch.int16)[: mask.numel()].view(mask.shape)
            self._steps.append(partial(torch.ge, drawn, threshold(p), out=mask))
        found: np.ndarray = words.numpy()
        return found

    def draw(self, bits: Sequence[Bits]) -> None:
        """From the streams of the members."""
        for stream, words in zip(bits, self._words, strict=True):
            if len(words):
                stream.fill(words)
        for step in self._steps:
            step()
