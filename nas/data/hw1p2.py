"""Frames of speech as CMU 11-785 hands them out for HW1P2: a label for every frame of every utterance.

`<split>/mfcc/<utterance>.npy` holds the frames of an utterance, float (T, features), and
`<split>/transcript/<utterance>.npy` its T labels, words, with or without `[SOS]` before and `[EOS]` after them.
"""

from __future__ import annotations

import fnmatch
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data._files import DAMAGE, folder, one_line, read_npy, read_shape, visible
from nas.dataset import SHARES, Array, Dataset, Part, Source, generator
from nas.ops import Shape

CONTEXTS = (0, 5, 10, 15, 20, 25, 30, 40, 50)
USAGE = "--data hw1p2:DIR takes a folder with train*/mfcc, train*/transcript, dev*/mfcc ..."


class Utterance(NamedTuple):
    """An utterance of which the transcript is read, and the frames are not yet."""

    name: str  # FOLDER/UTTERANCE
    frames: Path
    labels: Array  # class numbers, int32 (T,)


class Hw1p2(Source):
    """`hw1p2:DIR`. A sample is a frame, its group the utterance, in which each feature has mean 0 (see --normalise).

    All folders `train*` (or those that match `train=`) are the training part, all `dev*` or `val*` the validation part,
    all `test*` the test part. Where no test folder has transcripts, as in the homework itself, half of the validation
    utterances, drawn by the seed, are the test part; where there is no validation folder, a fifth of the training
    utterances is held out; where there is neither, the training utterances are split 60/20/20. No utterance is ever
    cut in two.

    max_context: networks see as many frames either side as they choose among 0, 5, 10 ... 50 up to this.
    context: so many frames either side for every network, unless it is -1.
    train: a pattern for the names of the training folders, such as train-clean-100.
    """

    normalise = "utterance-mean"
    augmentations = {"time_mask": 10, "freq_mask": 4}

    def __init__(self, path: str = "", *, max_context: int = 30, context: int = -1, train: str = "train*") -> None:
        super().__init__(path)
        if not 0 <= max_context <= CONTEXTS[-1]:
            raise ValueError(f"max_context must be in 0..{CONTEXTS[-1]} frames, got {max_context}; see context=")
        if context < -1:
            raise ValueError(f"context must be a number of frames, or -1 to search it, got {context}")
        self.contexts = (context,) if context >= 0 else tuple(c for c in CONTEXTS if c <= max_context)
        self.train = train
        self._codes: dict[str, int] = {}  # of every word, in the order in which they were met

    def task(self) -> tuple[Shape, int]:
        file = next(utterance.frames for part in self._utterances for utterance in part)
        try:
            with file.open("rb") as opened:
                shape = read_shape(opened)
        except DAMAGE as error:
            raise ValueError(f"{file} is damaged or not a NumPy array: {one_line(error)}") from None
        return (_features(file, shape),), len(self._codes)

    def load(self, seed: int) -> Dataset:
        (features,), _ = self.task()
        classes = sorted(self._codes)
        numbers = np.empty(len(classes), np.int64)  # code -> class number
        numbers[[self._codes[word] for word in classes]] = np.arange(len(classes))
        train, validation, test = (_part(some, features, numbers) for some in self._split(seed))
        return Dataset(self.path, train, validation, test, tuple(classes), self.contexts, self.normalise)

    @cached_property
    def _utterances(self) -> tuple[list[Utterance], list[Utterance], list[Utterance]]:
        """Those of the training, validation and test folders, with labels as codes."""
        root = folder(self.path, USAGE)
        folders = [entry for entry in visible(root) if (entry / "mfcc").is_dir()]
        found = []
        for patterns in ([self.train], ["dev*", "val*"], ["test*"]):
            matching = [f for f in folders if any(fnmatch.fnmatchcase(f.name, pattern) for pattern in patterns)]
            if patterns == ["test*"]:  # those of the homework have no transcripts
                matching = [f for f in matching if (f / "transcript").is_dir() and visible(f / "transcript")]
            found.append([utterance for f in matching for utterance in self._folder(f)])
        if not found[0]:
            names = ", ".join(entry.name for entry in folders) or "none"
            raise ValueError(f"{root}: no folder {self.train}/mfcc with utterances; folders with mfcc: {names}")
        if len(self._codes) < 2:
            raise ValueError(f"{root}: labels must have at least 2 classes, got {sorted(self._codes)}")
        return found[0], found[1], found[2]

    def _folder(self, split: Path) -> list[Utterance]:
        """The utterances of a folder, each with its labels."""
        if not (split / "transcript").is_dir():
            raise ValueError(f"{split} has a folder mfcc and no folder transcript")
        frames, words = ({f.name: f for f in visible(split / kind)} for kind in ("mfcc", "transcript"))
        if odd := sorted(frames.keys() ^ words.keys()):
            raise ValueError(
                f"{split} has {len(frames):,} files in mfcc and {len(words):,} in transcript; {odd[0]} is in "
                f"{'mfcc' if odd[0] in frames else 'transcript'} alone"
            )
        return [
            Utterance(f"{split.name}/{file.stem}", file, self._labels(words[name])) for name, file in frames.items()
        ]

    def _labels(self, file: Path) -> Array:
        """The words of a transcript as codes, int32 (T,), start and end stripped."""
        words = read_npy(file)
        if words.dtype.kind not in "US" or words.ndim != 1:
            raise ValueError(f"{file} must hold words of shape (T,), got {words.dtype} of shape {words.shape}")
        try:
            words = words.astype(str)
        except UnicodeDecodeError:
            raise ValueError(f"{file} must hold words, got bytes that are not ASCII") from None
        words = words[int(words[:1].tolist() == ["[SOS]"]) :]
        words = words[: len(words) - int(words[-1:].tolist() == ["[EOS]"])]
        different, positions = np.unique(words, return_inverse=True)
        codes = [self._codes.setdefault(word, len(self._codes)) for word in different.tolist()]
        return np.array(codes, np.int32)[positions]

    def _split(self, seed: int) -> list[list[Utterance]]:
        """The utterances of the three parts."""
        train, validation, test = self._utterances
        if validation and test:
            return [train, validation, test]
        if test:
            train, validation = self._drawn(train, seed, (1 - SHARES[1], SHARES[1]))
            return [train, validation, test]
        if validation:
            return [train, *self._drawn(validation, seed, (0.5, 0.5))]
        return self._drawn(train, seed, SHARES)

    def _drawn(self, utterances: list[Utterance], seed: int, shares: tuple[float, ...]) -> list[list[Utterance]]:
        """Whole utterances in these shares, by chance, each piece in order."""
        ends = np.round(np.cumsum(shares)[:-1] * len(utterances)).astype(int)
        pieces = np.split(generator(seed).permutation(len(utterances)), ends)
        if not all(map(len, pieces)):
            raise ValueError(f"{self.path}: {len(utterances)} utterances cannot be split into {len(pieces)} parts")
        return [[utterances[i] for i in np.sort(piece)] for piece in pieces]


