"""Which choices matter: permutation importance in a random forest, and the mean accuracy of each option.

Breiman, Random Forests, Machine Learning 45 (2001), section 10; here on trials that the forest has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from nas.ops import Scalar
from nas.reporting.facts import Tried
from nas.selection import half_width

LEAST = 10  # trials, below which nothing is said
MOST = 1000  # trials that the forest is given, a random subset of more
FOLDS, TREES, SHUFFLES = 5, 40, 5
BINS = 6  # of a number with more options than this and half as many again
Cell = tuple[int, float, str]  # what an option is ordered by, its word last
ABSENT = "not asked"  # a choice that a trial did not have to make
EPOCHS = "epochs given"  # no choice, but it varies under a time limit and moves the accuracy


@dataclass(frozen=True)
class Importance:
    """By how much shuffling a choice worsens the prediction of accuracy: mean absolute error, and its deviation.

    `skill` is the share of the variance of unseen trials that the forest explains; at most 0 where it has learned
    nothing. `names` are in order of importance; `of` trials `trials` were used.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    skill: float
    trials: int
    of: int


@dataclass(frozen=True)
class Effect:
    """The trials that took an option: how many, their mean accuracy, half the width of its 95 % interval, if any."""

    option: str
    trials: int
    mean: float
    half_width: float | None


def varied(rows: Sequence[Tried]) -> list[str]:
    """The choices that were not answered alike by all of the trials."""
    names = dict.fromkeys(name for row in rows for name in row.choices)
    return [name for name in names if len({row.choices.get(name) for row in rows}) > 1]


def reason_against(rows: Sequence[Tried]) -> str | None:
    """Why no importance can be told from these trials, in a sentence; None where it can."""
    if len(rows) < LEAST:
        return f"Importance needs at least {LEAST} networks; there are {len(rows)}."
    if len({row.score for row in rows}) == 1:
        return "All networks have the same accuracy, so that no choice can be seen to matter."
    if not varied(rows):
        return "All networks are of the same choices, so that there is nothing to compare."
    return None


def importance(rows: Sequence[Tried]) -> Importance:
    """Of the choices of networks, for which `reason_against` knows nothing to say. The same rows, the same."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    used = rows
    if len(rows) > MOST:
        picked = np.sort(np.random.default_rng(0).choice(len(rows), MOST, replace=False))
        used = [rows[n] for n in picked]
    table = encoded(used)
    scores = np.array([row.score for row in used])
    found, errors, spread = [], 0.0, 0.0
    for seen, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(table):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.5, random_state=0)
        forest.fit(table[seen], scores[seen])
        errors += float(((forest.predict(table[unseen]) - scores[unseen]) ** 2).sum())
        spread += float(((scores[seen].mean() - scores[unseen]) ** 2).sum())
        shuffled = permutation_importance(
            forest, table[unseen], scores[unseen], scoring="neg_mean_absolute_error", n_repeats=SHUFFLES, random_state=0
        )
        found.append(shuffled.importances_mean)
    means, deviations = np.mean(found, axis=0), np.std(found, axis=0)
    order = np.argsort(-means, kind="stable")
    names = columns(used)
    return Importance(
        tuple(names[n] for n in order),
        tuple(float(means[n]) for n in order),
        tuple(float(deviations[n]) for n in order),
        1 - errors / spread if spread else 0.0,
        len(used),
        len(rows),
    )


def columns(rows: Sequence[Tried]) -> list[str]:
    """What the forest sees: the choices that vary, and the epochs given where these do."""
    return [*varied(rows), *([EPOCHS] if len({row.fidelity for row in rows}) > 1 else [])]


def encoded(rows: Sequence[Tried]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`(trials, columns)`: each option by its place, numbers in their order, one that was not asked before all."""
    table: list[list[float]] = []
    for name in varied(rows):
        cells = [_cell(row.choices.get(name)) for row in rows]
        place = {cell: n for n, cell in enumerate(sorted(set(cells)))}
        table.append([place[cell] for cell in cells])
    if EPOCHS in columns(rows):
        table.append([row.fidelity for row in rows])
    return np.array(table, dtype=np.float64).T


def effects(rows: Sequence[Tried], name: str) -> list[Effect]:
    """The mean accuracy of each option of a choice, numbers in their order; of many numbers, in ranges."""
    together: dict[Cell, list[float]] = {}
    for cell, row in zip(_in_ranges([_cell(row.choices.get(name)) for row in rows]), rows, strict=True):
        together.setdefault(cell, []).append(row.score)
    return [Effect(cell[-1], len(v), mean(v), half_width(v)) for cell, v in sorted(together.items())]


def _in_ranges(cells: Sequence[Cell]) -> list[Cell]:
    """Many different numbers as a few ranges of about equally many trials; anything else as it is."""
    numbers = [cell[1] for cell in cells if cell[0] == 1]
    if len(set(numbers)) <= 1.5 * BINS:
        return list(cells)
    found = pd.DataFrame({"number": numbers, "range": pd.qcut(numbers, BINS, labels=False, duplicates="drop")})
    ends = found.groupby("range")["number"].agg(["min", "max"])
    worded = {n: f"{least:g} to {most:g}" for n, least, most in ends.itertuples()}
    ranges = iter(found["range"])
    return [(1, float(n := next(ranges)), worded[n]) if cell[0] == 1 else cell for cell in cells]


def _cell(option: Scalar | None) -> Cell:
    """Absent ones first, then numbers, then words."""
    if option is None:
        return (0, 0.0, ABSENT)
    if isinstance(option, int | float) and not isinstance(option, bool):
        return (1, float(option), word(option))
    return (2, 0.0, word(option))


def word(option: Scalar) -> str:
    """An option as it is read: `yes`, `0.05`, `0.001`."""
    if isinstance(option, bool):
        return "yes" if option else "no"
    return f"{option:g}" if isinstance(option, float) else str(option)
