"""A Gaussian process over the choices of candidates (Rasmussen & Williams 2006, chapters 2 and 5).

Two candidates are alike as far as they answer the same forks alike: k(x, y) = exp(-sum_f w_f d_f(x, y)), a weight for
each fork by marginal likelihood. Of categories d is 0 or 1; of numbers it grows with the options between them, for
whoever wrote the options down knew the scale; a fork that one of the two was not asked is like another category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy  # its parts when they are first used: a search begins without them

from nas.candidate import Candidate
from nas.narrow import is_number, nearest_to
from nas.ops import Scalar

Floats = npt.NDArray[np.float64]
STEPS = 8  # columns that hold the place of a number among the options of its fork
ITERATIONS = 25  # of L-BFGS: later ones were not seen to change what is asked
JITTER = 1e-6
LOWEST = -1e30  # the place of what could not be measured
NOISE = (1e-4, 1.0)  # variance of the noise, as a share of that of the function


class Encoding:
    """Rows of numbers for the values of candidates; squared distances between rows are the d_f, fork by fork.

    `measured`: numbers that rows hold beside their choices, each with what it was of other candidates. A number's place
    among those is what counts, for only the order of such figures means anything.
    """

    def __init__(self, candidates: Sequence[Candidate], measured: Mapping[str, Sequence[float]] | None = None) -> None:
        options: dict[str, dict[Scalar, None]] = {}
        for choice in (choice for candidate in candidates for choice in candidate.choices):
            options.setdefault(choice.name, {}).update(dict.fromkeys(choice.options))
        open_ = {name: list(found) for name, found in options.items() if len(found) > 1}
        self.forks = [(name, *_table(found)) for name, found in open_.items()]
        self.measured = [(name, np.sort(_finite(known))) for name, known in (measured or {}).items()]
        widths = [table.shape[1] for _, _, table in self.forks] + [1] * len(self.measured)
        self.groups = np.repeat(np.arange(len(widths)), widths)  # (columns,): the fork of each

    def unmeasured(self) -> Encoding:
        """The same without what is measured, whose columns are the last."""
        alone = copy(self)
        alone.measured, alone.groups = [], self.groups[self.groups < len(self.forks)]
        return alone

    def __call__(self, rows: Sequence[dict[str, Scalar]]) -> Floats:
        """(rows, columns)"""
        columns = [table[[codes[row.get(name)] for row in rows]] for name, codes, table in self.forks]
        for name, known in self.measured:
            places = np.interp(_finite([float(row[name]) for row in rows]), known, np.linspace(0, 1, len(known)))
            columns.append(places[:, np.newaxis])
        return np.hstack(columns)


class _Codes(dict[Any, int]):
    """Of each option the row of its fork's table; of what no told candidate was offered that of the nearest number."""

    def __missing__(self, value: Any) -> int:
        numbers = value is not None and is_number(value) and all(map(is_number, self))
        return nearest_to(value, list(self)) if numbers else -1


def _table(options: list[Scalar]) -> tuple[_Codes, Floats]:
    """Of each option its row of the table, (options + 1, columns), whose last row is that of a fork not asked."""
    n = len(options)
    if n == 2 or not all(map(is_number, options)):
        return _Codes(zip(options, range(n), strict=True)), np.sqrt(0.5) * np.eye(n + 1)
    options = sorted(options)
    steps = min(n - 1, STEPS)
    place = np.append(np.arange(n) / (n - 1), 0.5)[:, None] * steps
    ladder = np.clip(place - np.arange(steps), 0, 1) / np.sqrt(steps)  # squared distance: about |rank - rank'| / n
    return _Codes(zip(options, range(n), strict=True)), np.hstack([ladder, np.eye(n + 1)[:, -1:]])


def _finite(values: Sequence[float]) -> Floats:
    found: Floats = np.nan_to_num(np.asarray(values, dtype=float), neginf=LOWEST)
    return found


@dataclass(frozen=True)
class Kernel:
    """`log_weights` (forks,) of the columns' `groups`, and the logarithm of the noise."""

    groups: npt.NDArray[np.intp]
    log_weights: Floats
    log_noise: float

    def __call__(self, a: Floats, b: Floats) -> Floats:
        """(n, columns), (m, columns) -> (n, m)"""
        scale = np.exp(0.5 * self.log_weights)[self.groups]
        a, b = a * scale, b * scale
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
        found: Floats = np.exp(-np.maximum(squared, 0))
        return found

    def among(self, groups: npt.NDArray[np.intp]) -> Kernel:
        """Of the first columns alone."""
        return Kernel(groups, self.log_weights[: groups.max() + 1], self.log_noise)

    def of(self, x: Floats) -> Floats:
        """The covariance of noisy observations at `x`, (n, n)."""
        covariance = self(x, x)
        covariance.flat[:: len(x) + 1] += np.exp(self.log_noise) + JITTER
        return covariance


