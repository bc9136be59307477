"""Other cuts of a data set: a stratified part of it for the search, folds for cross-validation. The test part stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nas.dataset import Array, Dataset, Part


@dataclass(frozen=True)
class Cut:
    """A data set whose training and validation parts are the rows `train` and `rest` of both parts together."""

    whole: Dataset
    train: Array | None = None  # None: the parts are those of the whole
    rest: Array | None = None

    @property
    def samples(self) -> int:
        """The size of the training part."""
        return len(self.whole.train if self.train is None else self.train)

    def dataset(self) -> Dataset:
        if self.train is None or self.rest is None:
            return self.whole
        pool = _joined(self.whole.train, self.whole.validation)
        return replace(self.whole, train=pool.take(self.train), validation=pool.take(self.rest), fitted_on=None)


def sampled(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data set with `share` of its training part: of every class, or of the groups, which stay whole."""
    if share == 1:
        return dataset
    if share * len(dataset.train) < len(dataset.classes):
        raise ValueError(
            f"--sample {share:g} of {len(dataset.train):,} training samples is {share * len(dataset.train):.2g}, fewer "
            f"than the {len(dataset.classes)} classes; raise --sample"
        )
    rng, train = np.random.default_rng((seed, 0x5A3)), dataset.train
    labels = train.y if train.groups is None else train.groups
    if train.groups is None:
        rows = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
        kept = np.concatenate([r[: max(1, round(share * len(r)))] for r in rows])
    else:
        groups = rng.permutation(np.unique(labels))
        kept = np.flatnonzero(np.isin(labels, groups[: max(1, round(share * len(groups)))]))
    return replace(dataset, train=train.take(np.sort(kept)), fitted_on=train)


def folds(dataset: Dataset, k: int, seed: int) -> list[Cut]:
    """`k` cuts whose validation parts, stratified and of whole groups, are the training and validation parts cut up.

    Raises `ValueError` where a class, or all groups together, are fewer than `k`.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # half a second to import

    pool = _joined(dataset.train, dataset.validation)
    fewest = np.bincount(pool.y)[np.unique(pool.y)].min()
    units, word = (fewest, "samples of a class") if pool.groups is None else (len(np.unique(pool.groups)), "groups")
    if units < k:
        raise ValueError(f"--folds {k} needs as many {word} in training and validation, and there are {units}")
    cut = StratifiedKFold if pool.groups is None else StratifiedGroupKFold
    few = seed if seed < 2**32 else int(np.random.SeedSequence(seed).generate_state(1)[0])  # scikit-learn takes no more
    splits = cut(k, shuffle=True, random_state=few).split(pool.y, pool.y, pool.groups)
    return [Cut(dataset, train, rest) for train, rest in splits]


def _joined(a: Part, b: Part) -> Part:
    groups: Array | None = None
    if a.groups is not None and b.groups is not None:
        groups = np.concatenate([a.groups, b.groups + a.groups.max() + 1])
    return Part(np.concatenate([a.x, b.x]), np.concatenate([a.y, b.y]), groups)
