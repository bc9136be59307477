"""Arrays by name, whatever holds them: `X` and `y`, or `X_train y_train X_val y_val X_test y_test`."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from nas.dataset import Array, Arrays, Dataset, Part, Source, as_float32, as_words, check_part
from nas.ops import Shape

PARTS = ("train", "val", "test")


class NamedArrays(Source):
    """Samples (n, *shape), labels (n,) as numbers or words; nothing is unpickled."""

    @abstractmethod
    def found(self) -> set[str]:
        """The names of the arrays. Raises `ValueError` where there is nothing to look into."""

    @abstractmethod
    def shape(self, name: str) -> Shape:
        """The shape of an array, its numbers unread. Raises `ValueError`."""

    @abstractmethod
    def read(self, name: str) -> Array:
        """An array. Raises `ValueError`."""

    def task(self) -> tuple[Shape, int]:
        names = self._names()
        labels = [np.atleast_1d(self.read(name)) for name in names if name.startswith("y")]
        shape = self.shape(names[0])
        if 0 in shape[1:]:
            raise ValueError(f"{self.path}: {names[0]} must be of shape (n, features...), got {shape}")
        return shape[1:], len(np.unique(np.concatenate(labels)))

    def load(self, seed: int) -> Dataset:
        names = self._names()
        if names == ["X", "y"]:
            return Arrays(self.read("X"), self.read("y"), self.path).load(seed)
        arrays = {name: self.read(name) for name in names}
        arrays |= {name: as_words(y) for name, y in arrays.items() if name.startswith("y")}
        for part in PARTS:
            check_part(arrays[f"X_{part}"], arrays[f"y_{part}"], f"{self.path} ({part})")
        kinds = {part: str(arrays[f"y_{part}"].dtype) for part in PARTS}
        if len({arrays[f"y_{part}"].dtype.kind == "U" for part in PARTS}) != 1:
            raise ValueError(f"{self.path}: the labels of the parts must all be words or all be numbers, got {kinds}")
        classes = np.unique(np.concatenate([arrays[f"y_{part}"] for part in PARTS]))
        parts = [self._part(arrays[f"X_{part}"], arrays[f"y_{part}"], part, classes) for part in PARTS]
        shapes = {part: p.x.shape[1:] for part, p in zip(PARTS, parts, strict=True)}
        if len(set(shapes.values())) != 1:
            raise ValueError(f"{self.path}: the parts have samples of different shapes: {shapes}")
        return Dataset(self.path, parts[0], parts[1], parts[2], tuple(map(str, classes)))

    def _part(self, x: Array, y: Array, part: str, classes: Array) -> Part:
        return Part(as_float32(x, f"{self.path} ({part})"), np.searchsorted(classes, y).astype(np.int64))

    def _names(self) -> list[str]:
        found = self.found()
        split = [f"{letter}_{part}" for part in PARTS for letter in "Xy"]
        for wanted in (["X", "y"], split):
            if found.issuperset(wanted):
                return wanted
        has = ", ".join(sorted(found)) or "none"
        raise ValueError(f"{self.path} needs arrays X and y, or {', '.join(split)}; it has {has}")
