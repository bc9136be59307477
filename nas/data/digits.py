"""scikit-learn's bundled digits: 1,797 images of 8 x 8 in ten classes (UCI, Alpaydin & Kaynak 1998)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nas.dataset import Arrays, Dataset, Source
from nas.ops import Shape


class Digits(Source):
    """The data that is already there."""

    def __init__(self, path: str = "") -> None:
        super().__init__(path)
        if path:
            raise ValueError(f"the digits take no path, got {path!r}")

    def task(self) -> tuple[Shape, int]:
        return (1, 8, 8), 10

    def load(self, seed: int) -> Dataset:
        table = np.loadtxt(_file(), delimiter=",")
        return Arrays(table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64), "digits").load(seed)


def _file() -> Path:
    """Its csv file, without an import of sklearn.datasets, which takes longer than to train a network on them."""
    found = find_spec("sklearn")
    folders = found and found.submodule_search_locations
    assert folders  # pyproject.toml names it
    return Path(folders[0], "datasets", "data", "digits.csv.gz")