def _features(file: Path, shape: Shape) -> int:
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{file} must hold frames of shape (T, features), got {shape}")
    return shape[1]


def _part(utterances: list[Utterance], features: int, numbers: Array) -> Part:
    """Read the frames, one file after the other into one array. `numbers` are those of the classes, by code."""
    lengths = np.array([len(utterance.labels) for utterance in utterances])
    x = np.empty((lengths.sum(), features), np.float32)
    start = 0
    for utterance in utterances:
        end = start + len(utterance.labels)
        x[start:end] = _frames(utterance, features)
        start = end
    y = numbers[np.concatenate([utterance.labels for utterance in utterances])]
    return Part(x, y, np.repeat(np.arange(len(utterances)), lengths), tuple(u.name for u in utterances))


def _frames(utterance: Utterance, features: int) -> Array:
    """The frames of an utterance, float32 (T, features)."""
    file, frames = utterance.frames, read_npy(utterance.frames)
    if frames.dtype.kind not in "fiu":
        raise ValueError(f"{file} must hold numbers, got {frames.dtype}")
    if _features(file, frames.shape) != features:
        raise ValueError(f"{file} has {frames.shape[1]} features a frame, and the first utterance has {features}")
    if len(frames) != len(utterance.labels):
        raise ValueError(
            f"{file} has {len(frames)} frames, and its transcript has {len(utterance.labels)} labels "
            f"without [SOS] and [EOS]"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and counted
        frames = frames.astype(np.float32, copy=False)
    if not np.isfinite(frames).all():
        bad = np.count_nonzero(~np.isfinite(frames))
        raise ValueError(f"{file}: {bad:,} of {frames.size:,} values are NaN or infinite as float32")
    return frames
