"""Images in the IDX format of MNIST, Fashion-MNIST and KMNIST (LeCun, Cortes & Burges, yann.lecun.com/exdb/mnist).

Big-endian: two zeros, the type of the numbers (8: bytes), the number of axes, the length of each axis, the numbers.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from nas.data._files import DAMAGE, folder, one_line
from nas.data._split import check_share, hold_out, images
from nas.dataset import Array, Dataset, Source
from nas.ops import Shape

BYTES = 8
USAGE = (
    "--data idx:DIR takes a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte ..."
)


class Idx(Source):
    """`idx:DIR`. Samples (1, height, width) in 0..1; the files may end in .gz and may lie in DIR/raw.

    validation: the share of the training images that is held out for validation, stratified, by the seed.
    """

    augmentations = {"shift": 1}

    def __init__(self, path: str = "", *, validation: float = 0.1) -> None:
        super().__init__(path)
        self.validation = check_share(validation)

    def task(self) -> tuple[Shape, int]:
        labels = [_read(self._file(part, "labels"), 1) for part in ("train", "t10k")]
        file = self._file("train", "images")
        return (1, *_shape(file, 3)[1:]), len(np.unique(np.concatenate(labels)))

    def load(self, seed: int) -> Dataset:
        (pixels, words), (test_pixels, test_words) = self._pair("train"), self._pair("t10k")
        if pixels.shape[1:] != test_pixels.shape[1:]:
            file = self._file("t10k", "images")
            raise ValueError(f"{file} has images of {test_pixels.shape[2:]}, those for training are {pixels.shape[2:]}")
        classes = np.unique(np.concatenate([words, test_words]))
        if len(classes) < 2:
            raise ValueError(f"{self.path}: labels must have at least 2 classes, got {classes.tolist()}")
        y = np.searchsorted(classes, words)
        train, validation = hold_out(y, self.validation, seed, f"{self.path}, validation")
        test = images(test_pixels, np.searchsorted(classes, test_words))
        parts = images(pixels, y, train), images(pixels, y, validation), test
        return Dataset(self.path, *parts, tuple(map(str, classes)), pixels=True)

    def _pair(self, part: str) -> tuple[Array, Array]:
        """Pixels (n, 1, height, width) and labels (n,), bytes."""
        files = self._file(part, "images"), self._file(part, "labels")
        pixels, labels = _read(files[0], 3), _read(files[1], 1)
        if len(pixels) != len(labels):
            raise ValueError(f"{files[0]} has {len(pixels):,} images, and {files[1].name} {len(labels):,} labels")
        return pixels[:, None], labels

    def _file(self, part: str, kind: str) -> Path:
        root = folder(self.path, USAGE)
        axes = {"images": 3, "labels": 1}[kind]
        for parent in (root, root / "raw"):
            for dash in "-.":
                for end in ("", ".gz"):
                    file = parent / f"{part}-{kind}{dash}idx{axes}-ubyte{end}"
                    if file.is_file():
                        return file
        raise ValueError(f"{root} has no file {part}-{kind}-idx{axes}-ubyte or {part}-{kind}-idx{axes}-ubyte.gz")


def _open(file: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


def _shape(file: Path, axes: int) -> Shape:
    """What the header says of the file, checked."""
    try:
        with _open(file) as opened:
            header = opened.read(4 + 4 * axes)
    except DAMAGE as error:
        raise ValueError(f"{file} is damaged: {one_line(error)}") from None
    if header[:4] != bytes([0, 0, BYTES, axes]):
        raise ValueError(
            f"{file} must begin with 0000{BYTES:02x}{axes:02x}, the mark of its format, got {header[:4].hex()}"
        )
    if len(header) < 4 + 4 * axes:
        raise ValueError(f"{file} has {len(header)} bytes, and its header alone is {4 + 4 * axes}")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        raise ValueError(f"{file} is empty: its header says {shape}")
    return shape


def _read(file: Path, axes: int) -> Array:
    shape = _shape(file, axes)
    try:
        with _open(file) as opened:
            content = opened.read()[4 + 4 * axes :]
    except DAMAGE as error:
        raise ValueError(f"{file} is damaged: {one_line(error)}") from None
    wanted = int(np.prod(shape, dtype=object))
    if len(content) != wanted:
        raise ValueError(f"{file} has {len(content):,} numbers, and its header promises {wanted:,} of shape {shape}")
    return np.frombuffer(content, np.uint8).reshape(shape)
