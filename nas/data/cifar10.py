"""CIFAR-10 as its author hands it out (A. Krizhevsky, 2009, cs.toronto.edu/~kriz/cifar.html), Python or binary version.

Python: `data_batch_1` .. `data_batch_5` and `test_batch`, pickles of a dictionary with `data`, bytes (n, 3072), and
`labels`. Binary: the same names ending in .bin, a label and 3072 bytes for each image. The bytes of an image are its
red, green and blue planes, row by row.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from nas.data._files import DAMAGE, folder, one_line
from nas.data._split import check_share, hold_out, images
from nas.dataset import Array, Dataset, Source
from nas.ops import Shape

SHAPE, PIXELS = (3, 32, 32), 3072
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
USAGE = "--data cifar10:DIR takes the folder with data_batch_1 .. data_batch_5 and test_batch, or with *.bin"


class Cifar10(Source):
    """`cifar10:DIR`. Samples (3, 32, 32) in 0..1. The pickles are read without running anything that they name.

    DIR holds the batches, or a folder cifar-10-batches-py or cifar-10-batches-bin that does.
    validation: the share of the training images that is held out for validation, stratified, by the seed.
    """

    augmentations = {"flip": True, "shift": 4, "cutout": 8}

    def __init__(self, path: str = "", *, validation: float = 0.1) -> None:
        super().__init__(path)
        self.validation = check_share(validation)

    def task(self) -> tuple[Shape, int]:
        self._batches()
        return SHAPE, len(CLASSES)

    def load(self, seed: int) -> Dataset:
        batches = [_binary(file) if file.suffix == ".bin" else _pickled(file) for file in self._batches()]
        pixels, y = (np.concatenate([batch[i] for batch in batches[:-1]]) for i in (0, 1))
        train, validation = hold_out(y, self.validation, seed, f"{self.path}, validation")
        parts = images(pixels, y, train), images(pixels, y, validation), images(*batches[-1])
        return Dataset(self.path, *parts, CLASSES, pixels=True)

    def _batches(self) -> list[Path]:
        """The six files, that of the test last."""
        root = folder(self.path, USAGE)
        parents = (root, root / "cifar-10-batches-py", root / "cifar-10-batches-bin")
        sets = [[parent / f"{name}{end}" for name in BATCHES] for parent in parents for end in ("", ".bin")]
        files = min(sets, key=lambda files: sum(not file.is_file() for file in files))
        missing = [file for file in files if not file.is_file()]
        if not missing:
            return files
        if len(missing) < len(files):
            raise ValueError(f"{missing[0]} is missing: {len(missing)} of {len(files)} batches are not there")
        raise ValueError(f"{root} has no batches of CIFAR-10; {USAGE}")


def _binary(file: Path) -> tuple[Array, Array]:
    """Pixels (n, 3, 32, 32), bytes, and class numbers (n,)."""
    content = np.fromfile(file, np.uint8)
    if len(content) == 0 or len(content) % (PIXELS + 1):
        raise ValueError(f"{file} has {len(content):,} bytes, and must have a multiple of {PIXELS + 1:,}")
    rows = content.reshape(-1, PIXELS + 1)
    return _checked(file, rows[:, 1:], rows[:, 0])


def _pickled(file: Path) -> tuple[Array, Array]:
    """Pixels (n, 3, 32, 32), bytes, and class numbers (n,)."""
    try:
        with file.open("rb") as opened:
            found = _Unpickler(opened, encoding="bytes").load()
    except (*DAMAGE, pickle.UnpicklingError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"{file} is damaged or no batch of CIFAR-10: {one_line(error)}") from None
    named = found.items() if isinstance(found, dict) else ()
    batch = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in named}
    pixels, labels = batch.get("data"), batch.get("labels")
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list | np.ndarray):
        raise ValueError(f"{file} is no batch of CIFAR-10: it must hold arrays data and labels")
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS or pixels.dtype != np.uint8:
        raise ValueError(f"{file} must hold bytes of shape (n, {PIXELS}), got {pixels.dtype} of shape {pixels.shape}")
    return _checked(file, pixels, labels)


def _checked(file: Path, pixels: Array, labels: Any) -> tuple[Array, Array]:
    try:
        y = np.asarray(labels)
    except ValueError:
        y = np.empty(0, object)
    if y.dtype.kind not in "iu" or y.shape != (len(pixels),) or not len(y):
        raise ValueError(f"{file} has {len(pixels):,} images, and labels of shape {y.shape} and type {y.dtype}")
    if y.min() < 0 or y.max() >= len(CLASSES):
        odd = y[(y < 0) | (y >= len(CLASSES))][0]
        raise ValueError(f"{file}: labels must be in 0..{len(CLASSES) - 1}, got {odd}")
    return pixels.reshape(-1, *SHAPE), y.astype(np.int64)


class _Unpickler(pickle.Unpickler):
    """Plain containers and arrays of NumPy; whatever else a file asks for is refused, and not even imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")


def _encode(text: str, encoding: str) -> bytes:
    """How a pickle of protocol 2 writes bytes in Python 3."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


def _dtype(name: Any, align: int = 0, copy: int = 0) -> np.dtype[Any]:
    """A type of numbers; NumPy itself no longer takes 0 and 1 for False and True."""
    dtype: np.dtype[Any] = np.dtype(name, bool(align), bool(copy))
    return dtype


_RECONSTRUCT = np.zeros(1).__reduce__()[0]  # wherever this NumPy keeps it
_FROM_BUFFER: Any = np.zeros(1).__reduce_ex__(5)[0]  # refuses arrays of objects
ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("_codecs", "encode"): _encode,
}