def fit(groups: npt.NDArray[np.intp], x: Floats, y: Floats) -> Kernel:
    """The kernel of most posterior density: log-normal priors keep weights sensible where the data say little."""
    forks = int(groups.max()) + 1
    middle = np.append(np.full(forks, np.log(2 / forks)), np.log(1e-2))
    spread = np.append(np.ones(forks), 2.0)

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, slope = _likelihood(Kernel(groups, theta[:-1], float(theta[-1])), x, y)
        z = (theta - middle) / spread
        return value + 0.5 * float(z @ z), slope + z / spread

    bounds = [(-7.0, 4.0)] * forks + [(float(np.log(NOISE[0])), float(np.log(NOISE[1])))]
    method: dict[str, Any] = {"method": "L-BFGS-B", "options": {"maxiter": ITERATIONS}}
    found = scipy.optimize.minimize(loss, middle, jac=True, bounds=bounds, **method).x
    return Kernel(groups, found[:-1], float(found[-1]))


def _likelihood(kernel: Kernel, x: Floats, y: Floats) -> tuple[float, Floats]:
    """-log p(y), its amplitude the most likely one, and the gradient (forks + 1,) (R & W eq. 5.8 and 5.9)."""
    n = len(y)
    covariance = kernel.of(x)
    lower = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
    inverse = scipy.linalg.lapack.dpotri(lower, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ y
    amplitude = y @ alpha / n
    inner = np.outer(alpha, alpha) / amplitude - inverse
    weighted = inner * covariance
    np.fill_diagonal(weighted, 0.0)  # a point has no distance to itself
    # sum_ij M_ij (x_i - x_j)^2 = 2 sum_i x_i^2 sum_j M_ij - 2 x' M x, of all columns at once
    columns = 2 * ((x * x) * weighted.sum(1)[:, None] - x * (weighted @ x)).sum(0)
    weights = np.exp(kernel.log_weights)
    slope = 0.5 * np.bincount(kernel.groups, columns, len(weights)) * weights
    noise = -0.5 * float(np.trace(inner)) * np.exp(kernel.log_noise)
    return 0.5 * n * float(np.log(amplitude)) + float(np.log(np.diag(lower)).sum()), np.append(slope, noise)


class Posterior:
    """What the process knows after observing `y` at `x`."""

    def __init__(self, kernel: Kernel, x: Floats, y: Floats) -> None:
        self.kernel, self.x = kernel, x
        self.lower = scipy.linalg.cholesky(kernel.of(x), lower=True, check_finite=False)
        half = scipy.linalg.solve_triangular(self.lower, y, lower=True)
        self.alpha = scipy.linalg.solve_triangular(self.lower, half, lower=True, trans=1)
        self.amplitude = max(float(half @ half) / len(y), JITTER)

    def __call__(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and deviation of the function at `x`, (m,) each (R & W eq. 2.25 and 2.26)."""
        across = self.kernel(x, self.x)
        explained = scipy.linalg.solve_triangular(self.lower, across.T, lower=True, check_finite=False)
        variance = np.maximum(1 - (explained**2).sum(0), 1e-9)
        return across @ self.alpha, np.sqrt(self.amplitude * variance)


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    z = (mean - best) / deviation
    found: Floats = deviation * (z * scipy.special.ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))
    return found


def warped(values: Floats) -> Floats:
    """Values of mean 0 and deviation 1: the better half as it is, the worse half by rank (arXiv 2408.11527, 3.2).

    How bad a bad network is says nothing about the best ones, and may be anything. All zeros where all are equal.
    """
    middle = float(np.median(values))
    better = values[values >= middle] - middle
    spread = float(np.sqrt(np.mean(better**2)))
    places, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - 0.5 * counts  # of equals the mean
    worse = scipy.special.ndtri(ranks / len(values))[inverse]
    found = np.where(values < middle, worse, (values - middle) / (spread or 1.0))
    deviation = float(found.std()) if len(places) > 1 else 0.0
    return (found - found.mean()) / deviation if deviation > 0 else np.zeros(len(values))
