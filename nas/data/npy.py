"""A folder of NumPy files: `X.npy y.npy`, or `X_train.npy y_train.npy X_val.npy ...` where the split is given."""

from __future__ import annotations

from nas.data._files import DAMAGE, folder, one_line, read_npy, read_shape, visible
from nas.data._named import NamedArrays
from nas.dataset import Array
from nas.ops import Shape

USAGE = "--data npy:DIR takes a folder with X.npy and y.npy"


class Npy(NamedArrays):
    """`npy:DIR`. Samples (n, *shape), labels (n,) as numbers or words; nothing is unpickled."""

    def found(self) -> set[str]:
        return {file.stem for file in visible(folder(self.path, USAGE)) if file.suffix == ".npy"}

    def shape(self, name: str) -> Shape:
        path = folder(self.path, USAGE) / f"{name}.npy"
        try:
            with path.open("rb") as file:
                return read_shape(file)
        except DAMAGE as error:
            raise ValueError(f"{path} is damaged or not a NumPy array: {one_line(error)}") from None

    def read(self, name: str) -> Array:
        return read_npy(folder(self.path, USAGE) / f"{name}.npy")
