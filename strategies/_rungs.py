"""The rungs of asynchronous successive halving: who was trained how far, and who is to be promoted."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace

from nas.recipe import Recipe
from nas.space import Candidate
from nas.trial import Trial

EPOCHS = 9  # of a full training, until a strategy is told
FAILED = float("inf")  # the loss of a training that did not come to its end

Lineage = tuple[str, Recipe, float]
Place = tuple[float, int]  # the loss, and a number in order: of equal losses the first to be told is better


def levels(epochs: int, eta: int, least: int) -> list[int]:
    """The epochs of the rungs, lowest first: those of a full training, and over each power of `eta` down to `least`."""
    if eta < 2:
        raise ValueError(f"eta must be at least 2, got {eta}")
    if least < 1:
        raise ValueError(f"least must be at least 1, got {least}")
    if least > epochs:
        raise ValueError(f"least must be in 1..epochs of a full training ({epochs}), got {least}")
    found = [epochs]
    while least <= (fewer := round(epochs / eta ** len(found))) < found[0]:
        found.insert(0, fewer)
    return found


@dataclass
class Rung:
    """The candidates trained to one fidelity."""

    told: dict[Lineage, Place] = field(default_factory=dict)
    number: int = 0  # of the next place
    ranked: list[Place] = field(default_factory=list)  # best first; failures are at the end
    waiting: list[tuple[float, int, Candidate]] = field(default_factory=list)  # those that may be promoted, best first

    def tell(self, trial: Trial) -> None:
        """The first result of each candidate counts; a failure, which may have been the worker's, does not stand."""
        candidate, loss = trial.candidate, -trial.value if trial.values else FAILED
        before = self.told.get(candidate.lineage)
        if before is not None and before[0] != FAILED:
            return
        if before is not None:
            self.ranked.remove(before)
        place = (loss, self.number)
        self.number += 1
        self.told[candidate.lineage] = place
        insort(self.ranked, place)
        if trial.values:
            insort(self.waiting, (*place, candidate))

    def promoted(self, lineage: Lineage) -> None:
        """It waits no longer."""
        at = bisect_left(self.waiting, self.told[lineage])  # a place sorts just before the place and its candidate
        if at < len(self.waiting) and self.waiting[at][2].lineage == lineage:
            del self.waiting[at]

    def best(self, eta: int, but: Container[Lineage]) -> Candidate | None:
        """The best that waits, `but` for some, where it is in the best 1/eta of the rung."""
        for loss, number, candidate in self.waiting:
            if candidate.lineage not in but:
                return candidate if self._rank((loss, number)) < len(self.ranked) // eta else None
        return None

    def among_best(self, lineage: Lineage, eta: int) -> bool:
        return lineage in self.told and self._rank(self.told[lineage]) < len(self.ranked) // eta

    def _rank(self, place: Place) -> int:
        return bisect_left(self.ranked, place)


class Rungs:
    """The bookkeeping of ASHA (arXiv 1810.05934, algorithm 2), on rungs of so many `epochs` each, lowest first."""

    def __init__(self, epochs: Sequence[int], eta: int) -> None:
        self.eta, self.fidelities = eta, [e / epochs[-1] for e in epochs]
        self.rungs = [Rung() for _ in epochs]

    def lowest(self, candidate: Candidate) -> Candidate:
        """The candidate as it is to be trained first: at the beginning of a full training."""
        return replace(candidate, fidelity=self.fidelities[0], horizon=1.0)

    def promotion(self, pending: Sequence[Candidate]) -> Candidate | None:
        """Algorithm 2, get_job: the candidate to be trained on, and how far; None where no one is to be promoted."""
        for k in reversed(range(len(self.rungs) - 1)):  # for k = floor(log_eta(R / r)) - s - 1, ..., 1, 0
            promoted = {c.lineage for c in pending if c.fidelity == self.fidelities[k + 1]}
            best = self.rungs[k].best(self.eta, promoted)  # top_k(rung k, |rung k| / eta), not already promoted
            if best is not None:
                return replace(best, fidelity=self.fidelities[k + 1])  # return promotable[0], k + 1
        return None

    def tell(self, trial: Trial) -> None:
        """Algorithm 2: update the candidate's rung with its loss."""
        k = self.fidelities.index(trial.candidate.fidelity)
        self.rungs[k].tell(trial)
        if k and trial.candidate.lineage in self.rungs[k - 1].told:
            self.rungs[k - 1].promoted(trial.candidate.lineage)

    def expects(self, candidate: Candidate) -> bool:
        """Whether it is one that is to be promoted to its fidelity, as far as is known."""
        k, lineage = self.fidelities.index(candidate.fidelity), candidate.lineage
        return k > 0 and lineage not in self.rungs[k].told and self.rungs[k - 1].among_best(lineage, self.eta)
