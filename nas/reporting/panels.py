"""What the figures have in common: their colours, panels, limits and legends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; shapes and dashes tell them apart without any
COLOURS = {"search": "#0072B2", "random": "#D55E00"}
MARKERS, DASHES = {"search": "o", "random": "s"}, {"search": "-", "random": (0, (4, 1.5))}
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7a6200", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (1, 0.8)))
INK, FAINT, GREEN = "#222222", "#777777", "#009E73"
WIDTH = 10.0  # inches; the page shows 72 of a drawing's units an inch
SHOWN = 1500  # points of an arm, of more an even selection
TOP = 5  # learning curves


@dataclass(frozen=True)
class Drawn:
    """A figure with what it shows in words; without a figure `caption` says what is missing."""

    name: str
    heading: str
    caption: str
    figure: Figure | None = None
    alt: str = ""


def panels(height: float, columns: int = 2, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(1, columns, sharey=sharey, squeeze=False)[0])


def panel(height: float) -> tuple[Figure, Axes]:
    figure, axes = panels(height, 1)
    return figure, axes[0]


def legend_above(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=6)


def frame(axes: Axes, scores: Sequence[float]) -> int:
    """Limits of accuracy that leave the worst tenth out, where that shows the rest better; how many are left out."""
    values = 100 * np.array(scores)
    low, high = float(values.min()), float(values.max())
    tenth = float(np.quantile(values, 0.1))
    if len(values) > TOP and tenth - low > 0.5 * (high - tenth):
        low = tenth
    room = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - room, high + 1.5 * room)
    return int((values < low - room).sum())


def dots(number: int) -> dict[str, Any]:
    """Smaller and fainter where there are many."""
    return {"ms": 5, "alpha": 0.6} if number < 300 else {"ms": 3, "alpha": 0.35}


def even(number: int) -> list[int]:
    """The places of at most `SHOWN` of so many, evenly."""
    return list(range(number)) if number <= SHOWN else [round(n) for n in np.linspace(0, number - 1, SHOWN)]


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
