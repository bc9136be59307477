"""The figures of a search's course: best so far, learning curves, seconds of each trial."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nas.reporting.facts import ARMS, SEARCHES, Run, Tried, best_first
from nas.reporting.finals import Finalist
from nas.reporting.panels import (
    COLOURS,
    CURVES,
    DASHES,
    INK,
    LINES,
    MARKERS,
    TOP,
    Drawn,
    count,
    dots,
    even,
    frame,
    legend_above,
    panel,
    panels,
)


def progress(run: Run) -> Drawn:
    """The best so far, over trials and over time."""
    name, heading = "progress", "Best so far"
    if not run.ranked:
        return Drawn(name, heading, "No trial has a result yet, so that there is no best so far.")
    figure, (left, right) = panels(3.4, sharey=True)
    unit, seconds = _unit(max(row.elapsed for row in run.tried))
    for arm in SEARCHES:
        rows = sorted((row for row in _arm(run, arm) if row.value is not None), key=lambda row: row.elapsed)
        if rows:
            numbers = [n + 1 for n, row in enumerate(_arm(run, arm)) if row.value is not None]
            _course(left, arm, numbers, [row for row in _arm(run, arm) if row.value is not None])
            _course(right, arm, [row.elapsed / seconds for row in rows], rows)
    below = frame(left, [row.score for row in run.ranked])
    left.set(xlabel="trials that have ended", ylabel=f"{run.measure} (%)")
    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    right.set_xlabel(f"{unit} since the search began")
    legend_above(figure, left)
    copies = sum(row.copy_of is not None for row in run.random)
    spared = f", {copies} of which were trained before and took no time" if copies else ""
    compared = (
        f" Random search is a search of its own, of as many {'epochs' if run.rungs else 'trials'}{spared}."
        if run.random
        else " No random search was run beside it."
    )
    hidden = f" {count(below, 'trial')} below the frame." if below else ""
    caption = "The line is the best so far, each point a trial." + compared + hidden
    return Drawn(name, heading, caption, figure, _progress_alt(run))


def _progress_alt(run: Run) -> str:
    ends = []
    for arm in SEARCHES:
        ranked = best_first(_arm(run, arm))
        if ranked:
            ends.append(f"{ARMS[arm]} reaches {100 * ranked[0].score:.2f} % in {count(len(_arm(run, arm)), 'trial')}")
    return f"Best {run.measure} so far over trials and over time: " + "; ".join(ends)


def _course(axes: Axes, arm: str, places: Sequence[float], rows: Sequence[Tried]) -> None:
    """Trials as points, their best so far as steps."""
    scores = [100 * row.score for row in rows]
    kept = even(len(rows))
    style: dict[str, Any] = {"color": COLOURS[arm], "marker": MARKERS[arm], "linestyle": "none"}
    axes.plot([places[n] for n in kept], [scores[n] for n in kept], ms=4, alpha=0.45, mew=0, **style)
    best = list(accumulate(scores, max))
    turns = [n for n in range(len(best)) if n in (0, len(best) - 1) or best[n] > best[n - 1]]
    line: dict[str, Any] = {"linestyle": DASHES[arm], "color": COLOURS[arm], "lw": 2, "drawstyle": "steps-post"}
    axes.plot([places[n] for n in turns], [best[n] for n in turns], label=ARMS[arm], **line)
    if len(turns) == 1:
        axes.plot(places[:1], best[:1], ms=6, **style)


def curves(run: Run, again: Sequence[Finalist]) -> Drawn:
    """Learning curves of the best trials of both searches, and of the finalists."""
    name = "curves"
    best = [row for row in run.ranked if row.copy_of is None and row.curve][:TOP]
    finals = [finalist for finalist in again if any(row.curve for row in finalist.rows)][:TOP]
    heading = f"Learning curves of the best {len(best)}" if len(best) > 1 else "Learning curve"
    if not best and not finals:
        return Drawn(name, heading, "No learning curves have been logged.")
    figure, axes = panels(3.6, columns=bool(best) + bool(finals))
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
            f"None of {count(len(failed), 'trial')} was trained to the end." if failed else "No trial has ended yet."
        )
        return Drawn(name, heading, missing)
    figure, axes = panel(2.9)
    unit, seconds = _unit(max(row.seconds for row in trained))
    for arm in SEARCHES:
        rows = [row for row in trained if row.arm == arm]
        kept = [rows[n] for n in even(len(rows))]
        style: dict[str, Any] = {"marker": MARKERS[arm], "color": COLOURS[arm], "linestyle": "none", "mew": 0}
        style |= {**dots(len(kept)), "label": ARMS[arm]}
        if kept:
            axes.plot([r.number for r in kept], [r.seconds / seconds for r in kept], **style)
    if failed:
        cross: dict[str, Any] = {"color": INK, "linestyle": "none", "clip_on": False, "label": "failed"}
        axes.plot([row.number for row in failed], [0] * len(failed), marker="x", ms=6, mew=1.6, **cross)
    axes.set_ylim(0, None)
    axes.set(xlabel="number of the trial", ylabel=f"{unit} of training")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend_above(figure, axes)
    copies = sum(row.copy_of is not None for row in run.tried)
    caption = f"{count(len(failed), 'trial')} failed; a cross on the axis is one." if failed else "No trial failed."
    caption += f" {count(copies, 'trial')} took over an earlier result and cost nothing; not shown." if copies else ""
    alt = f"Seconds of training of {count(len(trained), 'trial')}; {len(failed)} failed"
    return Drawn(name, heading, caption, figure, alt)


def _arm(run: Run, arm: str) -> Sequence[Tried]:
    return run.search if arm == "search" else run.random


def _unit(seconds: float) -> tuple[str, float]:
    """What times up to this are told in."""
    if seconds >= 2 * 3600:
        return "hours", 3600.0
    return ("minutes", 60.0) if seconds >= 180 else ("seconds", 1.0)
