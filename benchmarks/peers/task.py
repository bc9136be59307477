"""The work that all are given: perceptrons of fixed widths, on the same arrays, for as many epochs."""

from __future__ import annotations

from dataclasses import dataclass

FIELDS = ("x", "y", "x_validation", "y_validation")


@dataclass(frozen=True)
class Task:
    """`file`: the arrays `FIELDS`, x flat and normalised. `folder`: where files may be left."""

    file: str
    folder: str
    networks: tuple[tuple[int, ...], ...]
    batch: int
    epochs: int
    lr: float = 1e-3
