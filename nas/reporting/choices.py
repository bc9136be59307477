"""The figures of the choices: how much each matters, and what accuracy its options had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas.drawing.words import spoken
from nas.reporting.importance import EPOCHS, Effect, Importance
from nas.reporting.panels import COLOURS, FAINT, INK, WIDTH, Drawn

BARS, FEWEST = 12, 3
PANELS, COLUMNS = 9, 3
LONG = 22  # letters of a label


def bars(found: Importance | None, missing: str) -> Drawn:
    """The importance of the choices; `missing` says why there is none."""
    name, heading = "importance", "Which choices matter"
    if found is None:
        return Drawn(name, heading, missing)
    several = min(BARS, _several(found))
    shown = list(zip(found.names, found.means, found.deviations, strict=True))[:several][::-1]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.27 * len(shown)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    colours = [FAINT if name == EPOCHS else COLOURS["search"] for name, _, _ in shown]
    error: dict[str, Any] = {"ecolor": INK, "elinewidth": 1, "capsize": 2.5}
    widths, errors = [100 * width for _, width, _ in shown], [100 * error for _, _, error in shown]
    axes.barh(range(len(shown)), widths, height=0.62, color=colours, xerr=errors, error_kw=error)
    axes.set_yticks(range(len(shown)), [_short(spoken(name)) for name, _, _ in shown])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=INK, lw=1)
    axes.set_xlabel("accuracy of the prediction lost where the choice is shuffled (points)")
    first = ", ".join(spoken(name) for name in found.names[:3])
    alt = f"Importance of {len(shown)} choices; the first are {first}"
    return Drawn(name, heading, _explained(found, len(shown)), figure, alt)


def _several(found: Importance) -> int:
    """How many choices are worth showing: those that matter at all, and never fewer than a few."""
    return max(FEWEST, sum(mean > 0 for mean in found.means))


def _explained(found: Importance, shown: int) -> str:
    of = f"{found.trials:,} networks" + (f", drawn from {found.of:,}" if found.of > found.trials else "")
    learned = (
        f"On networks that it has not seen the forest explains {100 * found.skill:.0f} % of the variance."
        if found.skill > 0
        else "On networks that it has not seen the forest predicts no better than their mean, so that nothing can be "
        "read from these bars: there are too few trials, or they differ by chance."
    )
    control = (
        " Grey: the epochs that a trial was given are no choice of the network, but move its accuracy."
        if EPOCHS in found.names[:shown]
        else ""
    )
    left = len(found.names) - shown
    hidden = f" {left} others, which matter less, are not shown." if left else ""
    return (
        f"Permutation importance in a random forest on {of}, the search's and random search's, each choice encoded by "
        f"the place of its option, with one place more where it was not asked. Five folds: a bar is the mean over them "
        f"and its whisker their standard deviation. {learned} Choices that are asked together share their importance."
        f"{control}{hidden}"
    )


def panels(effects: Sequence[tuple[str, Sequence[Effect]]], found: Importance | None) -> Drawn:
    """The mean accuracy of the options of the first few choices; of those that matter, where that is known."""
    name, heading = "effects", "What each option did"
    most = PANELS if found is None else min(PANELS, _several(found)) // COLUMNS * COLUMNS  # full rows
    shown = sorted(effects[:most], key=lambda effect: len(effect[1]))  # so that those in a row are about as tall
    if not shown:
        return Drawn(name, heading, "No choice has been answered in two ways yet, so that there is nothing to compare.")
    rows = [shown[n : n + COLUMNS] for n in range(0, len(shown), COLUMNS)]
    heights = [max(len(options) for _, options in row) for row in rows]
    tall = sum(0.62 + 0.2 * height for height in heights) + 0.35
    figure = Figure(figsize=(WIDTH, tall), layout="constrained", facecolor="white")
    grid = figure.subplots(len(rows), COLUMNS, squeeze=False, sharex=True, height_ratios=[h + 1.5 for h in heights])
    limits = _limits([effect for _, options in shown for effect in options])
    for n, axes in enumerate(grid.flat):
        if n >= len(shown):
            axes.remove()
            continue
        _panel(axes, *shown[n], room=heights[n // COLUMNS])
        axes.set_xlim(*limits)
        axes.tick_params(labelbottom=True)
    figure.supxlabel("mean accuracy in the search (%)", size=9, color="#333333")
    hidden = f" {len(shown)} of {len(effects)} choices; the table has all." if len(effects) > len(shown) else ""
    caption = (
        "Mean accuracy in the search of networks with each option, its 95 % interval (Student's t; cut at the frame; "
        "none for a single network, or where all agree), and in brackets their number. The strategy keeps what was "
        "good, so that an option is also seen in the company it was kept in: these are means, not effects of the "
        f"option alone.{hidden}"
    )
    names = ", ".join(spoken(name) for name, _ in shown)
    return Drawn(name, heading, caption, figure, f"Mean accuracy of each option of: {names}")


def _panel(axes: Axes, name: str, options: Sequence[Effect], room: int) -> None:
    places = list(range(len(options)))[::-1]
    for place, effect in zip(places, options, strict=True):
        half = 100 * (effect.half_width or 0.0)
        style: dict[str, Any] = {"fmt": "o", "ms": 5, "color": COLOURS["search"], "elinewidth": 1.6, "mew": 0}
        axes.errorbar([100 * effect.mean], [place], xerr=[half], **style)
    axes.set_yticks(places, [f"{_short(effect.option)} ({effect.trials:,})" for effect in options])
    axes.set_ylim(len(options) - 0.4 - room, len(options) - 0.6)  # rows stand as close in every panel
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_title(_short(spoken(name), 34))


def _limits(effects: Sequence[Effect]) -> tuple[float, float]:
    """All means, and of their intervals as much as lies within once again their range."""
    means = [100 * effect.mean for effect in effects]
    span = max(means) - min(means) or 5.0
    ends = [100 * (e.mean + sign * (e.half_width or 0.0)) for e in effects for sign in (-1, 1)]
    low, high = max(min(ends), min(means) - 0.4 * span), min(max(ends), max(means) + 0.4 * span)
    return max(-2.0, low - 0.05 * span), min(102.0, high + 0.05 * span)


def _short(text: str, letters: int = LONG) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
