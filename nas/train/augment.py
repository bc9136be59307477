"""Augmentation of a training batch on its device, each sample by a draw of its own.

Images are (batch, channels, height, width), windows (batch, frames, features). Chance is a generator on the device of
the samples; None is torch's global one, from which `mixup` draws always. The zeros that are put in are the mean of
samples whose normalisation gives them a mean of 0, as minmax and none do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Beta
from torch.nn.functional import affine_grid, grid_sample, pad

from nas.ops import Shape
from nas.recipe import Recipe

Augmentation = Callable[[Tensor, Generator | None], Tensor]
WINDOW = ("time_mask", "freq_mask")


def flip(x: Tensor, chance: Generator | None = None) -> Tensor:
    """Mirror images left to right, each with probability 1/2: (batch, channels, height, width) -> the same."""
    mirrored = torch.rand(len(x), 1, 1, 1, device=x.device, generator=chance) < 0.5
    return torch.where(mirrored, x.flip(-1), x)


def shift(x: Tensor, pixels: int, chance: Generator | None = None) -> Tensor:
    """Move images by up to `pixels` down or up and sideways, zeros behind them: (batch, channels, height, width)."""
    n, _, height, width = x.shape
    padded = pad(x, (pixels,) * 4)
    top, left = torch.randint(2 * pixels + 1, (2, n, 1), device=x.device, generator=chance)
    rows = top + torch.arange(height, device=x.device)  # (batch, height)
    columns = left + torch.arange(width, device=x.device)
    sample = torch.arange(n, device=x.device)[:, None, None]
    return padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def rotate(x: Tensor, degrees: float, chance: Generator | None = None) -> Tensor:
    """Turn images about their centre by up to `degrees` either way, bilinear: (batch, channels, height, width)."""
    height, width = x.shape[2:]
    angle = (2 * torch.rand(len(x), device=x.device, generator=chance) - 1) * math.radians(degrees)
    cos, sin, nothing = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid measures both sides as 2, so the angle is that of pixels only with the ratio of the sides put in
    rows = (cos, -sin * height / width, nothing, sin * width / height, cos, nothing)
    grid = affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(x.shape), align_corners=False)
    return grid_sample(x, grid.to(x.dtype), align_corners=False)


def cutout(x: Tensor, side: int, chance: Generator | None = None) -> Tensor:
    """Erase a square of `side` pixels about any pixel, cut off at the border (arXiv 1708.04552): (batch, c, h, w)."""
    n, _, height, width = x.shape
    first = torch.randint(height, (n,), device=x.device, generator=chance) - side // 2
    left = torch.randint(width, (n,), device=x.device, generator=chance) - side // 2
    rows, columns = _run(height, first, side), _run(width, left, side)
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def time_mask(x: Tensor, most: int, chance: Generator | None = None) -> Tensor:
    """Zero a run of 0..`most` frames of each window: (batch, frames, features) -> the same (SpecAugment, section 2).

    A window of fewer frames keeps at least one.
    """
    return x.masked_fill(_some(x.shape[1], most, x, chance)[:, :, None], 0)


def freq_mask(x: Tensor, most: int, chance: Generator | None = None) -> Tensor:
    """Zero a run of 0..`most` features in all frames of each window: (batch, frames, features) -> the same."""
    return x.masked_fill(_some(x.shape[2], most, x, chance)[:, None, :], 0)


def _run(size: int, first: Tensor, length: Tensor | int) -> Tensor:
    """Of each sample, the positions `first` .. `first + length - 1` of `size`: (batch,) -> bool (batch, size)."""
    at = torch.arange(size, device=first.device) - first[:, None]
    return (at >= 0) & (at < (length if isinstance(length, int) else length[:, None]))


def _some(size: int, most: int, x: Tensor, chance: Generator | None) -> Tensor:
    """Of each sample of `x`, a run of 0..`most` positions anywhere among `size`, never all: bool (batch, size)."""
    length = torch.randint(min(most, size - 1) + 1, (len(x),), device=x.device, generator=chance)
    first = (torch.rand(len(x), device=x.device, generator=chance) * (size - length + 1)).long()
    return _run(size, first, length)


def mixup(x: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Blend every sample with another of the batch (arXiv 1710.09412), each by a share from Beta(alpha, alpha).

    (batch, ...) -> blended (batch, ...), positions (batch,) of the others, shares (batch,) of the samples themselves.
    """
    others = torch.randperm(len(x), device=x.device)
    concentration = torch.full((len(x),), alpha, device=x.device)
    share = Beta(concentration, concentration, validate_args=False).sample()
    return torch.lerp(x[others], x, share.view(-1, *(1,) * (x.ndim - 1))), others, share


def augmentation(recipe: Recipe, shape: Shape) -> Augmentation:
    """All of the recipe's augmentations of one sample alone, in their order, for samples of `shape`; not `mixup`.

    Raises `ValueError` for one that has no meaning for such samples.
    """
    chosen = [(name, amount) for name in ALONE if (amount := getattr(recipe, name))]
    for name, amount in chosen:
        _check(name, amount, shape)

    def augmented(x: Tensor, chance: Generator | None = None) -> Tensor:
        for name, amount in chosen:
            x = ALONE[name](x, amount, chance)
        return x

    return augmented


ALONE: dict[str, Callable[[Tensor, Any, Generator | None], Tensor]] = {
    "flip": lambda x, _, chance: flip(x, chance),
    "shift": shift,
    "rotate": rotate,
    "cutout": cutout,
    "time_mask": time_mask,
    "freq_mask": freq_mask,
}


def _check(name: str, amount: float, shape: Shape) -> None:
    off = f"{name} must be {'false' if amount is True else 0}"
    if name in WINDOW and len(shape) != 2:
        raise ValueError(f"{off} for samples of shape {shape}, got {amount}; it is for windows (frames, features)")
    if name not in WINDOW and len(shape) != 3:
        raise ValueError(
            f"{off} for samples of shape {shape}, got {amount}; it is for images (channels, height, width)"
        )
    limit = {"shift": min(shape[-2:]) - 1, "cutout": min(shape[-2:]), "freq_mask": shape[-1] - 1}.get(name, amount)
    if amount > limit:
        raise ValueError(f"{name} must be at most {limit} for samples of shape {shape}, got {amount}")
