"""`--ensemble`: trained networks joined inside the parameter budget, which is that of all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.caruana import crossed, select
from nas.dataset import Array, Part
from nas.evaluate import Training
from nas.executor import Workers
from nas.finalists import Again, finalists
from nas.job import Member
from nas.trial import Trial, best_first
from nas.weights import snapshot_file

KEPT = 12  # networks of a search whose weights are kept as members, where no final training follows; more by size
SAMPLES = 20_000  # of the validation part, by which members are selected
PARTS = (
    2,
    3,
)  # networks of at most such a part of the budget are trained again too, for there must be room for several


@dataclass(frozen=True)
class Joint:
    """An ensemble. `accuracy` on the validation part, on which it was selected; `crossed` is what to expect."""

    members: tuple[Member, ...]
    accuracy: float
    crossed: float  # selected on one half of the validation part and measured on the other

    @property
    def params(self) -> int:
        """Of all members together."""
        return sum(member.candidate.architecture.num_params for member in self.members)


def worth_keeping(trials: Sequence[Trial]) -> list[Trial]:
    """The most accurate trials, and those that no smaller network beats: ensembles need room."""
    ranked = [trial for trial in best_first(trials) if trial.copy_of is None]
    front: list[Trial] = []
    for trial in sorted(ranked, key=lambda t: (t.params, -t.value)):
        if not front or trial.value > front[-1].value:
            front.append(trial)
    return list({trial.number: trial for trial in (*ranked[:KEPT], *front[-KEPT:])}.values())


def roommates(trials: Sequence[Trial], budget: int, epochs: int, seeds: int) -> list[Again]:
    """Networks to be trained again because several of them fit the budget."""
    small = [finalists([t for t in trials if t.params <= budget // part], 1) for part in PARTS]
    distinct = {trial.candidate.key[:2]: trial for best in small for trial in best}
    return [Again(trial, epochs, seeds, joining=True) for trial in distinct.values()]


def candidates(arms: Mapping[Path, Sequence[Trial]]) -> list[Member]:
    """Every network whose weights lie in the folder of its arm, its snapshots among them."""
    found = []
    for folder, trials in arms.items():
        for trial in trials:
            weights = folder / f"trial-{trial.number:05d}.safetensors"
            if trial.values and trial.copy_of is None and weights.exists():
                more = sorted(folder.glob(snapshot_file(weights, "*").name))
                found += [Member(trial.candidate, file) for file in (weights, *more)]
    return found


def join(executor: Workers, pool: Sequence[Member], validation: Part, budget: int, seed: int) -> Joint:
    """The ensemble of members of `pool` that is best on the validation part, or on `SAMPLES` of a larger one.

    Raises `ValueError` where no member of the pool can be read, or none fits the budget.
    """
    rows = some(validation, seed)
    labels, groups = validation.y[rows], None if validation.groups is None else validation.groups[rows]
    futures = [executor.submit(Training.probabilities, member, rows) for member in pool]
    pairs = [(member, future.result()) for member, future in zip(pool, futures, strict=True)]
    read = [(member, found) for member, found in pairs if found is not None]
    if not read:
        raise ValueError("no network of this run has left its weights, so there is nothing to join")
    probabilities = np.stack([found for _, found in read])
    params = [member.candidate.architecture.num_params for member, _ in read]
    chosen = select(probabilities, labels, params, budget)
    members = tuple(replace(read[i][0], share=share) for i, share in chosen.shares.items())
    return Joint(members, chosen.accuracy, crossed(probabilities, labels, params, budget, seed, groups))


def some(part: Part, seed: int) -> Array:
    """Positions of about `SAMPLES` samples, whole groups of them; of all where there are no more."""
    groups = np.arange(len(part)) if part.groups is None else part.groups
    order = np.random.default_rng((seed, 4)).permutation(np.unique(groups))
    kept = max(1, round(len(order) * min(1.0, SAMPLES / len(part))))
    return np.flatnonzero(np.isin(groups, order[:kept]))


def by_share(members: Iterable[Member]) -> list[Member]:
    """The members, those that weigh most first."""
    return sorted(members, key=lambda member: -member.share)
