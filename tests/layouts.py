"""Small data of every kind and of every layout that it knows, written into a folder."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas import plugins
from nas.dataset import SHARES, Dataset, Source

SIZES = (31, 20, 9, 40)  # samples of each class
WORDS = ("ant", "bee", "cat", "dog")
NUMBER = dict(zip(("train", "validation", "test"), SHARES, strict=True))  # all parts drawn by the seed


@dataclass(frozen=True)
class Layout:
    """`write` makes the files and returns the PATH; `drawn` are the parts that the seed draws, with their shares."""

    kind: str
    write: Callable[[Path], str]
    drawn: Mapping[str, float] = field(default_factory=lambda: NUMBER)
    options: Mapping[str, Any] = field(default_factory=dict)

    def source(self, folder: Path) -> Source:
        made: Source = plugins.find("nas.data", self.kind, Source)(self.write(folder), **self.options)
        return made


def read(source: Source) -> Dataset:
    """As a search does it."""
    source.task()
    return source.load(0)


def assert_shows(message: str, *words: str) -> None:
    assert [word for word in words if word not in message] == []


def refusal(source: Source) -> str:
    """The message on reading it: one line."""
    with pytest.raises(ValueError, match=r"\S") as refused:
        read(source)
    message = str(refused.value)
    assert "\n" not in message
    return message


def refusals_of_damage(file: Path, source: Callable[[], Source], rounds: int = 60) -> list[str]:
    """The messages where it is refused, over random damage to one of its files, which is mended again."""
    rng, messages = random.Random(0), []
    whole = file.read_bytes()
    for _ in range(rounds):
        start, length = rng.randrange(len(whole)), rng.randrange(1, 9)
        if rng.random() < 0.5:
            start = min(start, rng.randrange(200))  # heads are short
        noise = rng.randbytes(length) if rng.random() < 0.7 else b""
        file.write_bytes(whole[:start] + noise + whole[start + length :])
        try:
            read(source())
        except ValueError as error:
            messages.append(str(error))
    file.write_bytes(whole)
    return messages


def samples(seed: int = 0, sizes: Sequence[int] = SIZES) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return rng.normal(3.0, 5.0, (len(y), 2, 3)).astype(np.float32) + y[:, None, None], y


def pixels(seed: int, sizes: Sequence[int], shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes (n, *shape), brighter with the class, and class numbers (n,)."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    noise = rng.integers(0, 60, (len(y), *shape))
    return (noise + 15 * y.reshape(-1, *[1] * len(shape))).astype(np.uint8), y


def npz(folder: Path) -> str:
    x, y = samples()
    np.savez(folder / "data.npz", X=x, y=y)
    return str(folder / "data.npz")


def split_arrays() -> dict[str, np.ndarray]:
    arrays = {}
    for seed, name in enumerate(("train", "val", "test")):
        arrays[f"X_{name}"], arrays[f"y_{name}"] = samples(seed)
    return arrays


def npz_split(folder: Path) -> str:
    np.savez(folder / "data.npz", **split_arrays())
    return str(folder / "data.npz")


def npy(folder: Path) -> str:
    return saved(folder, dict(zip("Xy", samples(), strict=True)))


def saved(folder: Path, arrays: Mapping[str, Any]) -> str:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return str(folder)


def table(folder: Path) -> str:
    x, y = samples()
    colours = np.array(["red", "green", "blue", ""])[np.random.default_rng(1).integers(0, 4, len(y))]
    rows = ["width,height,colour,insect"]
    for i, ((width, height), colour) in enumerate(zip(x[:, :, 0], colours, strict=True)):
        rows.append(f"{width},{'' if i % 17 == 3 else height},{colour},{WORDS[y[i]]}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "data.csv")


def write_idx(path: Path, array: np.ndarray) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def idx(folder: Path, dash: str = "-", end: str = "") -> str:
    for seed, part in enumerate(("train", "t10k")):
        x, y = pixels(seed, SIZES, (6, 5))
        write_idx(folder / f"{part}-images{dash}idx3-ubyte{end}", x)
        write_idx(folder / f"{part}-labels{dash}idx1-ubyte{end}", y + 1)
    return str(folder)


def idx_packed(folder: Path) -> str:
    (folder / "raw").mkdir()
    idx(folder / "raw", ".", ".gz")
    return str(folder)


def python2(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def old_batch(x: np.ndarray, y: Sequence[int]) -> bytes:
    """{'data': x, 'labels': y} as Python 2 and its NumPy pickled it, the way the author of CIFAR-10 did."""
    shape = b"".join(b"J" + struct.pack("<i", n) for n in x.shape) + b"\x86"
    kind = b"cnumpy\ndtype\n" + python2(b"u1") + b"K\x00K\x01\x87R(K\x03" + python2(b"|") + b"NNN"
    kind += 2 * (b"J" + struct.pack("<i", -1)) + b"K\x00tb"
    data = b"T" + struct.pack("<i", x.size) + x.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + python2(b"b") + b"\x87R"
    array += b"(K\x01" + shape + kind + b"\x89" + data + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in y) + b"e"
    return b"\x80\x02}(" + python2(b"data") + array + python2(b"labels") + labels + b"u."


BATCHES = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")


def cifar10(folder: Path) -> str:
    for seed, name in enumerate(BATCHES):
        (folder / name).write_bytes(old_batch(*pixels(seed, (3,) * 10, (3072,))))
    return str(folder)


def cifar10_binary(folder: Path) -> str:
    (folder / "cifar-10-batches-bin").mkdir()
    for seed, name in enumerate(BATCHES):
        x, y = pixels(seed, (3,) * 10, (3072,))
        rows = np.concatenate([y[:, None].astype(np.uint8), x], axis=1)
        (folder / "cifar-10-batches-bin" / f"{name}.bin").write_bytes(rows.tobytes())
    return str(folder)


def write_images(folder: Path, seed: int, sizes: Sequence[int] = SIZES, shape: Sequence[int] = (8, 8, 3)) -> None:
    for i, (image, label) in enumerate(zip(*pixels(seed, sizes, shape), strict=True)):
        (folder / WORDS[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / WORDS[label] / f"{i:03d}.png")


def imagefolder(*splits: str, shape: Sequence[int] = (8, 8, 3)) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        for seed, split in enumerate(splits or ("",)):
            write_images(folder / split, seed, shape=shape)
        return str(folder)

    return write


def write_speech(folder: Path, seed: int, utterances: int, *, transcribed: bool = True, marks: bool = True) -> None:
    rng = np.random.default_rng((seed, 77))
    for kind in ("mfcc", "transcript")[: 1 + transcribed]:
        (folder / kind).mkdir(parents=True)
    for number in range(utterances):
        y = np.repeat([0, *rng.permutation(4), 0], rng.integers(1, 4, 6))
        x = (rng.normal(number, 2 + number, (len(y), 5)) + y[:, None]).astype(np.float32)
        np.save(folder / "mfcc" / f"{seed}-{number:03d}.npy", x)
        if transcribed:
            words = np.array(WORDS)[y].tolist()
            words = ["[SOS]", *words, "[EOS]"] if marks else words
            np.save(folder / "transcript" / f"{seed}-{number:03d}.npy", np.array(words))


def hw1p2(**folders: int) -> Callable[[Path], str]:
    """Folders, `_` for `-`, with so many utterances; of a negative number there are no transcripts."""

    def write(folder: Path) -> str:
        for seed, (name, count) in enumerate(folders.items()):
            write_speech(folder / name.replace("_", "-"), seed, abs(count), transcribed=count > 0, marks=seed != 1)
        return str(folder)

    return write


HELD = {"train": 0.9, "validation": 0.1}
HALVES = {"validation": 0.5, "test": 0.5}
LAYOUTS: dict[str, Layout] = {
    "digits": Layout("digits", lambda folder: ""),
    "npz": Layout("npz", npz),
    "npz, split": Layout("npz", npz_split, {}),
    "npy": Layout("npy", npy),
    "npy, split": Layout("npy", lambda folder: saved(folder, split_arrays()), {}),
    "csv": Layout("csv", table, options={"target": "insect"}),
    "idx": Layout("idx", idx, HELD),
    "idx, packed": Layout("idx", idx_packed, {"train": 0.7, "validation": 0.3}, {"validation": 0.3}),
    "cifar10": Layout("cifar10", cifar10, HELD),
    "cifar10, binary": Layout("cifar10", cifar10_binary, {"train": 0.8, "validation": 0.2}, {"validation": 0.2}),
    "imagefolder": Layout("imagefolder", imagefolder()),
    "imagefolder, train": Layout("imagefolder", imagefolder("train")),
    "imagefolder, train test": Layout("imagefolder", imagefolder("train", "test"), HELD),
    "imagefolder, train val": Layout("imagefolder", imagefolder("train", "val"), HALVES),
    "imagefolder, all": Layout("imagefolder", imagefolder("train", "valid", "test", shape=(6, 8)), {}),
    "hw1p2": Layout("hw1p2", hw1p2(train_a=9, train_b=5, dev_clean=8, test_clean=7), {}),
    "hw1p2, homework": Layout("hw1p2", hw1p2(train_clean_100=9, dev_clean=10, test_clean=-7), HALVES),
    "hw1p2, no dev": Layout("hw1p2", hw1p2(train=20, test=6), {"train": 0.8, "validation": 0.2}),
    "hw1p2, train": Layout("hw1p2", hw1p2(train=20)),
}
