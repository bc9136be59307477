"""Data resident on the device: tensors indexed by a permutation, context windows as a strided view of one array."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from nas.architecture import Architecture
from nas.dataset import Dataset, Part
from nas.normalise import Affine, normalised
from nas.ops import Shape


def batch_of(architecture: Architecture, wanted: int, samples: int) -> int:
    """Samples of a batch: as many as wanted, or all. Raises `ValueError` where BatchNorm has nothing to compare."""
    alone = min(wanted, samples) == 1
    for node, shape in zip(architecture.nodes, architecture.shapes, strict=True):
        if alone and node.op == "batchnorm" and prod(shape[1:]) == 1:
            raise ValueError(
                "batch_size 1 leaves batchnorm nothing to compare with; --fix batch_size=2, or another norm"
            )
    return min(wanted, samples)


def batches(permutation: Tensor, size: int) -> list[Tensor]:
    """The permutation in batches; a last one of a single sample is dropped, for BatchNorm needs two."""
    return [rows for rows in torch.split(permutation, size) if len(rows) > 1 or size == 1]


@dataclass(frozen=True)
class Resident:
    """Normalised samples (n, *input_shape) and class numbers (n,) on the device.

    Of frames, `x` (rows, features) has `pad` rows of zeros before and after each utterance, shared between neighbours,
    so that no window reaches into another; `at`, (n,), is the row of each frame.
    """

    x: Tensor
    y: Tensor
    at: Tensor | None = None
    pad: int = 0

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def of(cls, part: Part, dataset: Dataset, device: torch.device, fitted: Affine | None = None) -> Resident:
        """A part of `dataset`, of which `fitted` is the `affine`, should it be known."""
        x, y = normalised(part, dataset, fitted), torch.from_numpy(part.y).to(device)
        if not dataset.contexts:
            return cls(torch.from_numpy(x).to(device), y)
        pad = max(dataset.contexts)
        utterance = np.repeat(np.arange(len(part.starts)), part.lengths)  # 0, 0, 0, 1, 1, ...
        at = np.arange(len(part)) + pad * (utterance + 1)
        padded = torch.zeros((len(part) + pad * (int(utterance[-1]) + 2), *x.shape[1:]), device=device)
        rows = torch.from_numpy(at).to(device)
        padded[rows] = torch.from_numpy(x).to(device)
        return cls(padded, y, rows, pad)

    def samples(self, rows: Tensor, shape: Shape) -> Tensor:
        """The samples at positions `rows` as inputs of `shape`, (len(rows), *shape), a copy of their own."""
        if self.at is None:
            return self.x.index_select(0, rows)
        context, width = shape[0] // 2, self.x.shape[1]
        if context > self.pad:
            raise ValueError(f"a context of {context} frames needs as much padding, got {self.pad}")
        windows = self.x.as_strided((len(self.x) - 2 * context, (2 * context + 1) * width), (width, 1))
        return windows.index_select(0, self.at.index_select(0, rows) - context).view(-1, *shape)
