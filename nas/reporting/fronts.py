"""The figures of accuracy against what a network costs: its parameters, and the other objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from nas.budget import format_size
from nas.objectives import PARAMS, in_words
from nas.reporting.facts import ARMS, SEARCHES, Run, Tried
from nas.reporting.finals import Finalist, chosen
from nas.reporting.panels import COLOURS, GREEN, INK, MARKERS, Drawn, count, dots, even, frame, legend_above, panel


@dataclass(frozen=True)
class Cost:
    """What a network costs, as an axis; more than `limit` is not allowed."""

    name: str
    heading: str
    axis: str
    of: Callable[[Tried], float]
    words: Callable[[float], str]
    limit: int = 0


def costs(run: Run) -> list[Cost]:
    """The parameters, and the objectives beside accuracy."""
    size = Cost("size", "Accuracy and size", "parameters", _params, lambda v: format_size(round(v)), run.budget or 0)
    names = [str(name) for name in run.config.get("objective") or ()]
    known = min((len(row.values) for row in run.tried if row.value is not None), default=0)  # of a damaged log fewer
    found = [size]
    for place, name in enumerate(names[:known]):
        if place and name != PARAMS:
            plain = name.removeprefix("-")
            axis, of = in_words(name).replace(", ", " in "), partial(_spent, place=place)
            found.append(Cost(plain, f"Accuracy and {axis.partition(' ')[0]}", axis, of, _short))
    return found


def _short(cost: float) -> str:
    return f"{cost:.3g}" if cost < 999.5 else format_size(round(cost))


def _params(row: Tried) -> float:
    return row.params


def _spent(row: Tried, place: int) -> float:
    return 0.0 - row.values[place]  # no -0


def front(rows: Sequence[Tried], cost: Callable[[Tried], float] = _params) -> list[Tried]:
    """The Pareto front: trials that none beats in accuracy at no more cost, cheapest first."""
    found: list[Tried] = []
    for row in sorted((row for row in rows if row.value is not None), key=lambda r: (cost(r), -r.score, r.number)):
        if not found or row.score > found[-1].score:
            found.append(row)
    return found


def against(run: Run, again: Sequence[Finalist], cost: Cost) -> Drawn:
    """Accuracy against a cost, with the Pareto front and the limit."""
    if not run.trained:
        return Drawn(cost.name, cost.heading, "No network has been trained to the end yet.")
    figure, axes = panel(3.8)
    for arm in SEARCHES:
        rows = [row for row in run.trained if row.arm == arm]
        kept = [rows[n] for n in even(len(rows))]
        style: dict[str, Any] = {"marker": MARKERS[arm], "color": COLOURS[arm], "linestyle": "none", "mew": 0}
        if kept:
            points = [cost.of(row) for row in kept], [100 * row.score for row in kept]
            axes.plot(*points, **dots(len(kept)), label=ARMS[arm], **style)
    best = front(run.trained, cost.of)
    ends = [*best, max(run.trained, key=cost.of)]  # nothing dearer is better than the front's last
    heights = [100 * row.score for row in best]
    steps: dict[str, Any] = {"drawstyle": "steps-post", "color": GREEN, "lw": 1.6, "label": "Pareto front"}
    axes.plot([cost.of(row) for row in ends], [*heights, heights[-1]], **steps)
    axes.plot([cost.of(row) for row in best], heights, "D", ms=4, mfc="white", mec=GREEN, mew=1.3)
    best_one, label = _star(run, again)
    axes.plot([cost.of(best_one)], [100 * best_one.score], "*", ms=15, mfc="#F0E442", mec=INK, mew=1, label=label)
    if cost.limit:
        axes.axvline(cost.limit, color=INK, lw=1.2, ls=(0, (2, 2)), label=f"budget {cost.words(cost.limit)}")
    below = frame(axes, [row.score for row in run.trained])
    _logarithmic(axes, [cost.of(row) for row in run.trained] + [cost.limit] * bool(cost.limit), cost.words)
    axes.set(xlabel=f"{cost.axis} (logarithmic)", ylabel=f"{run.measure} in the search (%)")
    legend_above(figure, axes)
    hidden = f" {count(below, 'trial')} below the frame." if below else ""
    alt = f"Accuracy against {cost.axis} of {count(len(run.trained), 'network')}; the Pareto front has {len(best)}"
    seen = "shared weights" if run.shared else "one seed"
    joined = f"the line joins the {len(best)} that no network at their cost or less beats (the Pareto front)"
    if len(best) == 1:
        joined = "none beats the cheapest (the Pareto front is one network)"
    caption = f"Each point is a network as the search saw it, with {seen}; {joined}.{hidden}"
    ends_in_words = " to ".join(cost.words(cost.of(row)) for row in (best[0], best[-1]))
    return Drawn(cost.name, cost.heading, caption, figure, f"{alt}, from {ends_in_words}")


def _star(run: Run, again: Sequence[Finalist]) -> tuple[Tried, str]:
    """The chosen network as its search saw it, and what it is called."""
    best = chosen(run, again)
    if best is None or best.searched is None:
        return run.ranked[0], "best in the search"
    return best.searched, "chosen network"


def _logarithmic(axes: Axes, costs: Sequence[float], words: Callable[[float], str]) -> None:
    """A logarithmic axis with a few round numbers on it, however short it is."""
    least = min((cost for cost in costs if cost > 0), default=1.0)
    most = max(least, *costs)
    room = max(1.05, (most / least) ** 0.05)
    low, high = least / room, most * room
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = range(math.floor(np.log10(low)), int(np.log10(high)) + 2)
    ticks = [d * 10.0**power for power in decades for d in (1, 2, 5) if low <= d * 10.0**power <= high]
    if len(ticks) < 3:
        ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
    if len(ticks) > 9:
        ticks = ticks[:: -(-len(ticks) // 9)]
    axes.set_xticks(list({words(tick): tick for tick in ticks}.values()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: words(tick)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
