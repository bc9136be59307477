"""A NumPy archive: arrays `X` and `y`, or `X_train y_train X_val y_val X_test y_test` where the split is given."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nas.data._files import DAMAGE, one_line, read_shape
from nas.data._named import NamedArrays
from nas.dataset import Array
from nas.ops import Shape


class Npz(NamedArrays):
    """`npz:FILE`. Samples (n, *shape), labels (n,) as numbers or words; nothing is unpickled."""

    def found(self) -> set[str]:
        with self._open() as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}

    def shape(self, name: str) -> Shape:
        try:
            with self._open() as archive, archive.open(f"{name}.npy") as member:
                return read_shape(member)  # type: ignore[arg-type]  # a ZipExtFile reads as a BinaryIO does
        except DAMAGE as error:
            raise ValueError(f"{self.path}: array {name!r} cannot be read: {one_line(error)}") from None

    def read(self, name: str) -> Array:
        try:
            with np.load(self._file, allow_pickle=False) as archive:
                array: Any = archive[name]
                return np.asarray(array)
        except DAMAGE as error:
            raise ValueError(f"{self.path}: array {name!r} cannot be read: {one_line(error)}") from None

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()

    def _open(self) -> zipfile.ZipFile:
        if not self._file.is_file():
            raise ValueError(f"there is no file {self.path!r}; --data npz:FILE takes a NumPy archive")
        try:
            return zipfile.ZipFile(self._file)
        except zipfile.BadZipFile:
            raise ValueError(f"{self.path} is damaged or not a NumPy archive (made by np.savez)") from None
