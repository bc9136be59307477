"""Which network is best, said honestly: by fresh seeds, since the best of many noisy scores is flattered by chance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev, variance

import scipy  # its parts when they are first used

from nas.trial import Trial, best_first

LEVEL = 0.95  # of the intervals


def half_width(values: Sequence[float], level: float = LEVEL) -> float | None:
    """Of the interval around the mean of a sample (Student's t); None for fewer than two values, or equal ones.

    Few seeds that agree to the last sample say that the scale is coarse, not that there is no chance in them.
    """
    if len(values) < 2 or stdev(values) == 0:
        return None
    quantile = _quantile(len(values) - 1, level)
    return float(quantile * stdev(values) / len(values) ** 0.5)


def _quantile(freedom: float, level: float = LEVEL) -> float:
    """Of Student's t, for an interval."""
    return float(scipy.special.stdtrit(freedom, (1 + level) / 2))


class Sample:
    """The accuracies of several fresh seeds, `values`; their mean, and an interval around it."""

    @property
    @abstractmethod
    def values(self) -> list[float]: ...

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def half_width(self) -> float | None:
        """Of the interval around the mean; None where `half_width` gives none."""
        return half_width(self.values)


@dataclass(frozen=True)
class Finalist(Sample):
    """A network that was trained again from scratch, once for each of several fresh seeds; at least once."""

    trials: tuple[Trial, ...]
    failed: int = 0  # more seeds, with which it did not come to an end

    @property
    def values(self) -> list[float]:
        return [trial.value for trial in self.trials]

    @property
    def best(self) -> Trial:
        """Of its trainings the best on validation: the weights that are kept."""
        return best_first(self.trials)[0]

    @property
    def key(self) -> tuple[object, ...]:
        """The network and its training, whatever the fidelity."""
        return self.trials[0].candidate.key[:2]


def finalists_of(trials: Iterable[Trial]) -> list[Finalist]:
    """Final trainings, those of a network together; one that has failed with a seed comes after all that have not.

    Best mean first, of equals the cheaper, the smaller. Networks that failed with every seed are left out.
    """
    together: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        together.setdefault(trial.candidate.key[:2], []).append(trial)
    split = [([t for t in group if t.values], len(group)) for group in together.values()]
    found = [Finalist(tuple(ended), number - len(ended)) for ended, number in split if ended]
    return sorted(
        found, key=lambda f: (f.failed > 0, -f.mean, f.trials[0].costs, f.trials[0].params, f.trials[0].number)
    )


@dataclass(frozen=True)
class Difference:
    """The mean of one sample minus that of another, and an interval around it (Welch); None where it cannot be had."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def significant(self) -> bool | None:
        """Whether the interval leaves zero out; None where there is no interval."""
        return None if self.low is None or self.high is None else not self.low <= 0 <= self.high

    def __str__(self) -> str:
        """`+0.42 points (95 % interval -0.10 to +0.94): not significant`."""
        points = f"{100 * self.value:+.2f} points"
        if self.low is None or self.high is None:
            return f"{points} (too few seeds, or seeds that all agree: nothing can be said of chance)"
        verdict = "significant" if self.significant else "not significant"
        return f"{points} ({100 * LEVEL:.0f} % interval {100 * self.low:+.2f} to {100 * self.high:+.2f}): {verdict}"


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Of two samples of accuracies, of fresh seeds each."""
    value = mean(ours) - mean(theirs)
    if len(ours) < 2 or len(theirs) < 2:
        return Difference(value)
    errors = [variance(sample) / len(sample) for sample in (ours, theirs)]  # squared, of the means
    if not any(errors):
        return Difference(value)
    # Welch and Satterthwaite, by hand: scipy's warns of rounding where all seeds of a network agree, as they may
    freedom = sum(errors) ** 2 / sum(e**2 / (len(s) - 1) for e, s in zip(errors, (ours, theirs), strict=True))
    half = _quantile(freedom) * sum(errors) ** 0.5
    return Difference(value, value - half, value + half)


def against_random(
    trials: Sequence[Trial], baseline: Sequence[Trial], final: Sequence[Trial]
) -> tuple[Finalist, Finalist, Difference] | None:
    """The search's best and random search's best, each as its search saw it, on fresh seeds; and their difference.

    None where one of them was not trained again. The same network twice where both have found the same one.
    """
    again = {finalist.key: finalist for finalist in finalists_of(final)}
    first = [best_first(arm)[:1] for arm in (trials, baseline)]
    found = [again.get(best[0].candidate.key[:2]) if best else None for best in first]
    if found[0] is None or found[1] is None:
        return None
    return found[0], found[1], difference(found[0].values, found[1].values)
