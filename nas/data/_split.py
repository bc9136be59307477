"""Splits of data that has none, or half of one, by a seed; images as a network takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.dataset import Array, Part, generator


def hold_out(y: Array, share: float, seed: int, where: str) -> tuple[Array, Array]:
    """Class numbers (n,) -> rows that stay and rows held out, stratified: about `share` of each class is held out.

    Raises `ValueError` where one of them would be empty.
    """
    rng, out, seen, due = generator(seed), [], 0, 0
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        seen += len(rows)
        number = min(max(0, round(seen * share) - due), len(rows) - 1)  # what rounding left over goes to the next class
        due += number
        out.append(rows[:number])
    held = np.sort(np.concatenate(out))
    if not len(held):
        raise ValueError(
            f"{where}: a share of {share:g} of {len(y)} samples of {len(out)} classes, of which each keeps one, is none"
        )
    return np.setdiff1d(np.arange(len(y)), held, assume_unique=True), held


def check_share(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError(f"validation must be a share in 0..1, such as 0.1, got {share!r}")
    return share


def images(pixels: Array, y: Array, rows: Sequence[int] | Array | slice = slice(None)) -> Part:
    """Pixels, uint8 (n, channels, height, width), and class numbers (n,) -> a part of `rows`, samples in 0..1."""
    return Part(np.divide(pixels[rows], np.float32(255), dtype=np.float32), np.asarray(y[rows], np.int64))
