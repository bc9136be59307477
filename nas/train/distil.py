"""Distillation (arXiv 1503.02531): several trained networks teach one, by the probabilities they give its samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

SHARE = 0.7  # of the loss, what the teacher has; the rest is the labels'


@dataclass(frozen=True)
class Soft:
    """The teacher's probabilities (n, classes) of the training samples as they are, softened by `temperature`."""

    probabilities: Tensor
    temperature: float

    @classmethod
    def mean(cls, logits: Iterable[tuple[float, Tensor]], temperature: float) -> Soft:
        """Of several teachers: shares that add to 1, and logits (n, classes)."""
        return cls(torch.stack([s * torch.softmax(z / temperature, 1) for s, z in logits]).sum(0), temperature)

    def of(self, rows: Tensor) -> Soft:
        """Those of the samples at these positions."""
        return replace(self, probabilities=self.probabilities.index_select(0, rows))

    def mixed(self, others: Tensor, share: Tensor) -> Soft:
        """Those of a mixup: `share` (batch,) of each sample, the rest of the sample at `others`."""
        kept = share.unsqueeze(1)
        return replace(self, probabilities=kept * self.probabilities + (1 - kept) * self.probabilities[others])

    def loss(self, logits: Tensor, hard: Tensor) -> Tensor:
        """Section 2: that of the soft targets times the temperature squared, and `hard`, the loss of the labels."""
        student = log_softmax(logits.float() / self.temperature, 1)
        taught = kl_div(student, self.probabilities, reduction="batchmean") * self.temperature**2
        return SHARE * taught + (1 - SHARE) * hard
