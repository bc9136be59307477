"""The best so far of several strategies, one line each, with the 95 % interval as a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables import interval, median_interval
from benchmarks.tabular.problem import Problem
from benchmarks.tabular.simulation import Course
from nas.reporting.svg import style

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's
POINTS = 200
COLUMNS = 4


@dataclass(frozen=True)
class Panel:
    """The runs of each strategy on one problem."""

    title: str
    problem: Problem
    courses: Mapping[str, Sequence[Course]]
    queries: int  # how far the axis goes, where seconds are not the limit

    @property
    def timed(self) -> bool:
        return self.problem.seconds < float("inf")

    @property
    def regrets(self) -> bool:
        return self.problem.reported == "regret"

    @property
    def points(self) -> np.ndarray:
        """Simulated seconds, or numbers of queries."""
        if self.timed:
            return np.linspace(0, self.problem.seconds, POINTS + 1)[1:]
        return np.unique(np.linspace(1, self.queries, POINTS).astype(int))

    def results(self, courses: Sequence[Course]) -> np.ndarray:
        """What is reported of the incumbent at each point, (runs, points); nan before there is one."""
        found = np.full((len(courses), len(self.points)), np.nan)
        for row, course in zip(found, courses, strict=True):
            ended = np.searchsorted(course.ends, self.points, side="right") if self.timed else self.points
            ended = np.minimum(ended, len(course.rows))
            row[ended > 0] = self.problem.results[course.incumbents()[ended[ended > 0] - 1]]
        return found


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write the figure, in the format that the file's name says."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with style():
        figure = Figure(figsize=(3.6 * columns, 3.1 * rows + 0.5), layout="constrained", facecolor="white")
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))
        figure.savefig(path, dpi=150)


def _panel(axes: Axes, panel: Panel) -> None:
    lowest = []
    for (spec, courses), colour in zip(panel.courses.items(), cycle(COLOURS), strict=False):
        results = panel.results(courses)
        begun = np.isfinite(results).all(0)
        points, results = panel.points[begun], results[:, begun]
        middle, low, high = np.array([_middle(column, panel.regrets) for column in results.T]).T
        axes.plot(points, middle, color=colour, lw=1.6, label=spec)
        axes.fill_between(points, low, high, color=colour, alpha=0.18, lw=0)
        lowest.append((middle[len(middle) // 10], middle[middle > 0].min()))
    axes.set_title(panel.title)
    axes.set_xlabel("simulated seconds, in thousands" if panel.timed else "queries")
    if panel.timed:
        axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds / 1000:g}")
    axes.set_ylabel(f"{panel.problem.reported} ({'median' if panel.regrets else 'mean'})")
    axes.set_xlim(0, panel.points[-1])
    if panel.regrets:  # what is zero lies below the axis
        axes.set_yscale("log")
        axes.set_ylim(0.7 * min(least for _, least in lowest), 10 * max(early for early, _ in lowest))
    else:  # the first few queries would hide the rest
        axes.set_ylim(bottom=min(early for early, _ in lowest))


def _middle(values: np.ndarray, regrets: bool) -> tuple[float, float, float]:
    if regrets:
        return median_interval(values)
    middle, half = interval(values)
    return middle, middle - half, middle + half
