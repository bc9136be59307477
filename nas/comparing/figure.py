"""The course of a comparison: the best validation accuracy so far, over trials and over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nas.comparing.runs import Comparison, Found
from nas.reporting.panels import CURVES, LINES, legend_above, panels
from nas.reporting.svg import save, style

POINTS = 200
EARLY = 4  # of the trials one part in so many, the first, may lie below the frame
Values = npt.NDArray[np.float64]


def draw(compared: Comparison) -> Path | None:
    """Write comparison.svg: a thin line for each search, a thick one for the mean. None without a search."""
    found = list(compared.found.values())
    if not found:
        return None
    trials = np.unique(np.rint(np.linspace(1, max(one.trials for one in found), POINTS)))
    seconds = np.linspace(0, max(one.seconds for one in found), POINTS + 1)[1:]
    with style():
        figure, (left, right) = panels(3.8, sharey=True)
        heights = list[float]()
        for strategy, colour, line in zip(compared.strategies, cycle(CURVES), cycle(LINES), strict=False):
            if several := compared.of_strategy(strategy):
                look = {"color": colour, "linestyle": line, "label": strategy}
                heights += _course(left, trials, _by_trials(several, trials), look)
                _course(right, seconds, _by_seconds(several, seconds), look)
        room = 0.05 * (max(heights) - min(heights)) or 1.0
        left.set(xlabel="trials that have ended", ylabel="best validation accuracy so far (%)")
        left.set_ylim(min(heights) - room, max(heights) + room)
        left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        right.set_xlabel("seconds since the search began")
        legend_above(figure, left)
        return save(figure, compared.path / "comparison.svg")


def _by_trials(found: Sequence[Found], trials: Values) -> Values:
    """The best of each search after so many trials, (searches, points); of one that has ended, its last."""
    return np.array([[one.course[min(int(n), len(one.course)) - 1][1] for n in trials] for one in found])


def _by_seconds(found: Sequence[Found], seconds: Values) -> Values:
    """The best of each search after so many seconds, (searches, points); nan before its first."""
    table = np.full((len(found), len(seconds)), np.nan)
    for row, one in zip(table, found, strict=True):
        ended = np.searchsorted([at for at, _ in one.course], seconds, side="right")
        best = np.array([value for _, value in one.course])
        row[ended > 0] = best[ended[ended > 0] - 1]
    return table


def _course(axes: Axes, at: Values, best: Values, look: dict[str, Any]) -> list[float]:
    """Draw the searches, and their mean from where all have a result; what heights are to be seen of them."""
    best = 100 * best
    for row in best if len(best) > 1 else ():
        axes.plot(at, row, lw=0.7, alpha=0.4, drawstyle="steps-post", **{**look, "label": "_"})
    begun = np.isfinite(best).all(axis=0)
    axes.plot(at[begun], best[:, begun].mean(axis=0), lw=2.2, drawstyle="steps-post", **look)
    late = best[:, len(at) // EARLY :]
    return [float(height) for height in late[np.isfinite(late)]]
