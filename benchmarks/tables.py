"""What the measurements share: Markdown tables and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table: the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean, and the half width of its 95 % t-interval (0 where the values are all the same)."""
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two values, got {len(values)}")
    return float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Median, and the ends of its 95 % interval: order statistics, by the binomial distribution."""
    ordered = np.sort(values)
    below = int(stats.binom.ppf(0.025, len(ordered), 0.5))
    return (
        float(np.median(ordered)),
        float(ordered[max(0, below - 1)]),
        float(ordered[min(len(ordered) - below, len(ordered) - 1)]),
    )
