"""Which of many trained networks to join: greedy selection with replacement, inside the parameter budget.

Caruana et al., Ensemble selection from libraries of models (ICML 2004), sections 2 and 2.1. A network that is taken
again weighs more and costs nothing: the budget is that of the different members together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]  # (networks, samples, classes)
Labels = npt.NDArray[np.int64]
ROUNDS = 30  # networks taken, those taken again among them
ROOMS = (1, 2, 3, 4, 6)  # the greedy way is tried with networks of up to one such part of the budget


@dataclass(frozen=True)
class Ensemble:
    """Positions of the members, how often each was taken, and the accuracy of their mean."""

    counts: tuple[tuple[int, int], ...]
    accuracy: float

    @property
    def shares(self) -> dict[int, float]:
        """Of each member, its weight in the mean."""
        taken = sum(count for _, count in self.counts)
        return {member: count / taken for member, count in self.counts}


def select(probabilities: Probabilities, labels: Labels, params: Sequence[int], budget: int) -> Ensemble:
    """The ensemble of most accuracy on these samples, whose different members have `budget` parameters at most.

    Raises `ValueError` where no network fits.
    """
    found: list[Ensemble] = []
    for room in ROOMS:
        small = [i for i, size in enumerate(params) if size <= budget // room]
        if small and (not found or len(small) < len(params)):
            found.append(_greedy(probabilities, labels, params, budget, small))
    if not found:
        raise ValueError(f"no network has at most {budget:,} parameters; the smallest has {min(params):,}")
    return max(found, key=lambda ensemble: (ensemble.accuracy, -len(ensemble.counts)))


def crossed(
    probabilities: Probabilities,
    labels: Labels,
    params: Sequence[int],
    budget: int,
    seed: int,
    groups: Labels | None = None,
) -> float:
    """The accuracy of ensembles selected on one half of the samples and measured on the other, both ways.

    Samples of one of the `groups` (n,), such as the frames of an utterance, are in one half.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    first = np.isin(groups, order[: len(order) // 2])
    halves = [np.flatnonzero(first), np.flatnonzero(~first)]
    if not all(map(len, halves)):  # a single group
        return select(probabilities, labels, params, budget).accuracy
    hits = 0.0
    for chosen, held in (halves, halves[::-1]):
        ensemble = select(probabilities[:, chosen], labels[chosen], params, budget)
        mean = sum(share * probabilities[member][held] for member, share in ensemble.shares.items())
        hits += float((np.argmax(mean, 1) == labels[held]).sum())
    return hits / len(labels)


def _greedy(
    probabilities: Probabilities, labels: Labels, params: Sequence[int], budget: int, allowed: Sequence[int]
) -> Ensemble:
    total = np.zeros(probabilities.shape[1:], np.float64)
    taken: Counter[int] = Counter()
    best = Ensemble((), -1.0)
    for number in range(1, ROUNDS + 1):
        left = budget - sum(params[i] for i in taken)
        able = [i for i in allowed if i in taken or params[i] <= left]
        scored = [(_score((total + probabilities[i]) / number, labels), i) for i in able]
        (accuracy, _), member = max(scored, key=lambda pair: (pair[0], -params[pair[1]], -pair[1]))
        total += probabilities[member]
        taken[member] += 1
        if accuracy > best.accuracy:  # the best of all rounds, which is not always the last
            best = Ensemble(tuple(sorted(taken.items())), accuracy)
    return best


def _score(mean: npt.NDArray[np.float64], labels: Labels) -> tuple[float, float]:
    """Accuracy, and of equal accuracies the better log-likelihood."""
    right = mean[np.arange(len(labels)), labels]
    return float((mean.argmax(1) == labels).mean()), float(np.log(np.maximum(right, 1e-12)).mean())
