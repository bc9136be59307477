"""Which networks are trained again at the end of a search: as the options say, or as the time left allows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.ensemble import roommates
from nas.executor import JobFailed, Workers
from nas.finalists import (
    FINALISTS,
    GROWING,
    LONGER,
    SCALING,
    SEEDS,
    WORTH,
    Again,
    Slower,
    affordable,
    distinct,
    epoch_of,
    finalists,
    gain_of,
    threads,
    with_baseline,
)
from nas.options import Options
from nas.record import read_json
from nas.selection import finalists_of
from nas.train.fused.plan import likeness, share
from nas.trial import Trial

ROOMS = ((1, 2), (1, 3), (2, 3))  # networks and seeds of each, of those that share the budget with others


@dataclass(frozen=True)
class Ended:
    """What a search has found, and what is left of its time; `final` are trainings of an earlier session."""

    trials: Sequence[Trial]
    baseline: Sequence[Trial]
    final: Sequence[Trial]
    spent: float  # seconds
    adds: float = SCALING  # each thread after the first, to the speed of a training

    @property
    def best(self) -> list[Trial]:
        """The best trial of both searches; empty where there is none."""
        return finalists([*self.trials, *self.baseline], 1)


def probed(ended: Ended, options: Options, devices: Sequence[str], executor: Workers) -> Ended:
    """With what more threads add to the best network's training, by a worker, while the others have nothing to do."""
    best = ended.best
    if options.time is None or options.workers == 0 or not best or (most := threads(devices, 1)) == 1:
        return ended
    if (adds := gain_of(best[0])) >= WORTH:
        from nas.train.threads import gain

        try:
            adds = executor.submit(gain, best[0].candidate, most).result()
        except JobFailed:  # the final training will say why
            adds = 0.0
    return replace(ended, adds=adds)


def chosen_again(
    options: Options, ended: Ended, devices: Sequence[str], searched: int, whole: int, plan: Path | None = None
) -> list[Again]:
    """For as many epochs and seeds as the options, or the time not yet spent, allow.

    `searched` and `whole`: the samples that a training of the search and a final one passes in an epoch. `plan`: where
    what the time allows is written down, for a session that goes on: speeds that are measured again are others.
    """
    epochs = LONGER * options.epochs if options.final_epochs is None else options.final_epochs
    if epochs and options.time is not None and options.final_epochs is None:
        before = _planned(options, ended, plan)
        return before or _noted(options, ended, plan, _in_time(options, ended, devices, searched, whole))
    both, number, seeds = [*ended.trials, *ended.baseline], options.finalists or FINALISTS, options.final_seeds or SEEDS
    if not epochs:
        return []
    more = roommates(both, options.budget, epochs, seeds) if options.joins else []
    return distinct([*with_baseline(ended.trials, ended.baseline, number, seeds, epochs), *more])


def _arms(ended: Ended) -> dict[str, Sequence[Trial]]:
    return {"search": ended.trials, "random": ended.baseline, "final": ended.final}


def _question(options: Options, ended: Ended) -> list[Any]:
    """What a plan is an answer to."""
    asked = [options.time, options.finalists, options.final_seeds, options.joins, options.distill]
    return [*asked, len(ended.trials), len(ended.baseline)]


def _planned(options: Options, ended: Ended, plan: Path | None) -> list[Again]:
    """What an earlier session has chosen, where it has begun with it and the question is the same; else nothing."""
    before = {} if plan is None or not ended.final else read_json(plan)
    if before.get("of") != _question(options, ended):
        return []
    held = {(arm, trial.number): trial for arm, trials in _arms(ended).items() for trial in trials}
    try:
        return [
            Again(held[arm, number], int(epochs), int(seeds), bool(joining))
            for arm, number, epochs, seeds, joining in before["again"]
        ]
    except (KeyError, TypeError, ValueError):  # damaged
        return []


def _noted(options: Options, ended: Ended, plan: Path | None, chosen: list[Again]) -> list[Again]:
    """The choice, written down."""
    places = {id(trial): (arm, trial.number) for arm, trials in _arms(ended).items() for trial in trials}
    if plan is not None and all(id(again.trial) in places for again in chosen):
        rows = [[*places[id(again.trial)], again.epochs, again.seeds, again.joining] for again in chosen]
        plan.write_text(json.dumps({"of": _question(options, ended), "again": rows}) + "\n", encoding="utf-8")
    return chosen


def _in_time(options: Options, ended: Ended, devices: Sequence[str], searched: int, whole: int) -> list[Again]:
    assert options.time is not None
    left = max(options.time * (1 - options.search_share) / 2, options.time - ended.spent)
    if _too_late(options, ended, left, searched / whole):
        return []
    left /= (1 + options.joins) * (1 + (options.distill is not None))  # for small networks, and for a last training
    slower = _slower(options, devices[0].partition(":")[0])
    growing = [(options.finalists or k, options.final_seeds or n) for k, n in GROWING]
    both, facts = [*ended.trials, *ended.baseline], (devices, options.epochs, whole, searched / whole)
    small = [trial for trial in both if options.joins and trial.params <= options.budget // 2]
    more = [replace(again, joining=True) for again in affordable(small, left, *facts, ROOMS, slower, ended.adds)]
    found = distinct([*affordable(both, left, *facts, growing, slower, ended.adds), *more])
    firsts = [finalist.trials[0] for finalist in finalists_of(ended.final)]
    done = [Again(trial, round(trial.candidate.fidelity * options.epochs), 1) for trial in firsts]
    known = {again.trial.candidate.key[:2]: again.epochs for again in done}
    found = [replace(again, epochs=known.get(again.trial.candidate.key[:2], again.epochs)) for again in found]
    return distinct([*found, *done])  # what an earlier session has trained is in the choice, whatever it takes now


def _too_late(options: Options, ended: Ended, left: float, share: float) -> bool:
    """Whether the time was over before the search was, and not even an epoch of its best network fits into `left`."""
    assert options.time is not None
    if ended.spent < options.time or ended.final or options.joins:
        return False
    return any(epoch_of(trial, share) > left for trial in ended.best)


def _slower(options: Options, device: str) -> Slower:
    """What was trained with others in the search has others, or none, in the final training."""

    def times(trial: Trial, company: int) -> float:
        if not options.fused or likeness(trial.candidate, device) is None:
            return 1.0
        before, now = int(trial.metrics.get("together", 1)), 0 if options.joins else company if options.groups else 1
        return share(trial.candidate, now, device) / share(trial.candidate, before, device)

    return times
