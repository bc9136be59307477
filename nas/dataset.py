"""Data as the search sees it: three parts fixed by the seed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.ops import Scalar, Shape

Array = npt.NDArray[Any]
SHARES = (0.6, 0.2, 0.2)  # training, validation, test
STEPS = 1000  # of float32, between the least and the largest value of a feature, at least


@dataclass(frozen=True)
class Part:
    """Samples x, float32 (n, *input_shape), and class numbers y, int64 (n,).

    `groups`, int64 (n,), where it is known what belongs together: the utterance of a frame. Samples of a group are
    neighbours, in order. `names` are those of the groups, by number.
    """

    x: Array
    y: Array
    groups: Array | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @property
    def starts(self) -> Array:
        """The first row of each group."""
        if self.groups is None:
            return np.zeros(1, np.int64)
        return np.flatnonzero(np.diff(self.groups, prepend=self.groups[0] - 1))

    @property
    def lengths(self) -> Array:
        """The number of rows of each group."""
        return np.diff(np.append(self.starts, len(self)))

    def take(self, rows: Array) -> Part:
        """The samples at `rows`, a sorted array of positions."""
        return Part(self.x[rows], self.y[rows], None if self.groups is None else self.groups[rows], self.names)


@dataclass(frozen=True)
class Reading:
    """How predict.py makes samples of a file such as the data came from.

    `source` is that of a function `read(path)` -> numbers (n, *input_shape), before normalisation. It stands in
    predict.py, with `np`, `sys` and `CONFIG` at hand, and finds `facts` at `CONFIG["reading"]`.
    """

    source: str
    file: str  # what such a file may be called
    holds: str  # the rest of a sentence that begins with its name
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test parts. The test part is used once, for the network that is chosen.

    Where `contexts` are given, a sample is a frame, and a network sees c frames either side of it, c one of them: its
    input is (2c + 1, features). `normalise` is a name in `nas.normalise.NORMALISATIONS`.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    contexts: tuple[int, ...] = ()
    normalise: str = "zscore"
    pixels: bool = False  # samples are bytes of images divided by 255
    fitted_on: Part | None = None  # what normalisation is fitted on, where that is more than the training part here
    reading: Reading | None = None  # of a file that is no array

    @property
    def input_shape(self) -> Shape:
        return tuple(self.train.x.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """A hexadecimal name of every number in all three parts."""
        digest = hashlib.blake2b(repr(self.classes).encode(), digest_size=8)
        for part in (self.train, self.validation, self.test):
            for array in (part.x, part.y, *(() if part.groups is None else (part.groups,))):
                digest.update(repr((array.shape, array.dtype.str)).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class Source(ABC):
    """A place where data comes from. A kind of data is one file in `nas/data/` with one subclass.

    The options of `--data KIND:PATH,key=value` are the keyword arguments of its constructor.
    """

    contexts: tuple[int, ...] = ()  # frames either side that a network may see; () where a sample is a whole
    augmentations: Mapping[str, Scalar] = {}  # fields of the recipe that suit the data, and their usual values
    normalise = "zscore"  # unless --normalise says otherwise

    def __init__(self, path: str = "") -> None:
        self.path = path

    @abstractmethod
    def task(self) -> tuple[Shape, int]:
        """Input shape (of a frame, where there are contexts) and number of classes, without reading the samples."""

    @abstractmethod
    def load(self, seed: int) -> Dataset:
        """Read everything; `seed` fixes the split where the source has none of its own."""


class Arrays(Source):
    """Samples `(n, *shape)` and labels `(n,)`, numbers or words, held in memory."""

    def __init__(self, x: Any, y: Any, name: str = "arrays") -> None:
        super().__init__(name)
        try:
            self.x, self.y = np.asarray(x), np.asarray(y)
            self.y = as_words(self.y)
        except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths, a tensor to .detach()
            raise ValueError(f"{name}: samples and labels must be arrays: {error}") from None
        check_part(self.x, self.y, name)

    def task(self) -> tuple[Shape, int]:
        return tuple(self.x.shape[1:]), len(np.unique(self.y))

    def load(self, seed: int) -> Dataset:
        x = as_float32(self.x, self.path)
        classes, y = np.unique(self.y, return_inverse=True)
        rows = three_ways(y, seed, self.path)
        train, validation, test = (Part(x[r], y[r]) for r in rows)
        return Dataset(self.path, train, validation, test, tuple(map(str, classes)))


def as_words(y: Array) -> Array:
    """Labels that are Python strings or bytes as words, others as they are. Raises `ValueError`."""
    if y.dtype.kind != "S" and not (y.dtype == object and all(isinstance(label, str) for label in y.flat)):
        return y
    try:
        return y.astype(str)
    except UnicodeDecodeError:
        raise ValueError("labels must be words, got bytes that are not ASCII") from None


def generator(seed: int) -> np.random.Generator:
    """The chance of a split, apart from that of the search."""
    return np.random.default_rng((seed, 0x5B117))


def three_ways(y: Array, seed: int, where: str) -> list[Array]:
    """Class numbers (n,) -> rows of the training, validation and test part, stratified, in the shares `SHARES`.

    Raises `ValueError` where one of them would be empty.
    """
    rows = stratified_split(y, generator(seed))
    if not all(map(len, rows)):
        raise ValueError(
            f"{where}: {len(y)} samples of {len(np.unique(y))} classes leave no validation or test part; "
            f"at least 3 samples of some class are needed"
        )
    return rows


def stratified_split(y: Array, rng: np.random.Generator) -> list[Array]:
    """Class numbers (n,) -> positions of the training, validation and test rows, each class in the shares `SHARES`."""
    parts: list[list[Array]] = [[], [], []]
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test, validation = (round(len(rows) * share) for share in SHARES[:0:-1])
        pieces = np.split(rows, [len(rows) - test - validation, len(rows) - test])
        for part, piece in zip(parts, pieces, strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def check_part(x: Array, y: Array, where: str) -> None:
    """Raise `ValueError` for samples and labels that cannot be a classification problem."""
    if x.dtype.kind not in "fiub" or x.ndim < 2 or 0 in x.shape[1:]:
        raise ValueError(
            f"{where}: samples must be numbers of shape (n, features...), got {x.dtype} of shape {x.shape}"
        )
    if y.shape != (len(x),):
        raise ValueError(f"{where}: {len(x)} samples need labels of shape ({len(x)},), got {y.shape}")
    if y.dtype.kind not in "iubUSf" or (y.dtype.kind == "f" and not np.array_equal(y, np.round(y))):
        odd = y[y != np.round(y)] if y.dtype.kind == "f" else [label for label in y if not isinstance(label, str)] or y
        raise ValueError(f"{where}: labels must be classes, whole numbers or words, got values such as {odd[0]}")
    if len(np.unique(y)) < 2:
        raise ValueError(f"{where}: labels must have at least 2 classes, got {np.unique(y).tolist()}")


def as_float32(x: Array, where: str, columns: Sequence[str] | None = None) -> Array:
    """The samples as float32; flat ones may have names for their features.

    Raises `ValueError` where one is NaN or infinite, or where a feature's values lie too close together for float32.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and counted
        found = x.astype(np.float32)
    bad = ~np.isfinite(found)
    if bad.any():
        sample, feature = np.argwhere(bad)[0][:2]
        place = f"sample {sample}" if columns is None else f"column {columns[feature]!r}"
        raise ValueError(
            f"{where}: {np.count_nonzero(bad):,} of {x.size:,} values are NaN or infinite as float32, "
            f"{x[bad][0]:g} in {place} the first; remove or replace them"
        )
    if x.ndim == 2 and x.dtype.itemsize > 2 and x.dtype != np.float32:
        low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        step = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32))
        for feature in np.flatnonzero((high > low) & (high - low < STEPS * step))[:1]:
            name = f"feature {feature}" if columns is None else f"column {columns[feature]!r}"
            raise ValueError(
                f"{where}: {name} goes from {low[feature]:.12g} to {high[feature]:.12g}, which float32 has in steps of "
                f"{step[feature]:g}; subtract {low[feature]:.12g} from it"
            )
    return found
