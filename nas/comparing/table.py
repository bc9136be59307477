"""A comparison in numbers: means with intervals, and differences seed by seed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import fields
from statistics import mean

from scipy.stats import rankdata

from nas.comparing.runs import Comparison, Found
from nas.reporting.tables import Table
from nas.selection import LEVEL, Difference, half_width

VERDICTS = {True: ("better", "worse"), False: ("not told apart",) * 2, None: ("nothing can be said",) * 2}
UNEQUAL = 1.2  # times the epochs of another strategy
MEASURES = {"test": "On the test part", "searched": "In the search"}  # of `Found`, and where that is


def difference(compared: Comparison, strategy: str, what: str = "test") -> Difference | None:
    """From the first strategy by one of `MEASURES`, over the seeds that both have; None where there is none.

    The same seed is the same split of the data, so what a split does to both cancels out. The intervals of all
    strategies hold together (Bonferroni), for the best of many would stand out by chance alone.
    """
    first, *others = compared.strategies
    both = [seed for seed in compared.seeds if {(first, seed), (strategy, seed)} <= compared.found.keys()]
    if strategy == first or not both:
        return None
    found = ((compared.found[strategy, seed], compared.found[first, seed]) for seed in both)
    values = [getattr(ours, what) - getattr(theirs, what) for ours, theirs in found]
    half = half_width(values, 1 - (1 - LEVEL) / len(others))
    if half is None:
        return Difference(mean(values))
    return Difference(mean(values), mean(values) - half, mean(values) + half)


def ranks(compared: Comparison) -> dict[str, float]:
    """Of each strategy the mean rank on the test part, 1 for the best of a seed, over the seeds that all have."""
    whole = [
        [compared.found[strategy, seed].test for strategy in compared.strategies]
        for seed in compared.seeds
        if all((strategy, seed) in compared.found for strategy in compared.strategies)
    ]
    if not whole:
        return {}
    placed = [rankdata([-test for test in tests]) for tests in whole]
    return {name: mean(float(rank[n]) for rank in placed) for n, name in enumerate(compared.strategies)}


def columns(compared: Comparison) -> list[str]:
    minus = f"minus {compared.strategies[0]}"
    return ["strategy", "seeds", "test, %", minus, "in the search, %", minus, "trials", "epochs", "s"]


def rows(compared: Comparison) -> list[list[str]]:
    """A line a strategy that has a result."""
    lines = []
    for strategy in compared.strategies:
        if found := compared.of_strategy(strategy):
            line = [strategy, str(len(found))]
            for what in MEASURES:
                line += [_mean([getattr(one, what) for one in found]), _points(difference(compared, strategy, what))]
            costs = (f"{mean(getattr(one, name) for one in found):,.0f}" for name in ("trials", "epochs", "seconds"))
            lines.append([*line, *costs])
    return lines


def _points(apart: Difference | None) -> str:
    if apart is None:
        return ""
    points = f"{100 * apart.value:+.2f}"
    if apart.low is None or apart.high is None:
        return points
    return f"{points} ({100 * apart.low:+.2f} to {100 * apart.high:+.2f})"


def _mean(values: Sequence[float]) -> str:
    half = half_width(values)
    return f"{100 * mean(values):.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def notes(compared: Comparison) -> list[str]:
    """What is to be known of the table, a sentence each."""
    first, *others = compared.strategies
    together = "" if len(others) == 1 else f"; the intervals of all {len(others)} hold together with 95 %"
    said = [f"Means with 95 % intervals. Differences are from {first}, seed by seed on the same split{together}."]
    for what, where in MEASURES.items():
        verdicts: dict[str, list[str]] = {}
        for strategy in others:
            if apart := difference(compared, strategy, what):
                verdicts.setdefault(VERDICTS[apart.significant][apart.value < 0], []).append(strategy)
        if verdicts:
            listed = ", ".join(f"{word} ({', '.join(which)})" for word, which in verdicts.items())
            said.append(f"{where}, against {first}: {listed}.")
    if placed := ranks(compared):
        ordered = sorted(placed.items(), key=lambda item: item[1])
        said.append("Mean rank on the test part: " + ", ".join(f"{name} {rank:.2f}" for name, rank in ordered) + ".")
    every = [compared.of_strategy(name) for name in compared.strategies]
    epochs = [mean(one.epochs for one in found) for found in every if found]
    if not compared.timed and max(epochs, default=0) > UNEQUAL * min(epochs, default=0):
        said.append("They have not trained for as many epochs: what each reaches in as much time is told by --time.")
    if compared.failed:
        which = ", ".join(f"{strategy} with seed {seed}" for strategy, seed in compared.failed)
        said.append(f"Left out, since no network was trained to the end: {which}.")
    return said


def markdown(compared: Comparison) -> str:
    lines = tuple(map(tuple, rows(compared)))
    return Table(" ".join(notes(compared)), tuple(columns(compared)), lines).markdown


def write(compared: Comparison) -> None:
    """comparison.md, and comparison.csv: a row for each search."""
    (compared.path / "comparison.md").write_text(markdown(compared), encoding="utf-8")
    names = [field.name for field in fields(Found) if field.name != "course"]
    with (compared.path / "comparison.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([getattr(found, name) for name in names] for found in compared.found.values())
