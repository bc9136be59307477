"""The final selection from rows: finalists on fresh seeds, which one is chosen, what of a score may be luck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, variance

import numpy as np
from scipy import stats

from nas.reporting.facts import FOLDERS, Run, Tried, best_first, number_of
from nas.selection import Difference, Sample, difference


@dataclass(frozen=True)
class Finalist(Sample):
    """A network that was trained again, once for each of several fresh seeds; `searched` is how its search saw it.

    `rows` are the trainings that ended, at least one; `failed` counts the others.
    """

    rows: tuple[Tried, ...]
    searched: Tried | None = None
    failed: int = 0
    joining: bool = False  # it was trained again because an ensemble needs small networks

    @property
    def values(self) -> list[float]:
        return [row.score for row in self.rows]

    @property
    def first(self) -> Tried:
        return self.rows[0]

    @property
    def longer(self) -> bool:
        """Whether it was given more epochs, or fewer, than in the search."""
        return self.searched is None or self.searched.fidelity != self.first.fidelity


def finalists(run: Run) -> list[Finalist]:
    """Best mean first, as `nas.selection.finalists_of` has them, and those with a failed seed last.

    A network whose seeds have all failed is left out.
    """
    return _together(run, "final")


def _together(run: Run, arm: str) -> list[Finalist]:
    """Trainings for as many epochs are a sample; a network that was trained for several has that of the most."""
    together: dict[str, dict[float, list[Tried]]] = {}
    failed: Counter[tuple[str, float]] = Counter()
    for row in run.counting(arm):
        if row.value is None:
            failed[row.key, row.fidelity] += 1
        else:
            together.setdefault(row.key, {}).setdefault(row.fidelity, []).append(row)
    seen: dict[str, Tried] = {}
    for row in run.ranked:
        seen.setdefault(row.key, row)
    joining = run.selection.joining if run.selection is not None and arm == "final" else frozenset()
    found = []
    for key, given in together.items():
        longest = max(given)
        small = any(row.number in joining for row in given[longest])
        found.append(Finalist(tuple(given[longest]), seen.get(key), failed[key, longest], small))
    return sorted(found, key=lambda f: (f.failed > 0, -f.mean, f.first.costs, f.first.params, f.first.number))


def chosen(run: Run, again: Sequence[Finalist]) -> Finalist | None:
    """The finalist that is kept in best/, or else the one with the best mean; None where there is none."""
    number, params = run.exported.get("trial"), run.exported.get("parameters")
    kept = [f for f in again if any((row.number, row.params) == (number, params) for row in f.rows)]
    return next(iter([*kept, *again]), None)


@dataclass(frozen=True)
class Handed:
    """A folder that a search hands over: what to expect of it on the validation part; `tested` where it was chosen.

    `again`: the seeds of a single network.
    """

    name: str
    folder: str
    params: int
    expected: float
    again: Finalist | None
    tested: float | None

    @property
    def half_width(self) -> float | None:
        return None if self.again is None else self.again.half_width


def handed_over(run: Run, again: Sequence[Finalist]) -> list[Handed]:
    """The single network, the ensemble, the network that it taught: those that were written; one at most is tested."""
    taught = next(iter(_together(run, "distilled")), None)
    members = run.handed["ensemble"].get("members") or ()
    names = {
        "best": "the best network",
        "ensemble": f"an ensemble of {len(members)} network{'' if len(members) == 1 else 's'}",
        "distilled": "the best network, taught by the ensemble",
    }
    won, found = _won(run), []
    for folder, name in names.items():
        facts = run.handed[folder]
        params = number_of(facts.get("parameters"))
        of = {"best": chosen(run, again), "distilled": taught}.get(folder)
        crossed = facts.get("validation_accuracy_crossed", facts.get("validation_accuracy"))
        expected = number_of(crossed) if of is None else of.mean
        if params is not None and expected is not None:
            tested = number_of(facts.get("test_accuracy")) if folder == won else None
            found.append(Handed(name, folder, int(params), expected, of, tested))
    return found


def _won(run: Run) -> str | None:
    """The folder of what was chosen; where the search does not say, the first with a test accuracy."""
    if run.selection is not None:
        return run.selection.chosen
    return next((name for name in FOLDERS if number_of(run.handed[name].get("test_accuracy")) is not None), None)


def best_of(run: Run, arm: Sequence[Tried]) -> Tried | None:
    """The best trial of a search; where it took over a result, the trial that it took it from."""
    return next((run.original(row) for row in best_first(arm)), None)


def against_random(run: Run, again: Sequence[Finalist]) -> tuple[Finalist, Finalist, Difference] | None:
    """The bests of the search and of random search on fresh seeds, and their difference; None where one has none."""
    by_key = {finalist.first.key: finalist for finalist in again}
    first = [best_of(run, arm) for arm in (run.search, run.random)]
    ours, theirs = (by_key.get(row.key) if row else None for row in first)
    if ours is None or theirs is None:
        return None
    return ours, theirs, difference(ours.values, theirs.values)


def seed_deviation(again: Sequence[Finalist]) -> float | None:
    """The standard deviation between seeds, pooled over finalists; None where each has one."""
    several = [f.values for f in again if len(f.values) > 1]
    if not several:
        return None
    squares = sum(variance(values) * (len(values) - 1) for values in several)
    return float((squares / sum(len(values) - 1 for values in several)) ** 0.5)


def luckiest(number: int) -> float:
    """How many standard deviations the largest of `number` normal numbers lies above the mean, on average."""
    if number < 2:
        return 0.0
    at = np.linspace(-9.0, 9.0, 4001)
    density = number * stats.norm.pdf(at) * stats.norm.cdf(at) ** (number - 1)
    return float(np.sum(at * density) * (at[1] - at[0]))


def leads(again: Sequence[Finalist]) -> tuple[float, float] | None:
    """By how much the search's first among the finalists led the others: in the search, and on fresh seeds."""
    known = [(f.searched.score, f.mean) for f in again if f.searched is not None and not f.joining]
    if len(known) < 2:
        return None
    ahead = max(range(len(known)), key=lambda n: known[n][0])
    others = [pair for n, pair in enumerate(known) if n != ahead]
    before, after = (known[ahead][n] - mean(pair[n] for pair in others) for n in (0, 1))
    return before, after


def sample_half_width(accuracy: float, samples: int) -> float:
    """Half the width of what so many independent samples leave open of an accuracy (normal 95 %); 0 at 0 and at 1."""
    return float(1.96 * (max(0.0, accuracy * (1 - accuracy)) / samples) ** 0.5)


def sample_interval(accuracy: float, samples: int) -> tuple[float, float] | None:
    """What so many independent samples leave open of an accuracy (Wilson's 95 % interval)."""
    if samples < 1 or not 0 <= accuracy <= 1:
        return None
    found = stats.binomtest(round(accuracy * samples), samples).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)
