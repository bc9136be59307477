"""The figures of a search's course: best so far, size against accuracy, learning curves, seconds of each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from nas.budget import format_size
from nas.reporting.facts import ARMS, SEARCHES, Run, Tried, best_first
from nas.reporting.finals import Finalist, chosen

# Okabe and Ito's colours, told apart by colour-blind readers; shapes and dashes tell them apart without any
COLOURS = {"search": "#0072B2", "random": "#D55E00"}
MARKERS, DASHES = {"search": "o", "random": "s"}, {"search": "-", "random": (0, (4, 1.5))}
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7a6200")
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


def progress(run: Run) -> Drawn:
    """The best so far, over trials and over time."""
    name, heading = "progress", "Best so far"
    if not run.ranked:
        return Drawn(name, heading, "No trial has a result yet, so that there is no best so far.")
    figure, (left, right) = _panels(3.4, sharey=True)
    unit, seconds = _unit(max(row.elapsed for row in run.tried))
    for arm in SEARCHES:
        rows = sorted((row for row in _arm(run, arm) if row.value is not None), key=lambda row: row.elapsed)
        if rows:
            numbers = [n + 1 for n, row in enumerate(_arm(run, arm)) if row.value is not None]
            _course(left, arm, numbers, [row for row in _arm(run, arm) if row.value is not None])
            _course(right, arm, [row.elapsed / seconds for row in rows], rows)
    below = _frame(left, [row.score for row in run.ranked])
    left.set(xlabel="trials that have ended", ylabel=f"{run.measure} (%)")
    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    right.set_xlabel(f"{unit} since the search began")
    _legend_above(figure, left)
    compared = (
        f" Random search is a search of its own, of as many {'epochs' if run.rungs else 'trials'}."
        if run.random
        else " No random search was run beside it."
    )
    hidden = f" {_count(below, 'trial')} below the frame." if below else ""
    caption = "The line is the best so far, each point a trial." + compared + hidden
    return Drawn(name, heading, caption, figure, _progress_alt(run))


def _progress_alt(run: Run) -> str:
    ends = []
    for arm in SEARCHES:
        ranked = best_first(_arm(run, arm))
        if ranked:
            ends.append(f"{ARMS[arm]} reaches {100 * ranked[0].score:.2f} % in {_count(len(_arm(run, arm)), 'trial')}")
    return f"Best {run.measure} so far over trials and over time: " + "; ".join(ends)


def _course(axes: Axes, arm: str, places: Sequence[float], rows: Sequence[Tried]) -> None:
    """Trials as points, their best so far as steps."""
    scores = [100 * row.score for row in rows]
    kept = _even(len(rows))
    style: dict[str, Any] = {"color": COLOURS[arm], "marker": MARKERS[arm], "linestyle": "none"}
    axes.plot([places[n] for n in kept], [scores[n] for n in kept], ms=4, alpha=0.45, mew=0, **style)
    best = list(accumulate(scores, max))
    turns = [n for n in range(len(best)) if n in (0, len(best) - 1) or best[n] > best[n - 1]]
    line: dict[str, Any] = {"linestyle": DASHES[arm], "color": COLOURS[arm], "lw": 2, "drawstyle": "steps-post"}
    axes.plot([places[n] for n in turns], [best[n] for n in turns], label=ARMS[arm], **line)
    if len(turns) == 1:
        axes.plot(places[:1], best[:1], ms=6, **style)


def front(rows: Sequence[Tried]) -> list[Tried]:
    """The Pareto front: trials that none beats in accuracy without more parameters, smallest first."""
    found: list[Tried] = []
    for row in sorted((row for row in rows if row.value is not None), key=lambda r: (r.params, -r.score, r.number)):
        if not found or row.score > found[-1].score:
            found.append(row)
    return found


def sizes(run: Run, again: Sequence[Finalist]) -> Drawn:
    """Accuracy against parameters, with the Pareto front and the budget."""
    name, heading = "size", "Accuracy and size"
    if not run.trained:
        return Drawn(name, heading, "No network has been trained to the end yet.")
    figure, axes = _panel(3.8)
    for arm in SEARCHES:
        rows = [row for row in run.trained if row.arm == arm]
        kept = [rows[n] for n in _even(len(rows))]
        style: dict[str, Any] = {"marker": MARKERS[arm], "color": COLOURS[arm], "linestyle": "none", "mew": 0}
        if kept:
            points = [row.params for row in kept], [100 * row.score for row in kept]
            axes.plot(*points, **_dots(len(kept)), label=ARMS[arm], **style)
    best = front(run.trained)
    ends = [*best, max(run.trained, key=lambda row: row.params)]  # no larger network is better than the front's last
    heights = [100 * row.score for row in best]
    steps: dict[str, Any] = {"drawstyle": "steps-post", "color": GREEN, "lw": 1.6, "label": "Pareto front"}
    axes.plot([row.params for row in ends], [*heights, heights[-1]], **steps)
    axes.plot([row.params for row in best], heights, "D", ms=4, mfc="white", mec=GREEN, mew=1.3)
    best_one, label = _star(run, again)
    axes.plot([best_one.params], [100 * best_one.score], "*", ms=15, mfc="#F0E442", mec=INK, mew=1, label=label)
    if run.budget:
        axes.axvline(run.budget, color=INK, lw=1.2, ls=(0, (2, 2)), label=f"budget {format_size(run.budget)}")
    below = _frame(axes, [row.score for row in run.trained])
    _log_sizes(axes, [row.params for row in run.trained] + ([run.budget] if run.budget else []))
    axes.set(xlabel="parameters (logarithmic)", ylabel=f"{run.measure} in the search (%)")
    _legend_above(figure, axes)
    hidden = f" {_count(below, 'trial')} below the frame." if below else ""
    smallest, largest = format_size(best[0].params), format_size(best[-1].params)
    alt = f"Accuracy against parameters of {_count(len(run.trained), 'network')}; the Pareto front has {len(best)}"
    seen = "shared weights" if run.shared else "one seed"
    caption = f"Each point is a network as the search saw it, with {seen}; the line joins the {len(best)} that no "
    caption += f"network of their size or smaller beats (the Pareto front).{hidden}"
    return Drawn(name, heading, caption, figure, f"{alt}, from {smallest} to {largest} parameters")


def _star(run: Run, again: Sequence[Finalist]) -> tuple[Tried, str]:
    """The chosen network as its search saw it, and what it is called."""
    best = chosen(run, again)
    if best is None or best.searched is None:
        return run.ranked[0], "best in the search"
    return best.searched, "chosen network"


def _dots(number: int) -> dict[str, Any]:
    """Smaller and fainter where there are many."""
    return {"ms": 5, "alpha": 0.6} if number < 300 else {"ms": 3, "alpha": 0.35}


def curves(run: Run, again: Sequence[Finalist]) -> Drawn:
    """Learning curves of the best trials of both searches, and of the finalists."""
    name = "curves"
    best = [row for row in run.ranked if row.copy_of is None and row.curve][:TOP]
    finals = [finalist for finalist in again if any(row.curve for row in finalist.rows)][:TOP]
    heading = f"Learning curves of the best {len(best)}" if len(best) > 1 else "Learning curve"
    if not best and not finals:
        return Drawn(name, heading, "No learning curves have been logged.")
    figure, axes = _panels(3.6, columns=bool(best) + bool(finals))
    left, right = axes[0], axes[-1]
    for n, row in enumerate(best):
        _curve(left, row, n, f"{_name(row)}: {100 * row.score:.2f} %")
        left.set_title("in the search")
    for n, finalist in enumerate(finals):
        label = f"{_name(finalist.searched or finalist.first)}: {100 * finalist.mean:.2f} %"
        for row in finalist.rows:
            _curve(right, row, n, label if row is finalist.rows[0] else "")
        right.set_title("final training, a line a seed")
    for one in axes:
        one.set_xlabel("epoch")
        one.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        one.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, handlelength=3)
    left.set_ylabel("validation accuracy (%)")
    caption = "Validation accuracy after each epoch; the circle is the epoch whose weights were kept."
    return Drawn(name, heading, caption, figure, heading)


def _name(row: Tried) -> str:
    return {"search": "trial", "random": "random trial", "final": "training"}[row.arm] + f" {row.number}"


def _curve(axes: Axes, row: Tried, n: int, label: str) -> None:
    """Of several folds their mean."""
    at: dict[float, list[float]] = {}
    for epoch in row.curve:
        if "epoch" in epoch and "val_accuracy" in epoch:
            at.setdefault(epoch["epoch"], []).append(100 * epoch["val_accuracy"])
    epochs = sorted(at)
    heights = [sum(at[epoch]) / len(at[epoch]) for epoch in epochs]
    style: dict[str, Any] = {"color": CURVES[n], "label": label or "_"}
    marker: dict[str, Any] = {"marker": "."} if len(epochs) == 1 else {}
    axes.plot(epochs, heights, linestyle=LINES[n], lw=1.5, **style, **marker)
    kept = row.metrics.get("best_epoch")
    if kept in at:
        axes.plot([kept], [heights[epochs.index(kept)]], "o", ms=5.5, mfc="white", mec=CURVES[n], mew=1.4, zorder=3)


def durations(run: Run) -> Drawn:
    """Seconds of training of each trial, and which trials failed."""
    name, heading = "durations", "Duration of trials"
    trained = [row for row in run.tried if row.value is not None and row.copy_of is None and row.seconds > 0]
    failed = [row for row in run.tried if row.value is None]
    if not trained:
        missing = (
            f"None of {_count(len(failed), 'trial')} was trained to the end." if failed else "No trial has ended yet."
        )
        return Drawn(name, heading, missing)
    figure, axes = _panel(2.9)
    unit, seconds = _unit(max(row.seconds for row in trained))
    for arm in SEARCHES:
        rows = [row for row in trained if row.arm == arm]
        kept = [rows[n] for n in _even(len(rows))]
        style: dict[str, Any] = {"marker": MARKERS[arm], "color": COLOURS[arm], "linestyle": "none", "mew": 0}
        style |= {**_dots(len(kept)), "label": ARMS[arm]}
        if kept:
            axes.plot([r.number for r in kept], [r.seconds / seconds for r in kept], **style)
    if failed:
        cross: dict[str, Any] = {"color": INK, "linestyle": "none", "clip_on": False, "label": "failed"}
        axes.plot([row.number for row in failed], [0] * len(failed), marker="x", ms=6, mew=1.6, **cross)
    axes.set_ylim(0, None)
    axes.set(xlabel="number of the trial", ylabel=f"{unit} of training")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _legend_above(figure, axes)
    copies = sum(row.copy_of is not None for row in run.tried)
    caption = f"{_count(len(failed), 'trial')} failed; a cross on the axis is one." if failed else "No trial failed."
    caption += f" {_count(copies, 'trial')} took over an earlier result and cost nothing; not shown." if copies else ""
    alt = f"Seconds of training of {_count(len(trained), 'trial')}; {len(failed)} failed"
    return Drawn(name, heading, caption, figure, alt)


def _arm(run: Run, arm: str) -> Sequence[Tried]:
    return run.search if arm == "search" else run.random


def _panels(height: float, columns: int = 2, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(1, columns, sharey=sharey, squeeze=False)[0])


def _panel(height: float) -> tuple[Figure, Axes]:
    figure, axes = _panels(height, 1)
    return figure, axes[0]


def _legend_above(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=6)


def _frame(axes: Axes, scores: Sequence[float]) -> int:
    """Limits of accuracy that leave the worst tenth out, where that shows the rest better; how many are left out."""
    values = 100 * np.array(scores)
    low, high = float(values.min()), float(values.max())
    tenth = float(np.quantile(values, 0.1))
    if len(values) > TOP and tenth - low > 0.5 * (high - tenth):
        low = tenth
    room = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - room, high + 1.5 * room)
    return int((values < low - room).sum())


def _log_sizes(axes: Axes, params: Sequence[int]) -> None:
    """A logarithmic axis with a few round numbers on it, however short it is."""
    room = max(1.01, (max(params) / max(1, min(params))) ** 0.05)
    low, high = max(1, min(params)) / room, max(params) * room
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = range(int(np.log10(low)) - 1, int(np.log10(high)) + 2)
    ticks = [d * 10.0**power for power in decades for d in (1, 2, 5) if low <= d * 10.0**power <= high]
    if len(ticks) < 3:
        ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
    if len(ticks) > 9:
        ticks = ticks[:: -(-len(ticks) // 9)]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: format_size(round(tick))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _unit(seconds: float) -> tuple[str, float]:
    """What times up to this are told in."""
    if seconds >= 2 * 3600:
        return "hours", 3600.0
    return ("minutes", 60.0) if seconds >= 180 else ("seconds", 1.0)


def _even(number: int) -> list[int]:
    """The places of at most `SHOWN` of so many, evenly."""
    return list(range(number)) if number <= SHOWN else [round(n) for n in np.linspace(0, number - 1, SHOWN)]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
