"""Normalisation: what is subtracted and divided by. Statistics of the training part, or of each utterance by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.dataset import Array, Dataset, Part

Affine = tuple[Array, Array]  # subtracted, divided by


def normalised(part: Part, dataset: Dataset, fitted: Affine | None = None) -> Array:
    """The samples of a part of `dataset` as a network sees them, float32 (n, *input_shape); `fitted`: its `affine`."""
    offset, scale = fitted or affine(dataset)
    x = _centred(part, dataset.normalise)
    x = np.subtract(x, offset, dtype=np.float32) if x is part.x else np.subtract(x, offset, out=x)
    return np.divide(x, scale, out=x)


def affine(dataset: Dataset) -> Affine:
    """Offset and scale, float32, of the training part alone: per feature of flat samples and frames, per channel else.

    Of the utterance kinds they come after what each utterance does for itself.
    """
    return NORMALISATIONS[dataset.normalise](_centred(dataset.fitted_on or dataset.train, dataset.normalise))


def check_normalisation(dataset: Dataset) -> None:
    """Raise `ValueError` where the data cannot be normalised as asked."""
    if dataset.normalise not in NORMALISATIONS:
        raise ValueError(f"normalise must be one of {', '.join(NORMALISATIONS)}, got {dataset.normalise!r}")
    if dataset.normalise.startswith("utterance") and dataset.train.groups is None:
        raise ValueError(f"--normalise {dataset.normalise} needs data made of utterances, and {dataset.name} is not")


def _centred(part: Part, normalise: str) -> Array:
    """The samples, of the utterance kinds with mean 0 in each utterance, of `utterance` with deviation 1 too."""
    if not normalise.startswith("utterance"):
        return part.x
    x = part.x.astype(np.float32)  # a copy
    for rows in np.split(x, part.starts[1:]):  # views of it
        rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        if normalise == "utterance":
            std = rows.std(axis=0, dtype=np.float64)
            rows /= np.where(std > 1e-7, std, 1.0).astype(np.float32)
    return x


def _axes(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim)) if x.ndim > 2 else (0,)


def _zscore(x: Array) -> Affine:
    mean = x.mean(axis=_axes(x), dtype=np.float64, keepdims=True)[0]
    std = x.std(axis=_axes(x), dtype=np.float64, keepdims=True)[0]
    return mean.astype(np.float32), np.where(std > 1e-7 * np.abs(mean), std, 1.0).astype(np.float32)


def _minmax(x: Array) -> Affine:
    low, high = (f(x, axis=_axes(x), keepdims=True)[0].astype(np.float64) for f in (np.min, np.max))
    return low.astype(np.float32), np.where(high > low, high - low, 1.0).astype(np.float32)


def _none(x: Array) -> Affine:
    shape = (x.shape[1], *(1,) * (x.ndim - 2)) if x.ndim > 2 else x.shape[1:]
    return np.zeros(shape, np.float32), np.ones(shape, np.float32)


NORMALISATIONS: dict[str, Callable[[Array], Affine]] = {
    "zscore": _zscore,
    "minmax": _minmax,
    "none": _none,
    "utterance": _none,  # mean and variance of each utterance (CMVN)
    "utterance-mean": _zscore,  # mean of each utterance (CMN), variance of the training part
}
