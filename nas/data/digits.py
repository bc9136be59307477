"""scikit-learn's bundled digits: 1,797 images of 8 x 8 in ten classes (UCI, Alpaydin & Kaynak 1998)."""

from __future__ import annotations

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
        from sklearn.datasets import load_digits  # 0.6 s to import, for this source alone

        bunch = load_digits()
        return Arrays(bunch.images[:, None], bunch.target, "digits").load(seed)
