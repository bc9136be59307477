"""Fixed perceptrons on fixed data, for us and for the peers alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers.task import FIELDS, Task
from nas.architecture import Architecture, Sketch
from nas.budget import Choose
from nas.data.digits import Digits
from nas.data.hw1p2 import Hw1p2
from nas.dataset import Array, Dataset, Part
from nas.normalise import normalised
from nas.ops import Shape
from nas.recipe import Recipe
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial

CONTEXT = 10  # frames either side
FRAMES = {"medium": (16384, 4096), "large": (4096, 1024)}  # of training and of validation
FEATURES, CLASSES = 28, 11  # of frames that are made


def write(name: str, data: str, folder: Path, seed: int = 0) -> Task:
    """The task `small`, `medium` or `large`, its arrays in the folder; the seed is that of the digits' split."""
    networks, batch, epochs, lr = {
        "small": (_drawn(32, 16, 128), 64, 10, 1e-3),
        "medium": (_drawn(8, 256, 1024), 128, 2, 5e-4),
        "large": (((2432,) * 4,), 256, 2, 3e-4),
    }[name]
    arrays = _digits(seed) if name == "small" else _frames(data, *FRAMES[name]) if data else _made_up(*FRAMES[name])
    np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]  # taken for its option
    return Task(str(folder / f"{name}.npz"), str(folder), networks, batch, epochs, lr)


def all_frames(data: str, folder: Path, context: int, seed: int) -> str:
    """A file of all windows of the training and the validation part, so many frames either side."""
    file = folder / "frames.npz"
    arrays = _frames(data, None, None, context=context, seed=seed)
    np.savez(file, **arrays)  # type: ignore[arg-type]  # taken for its option
    return str(file)


def _drawn(number: int, narrowest: int, widest: int) -> tuple[tuple[int, ...], ...]:
    """Networks one to three layers deep, their widths multiples of 8, no two of them the same."""
    rng, found = np.random.default_rng(0), dict[tuple[int, ...], None]()
    while len(found) < number:
        found[tuple(int(w) for w in rng.integers(narrowest // 8, widest // 8 + 1, rng.integers(1, 4)) * 8)] = None
    return tuple(found)


def _digits(seed: int) -> dict[str, Array]:
    dataset = Digits().load(seed)
    x, x_validation = (normalised(part, dataset) for part in (dataset.train, dataset.validation))
    return _named(x, dataset.train.y, x_validation, dataset.validation.y)


def _frames(data: str, *sizes: int | None, context: int = CONTEXT, seed: int = 0) -> dict[str, Array]:
    """Windows of frames in random order, so many or all, of the training and the validation part."""
    import torch

    from nas.train.resident import Resident

    rng, dataset, found = np.random.default_rng(0), Hw1p2(data, context=context).load(seed), list[Array]()
    for part, size in zip((dataset.train, dataset.validation), sizes, strict=True):
        rows, resident = rng.permutation(len(part))[:size], Resident.of(part, dataset, torch.device("cpu"))
        windows = resident.samples(torch.from_numpy(rows), (2 * context + 1, part.x.shape[1]))
        found += [windows.numpy(), part.y[rows]]
    return _named(*found)


def _made_up(*sizes: int) -> dict[str, Array]:
    """A normal distribution for each class; they overlap a little."""
    rng = np.random.default_rng(0)
    inputs = FEATURES * (2 * CONTEXT + 1)
    centres, found = rng.normal(size=(CLASSES, inputs)) / 4, []
    for size in sizes:
        y = rng.integers(0, CLASSES, size)
        found += [centres[y] + rng.normal(size=(size, inputs)), y]
    return _named(*found)


def _named(x: Array, y: Array, x_validation: Array, y_validation: Array) -> dict[str, Array]:
    flat = [part.reshape(len(part), -1).astype(np.float32) for part in (x, x_validation)]
    return dict(zip(FIELDS, (flat[0], y.astype(np.int64), flat[1], y_validation.astype(np.int64)), strict=True))


def dataset(task: Task) -> Dataset:
    """The task's arrays as a search has them; there is no test."""
    with np.load(task.file) as arrays:
        train, validation = (Part(arrays[f"x{part}"], arrays[f"y{part}"]) for part in ("", "_validation"))
    classes = tuple(map(str, range(int(train.y.max()) + 1)))
    return Dataset(Path(task.file).stem, train, validation, validation, classes, normalise="none")


class Perceptrons(SearchSpace):
    """The networks of a task, trained as the plain loop trains. One fork: which of them."""

    def __init__(self, input_shape: Shape, classes: int, task: Task) -> None:
        super().__init__(input_shape, classes)
        self.task = task

    def describe(self, choose: Choose) -> Architecture:
        widths = self.task.networks[int(choose("network", range(len(self.task.networks))))]
        net = Sketch(self.input_shape)
        x = net.input
        for width in widths:
            x = net("relu", net("linear", x, out=width))
        return net.done(net("linear", x, out=self.classes))

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe("adam", self.task.lr, batch_size=self.task.batch, schedule="constant", clip=0.0)


class Fixed(Strategy):
    """The networks of a task in their order."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self.told = 0

    def ahead(self) -> float:
        return float("inf")

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        return self.space.replay({"network": self.told + len(pending)})

    def tell(self, trial: Trial) -> None:
        self.told += 1
