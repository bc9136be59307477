"""Normalisation of rows of features: forward, and the gradient, written by hand.

Means over the batch are products with a vector of ones: torch's own reductions took five times as long on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nas.train.fused.graph import Aside

EPSILON, MOMENTUM = 1e-5, 0.1  # those of torch


@dataclass
class BatchNorm:
    """Features (rows, batch) `z` -> `out`, over the batch; `hat` keeps them normalised for the gradient."""

    z: Tensor
    hat: Tensor
    out: Tensor
    gamma: Tensor
    beta: Tensor
    mean: Tensor
    variance: Tensor

    def __post_init__(self) -> None:
        self.batch = self.z.shape[1]
        self.share = torch.full((self.batch, 1), 1 / self.batch, device=self.z.device)
        self.scratch = torch.empty_like(self.z)
        self._gamma, self._beta = self.gamma.unsqueeze(1), self.beta.unsqueeze(1)

    def forward(self) -> None:
        """With the statistics of the batch, which move the running ones."""
        mean = self.z @ self.share
        torch.sub(self.z, mean, out=self.hat)
        variance = torch.mul(self.hat, self.hat, out=self.scratch) @ self.share
        self.inverse = (variance + EPSILON).rsqrt_()
        self.hat.mul_(self.inverse)
        torch.addcmul(self._beta, self.hat, self._gamma, out=self.out)
        self.mean.lerp_(mean.squeeze(1), MOMENTUM)
        self.variance.lerp_(variance.squeeze(1) * (self.batch / (self.batch - 1)), MOMENTUM)

    def evaluate(self) -> None:
        """With the running statistics."""
        slope = self.gamma * (self.variance + EPSILON).rsqrt_()
        shift = torch.addcmul(self.beta, self.mean, slope, value=-1)
        torch.addcmul(shift.unsqueeze(1), self.z, slope.unsqueeze(1), out=self.out)

    def backward(self, gradient: Tensor, gamma: Tensor, beta: Tensor) -> None:
        """The gradient of `z` into `z` from that of `out`; those of the parameters into `gamma` and `beta`."""
        along = torch.mul(gradient, self.hat, out=self.scratch) @ self.share
        down = gradient @ self.share
        torch.mul(along.squeeze(1), self.batch, out=gamma)
        torch.mul(down.squeeze(1), self.batch, out=beta)
        torch.addcmul(gradient, self.hat, along, value=-1, out=self.z)
        self.z.sub_(down).mul_(self.inverse * self._gamma)


@dataclass
class LayerNorm:
    """Features (rows, batch) of members `z` -> `out`, over the features of each sample.

    `widths` are those of the members, one after the other. Their means are a product each, so that nothing which is not
    finite goes from one to another; all else is a call for all of them.
    """

    z: Tensor
    hat: Tensor
    out: Tensor
    gamma: Tensor
    beta: Tensor
    widths: Sequence[int]

    def __post_init__(self) -> None:
        device, members, batch = self.z.device, len(self.widths), self.z.shape[1]
        self.owner = torch.repeat_interleave(torch.tensor(self.widths)).to(device)
        self.ones = torch.ones((batch,), device=device)
        self.scratch, self.inverse = torch.empty_like(self.z), torch.empty(0)
        self.means, self.others = (torch.empty(members, batch, device=device) for _ in range(2))
        self._average = self._averaging(self.z, self.means)
        self._average_scratch = self._averaging(self.scratch, self.others)
        self._gamma, self._beta = self.gamma.unsqueeze(1), self.beta.unsqueeze(1)

    def _averaging(self, x: Tensor, means: Tensor) -> Aside:
        """The means over each member's features, (members, batch)."""
        shares = [torch.full((1, width), 1 / width, device=x.device) for width in self.widths]
        parts = zip(shares, torch.split(x, list(self.widths)), torch.split(means, 1), strict=True)
        return Aside([partial(torch.mm, share, own, out=mean) for share, own, mean in parts])

    def _spread(self, means: Tensor) -> Tensor:
        """For each row its owner's, (rows, batch)."""
        return means if len(means) == 1 else means.index_select(0, self.owner)

    def forward(self) -> None:
        self._average()
        torch.sub(self.z, self._spread(self.means), out=self.hat)
        torch.mul(self.hat, self.hat, out=self.scratch)
        self._average_scratch()
        self.inverse = self._spread((self.others + EPSILON).rsqrt_())
        self.hat.mul_(self.inverse)
        torch.addcmul(self._beta, self.hat, self._gamma, out=self.out)

    def backward(self, gradient: Tensor, gamma: Tensor, beta: Tensor) -> None:
        """The gradient of `z` into `z` from that of `out`; those of the parameters into `gamma` and `beta`."""
        torch.mv(gradient, self.ones, out=beta)
        torch.mv(torch.mul(gradient, self.hat, out=self.scratch), self.ones, out=gamma)
        torch.mul(gradient, self._gamma, out=self.z)
        torch.mul(self.z, self.hat, out=self.scratch)
        self._average()
        self._average_scratch()
        self.z.sub_(self._spread(self.means)).addcmul_(self.hat, self._spread(self.others), value=-1)
        self.z.mul_(self.inverse)
