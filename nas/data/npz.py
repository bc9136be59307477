"""A NumPy archive: arrays `X` and `y`, or `X_train y_train X_val y_val X_test y_test` where the split is given."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nas.dataset import Array, Arrays, Dataset, Part, Source, as_float32, check_part
from nas.ops import Shape

DAMAGE = (ValueError, OSError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
PARTS = ("train", "val", "test")


class Npz(Source):
    """`npz:FILE`. Samples (n, *shape), labels (n,) as numbers or words; nothing is unpickled."""

    def task(self) -> tuple[Shape, int]:
        names = self._names()
        labels = [np.atleast_1d(self._read(name)) for name in names if name.startswith("y")]
        return self._header(names[0])[1:], len(np.unique(np.concatenate(labels)))

    def _header(self, name: str) -> Shape:
        """The shape of an array, its numbers unread."""
        try:
            with self._open() as archive, archive.open(f"{name}.npy") as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                return tuple(read(member)[0])
        except DAMAGE as error:
            raise ValueError(f"{self.path}: array {name!r} cannot be read: {error}") from None

    def load(self, seed: int) -> Dataset:
        names = self._names()
        if names == ["X", "y"]:
            return Arrays(self._read("X"), self._read("y"), self.path).load(seed)
        arrays = {name: self._read(name) for name in names}
        classes = np.unique(np.concatenate([arrays[f"y_{part}"] for part in PARTS]))
        parts = [self._part(arrays[f"X_{part}"], arrays[f"y_{part}"], part, classes) for part in PARTS]
        shapes = {part: p.x.shape[1:] for part, p in zip(PARTS, parts, strict=True)}
        if len(set(shapes.values())) != 1:
            raise ValueError(f"{self.path}: the parts have samples of different shapes: {shapes}")
        return Dataset(self.path, parts[0], parts[1], parts[2], tuple(map(str, classes)))

    def _part(self, x: Array, y: Array, part: str, classes: Array) -> Part:
        check_part(x, y, f"{self.path} ({part})")
        return Part(as_float32(x, f"{self.path} ({part})"), np.searchsorted(classes, y).astype(np.int64))

    def _names(self) -> list[str]:
        with self._open() as archive:
            found = {name.removesuffix(".npy") for name in archive.namelist()}
        split = [f"{letter}_{part}" for part in PARTS for letter in "Xy"]
        for wanted in (["X", "y"], split):
            if found.issuperset(wanted):
                return wanted
        raise ValueError(f"{self.path} needs arrays X and y, or {', '.join(split)}; it has {', '.join(sorted(found))}")

    def _open(self) -> zipfile.ZipFile:
        if not Path(self.path).is_file():
            raise ValueError(f"there is no file {self.path!r}; --data npz:FILE takes a NumPy archive")
        try:
            return zipfile.ZipFile(self.path)
        except zipfile.BadZipFile:
            raise ValueError(f"{self.path} is damaged or not a NumPy archive (made by np.savez)") from None

    def _read(self, name: str) -> Array:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                array: Any = archive[name]
                return np.asarray(array)
        except DAMAGE as error:
            raise ValueError(f"{self.path}: array {name!r} cannot be read: {error}") from None
