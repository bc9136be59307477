"""Which networks of a search are worth training again, for how many epochs, with how many seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from nas.devices import cores
from nas.recipe import Recipe
from nas.trial import Trial, best_first

FINALISTS, SEEDS = 3, 3  # networks that are trained again, and how often each, where no time limit says otherwise
GROWING = ((1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (4, 4), (5, 5))  # finalists and seeds of each, as there is time
LONGER = 4  # times the epochs of the search
LONGEST = 8  # times, under a time limit, for a network that has not learned its training data by heart ...
ENOUGH = 2_000_000  # ... but no more than `LONGER` where it has then seen so many samples
THREADS = 4  # at most, of one network on a CPU, where there is no time for as many networks as workers
TIGHT = 2 / 3  # of the epochs they should have, with which one more finalist or seed is worth having, up to `SEEDS`
WORTH = 0.1  # of the speed of a thread, what a second one is to add at least
SCALING = 0.85  # of a second thread and each one more: what it adds at most to the speed of one, and ...
HALF = 3e8  # ... the operations of a step, forward, at which it adds half of that; the calls of small ones are most
BY_HEART = 0.5  # of the mistakes on validation data, the share that is no mistake on training data


Slower = Callable[[Trial, int], float]  # than in the search an epoch, where so many are trained as one: times as long


@dataclass(frozen=True)
class Again:
    """A network to be trained from scratch, once for each of so many fresh seeds."""

    trial: Trial
    epochs: int
    seeds: int
    joining: bool = False  # for the sake of an ensemble, not as one of the best


def finalists(trials: Sequence[Trial], number: int = FINALISTS) -> list[Trial]:
    """The best trials, best first, of different networks or differently trained ones."""
    distinct: dict[tuple[str, Recipe], Trial] = {}
    for trial in best_first(trials):
        distinct.setdefault(trial.candidate.key[:2], trial)
    return list(distinct.values())[:number]


def contenders(trials: Sequence[Trial], number: int) -> list[Trial]:
    """Finalists of a search that gave cheap networks more epochs: first those that nothing with as few epochs beats."""
    best = finalists(trials, len(trials))
    ended = [trial for trial in best if trial.candidate.progress == 1]
    front = [t for n, t in enumerate(ended) if all(t.candidate.fidelity < b.candidate.fidelity for b in ended[:n])]
    return [*front, *(trial for trial in best if trial not in front)][:number]


def with_baseline(
    trials: Sequence[Trial], baseline: Sequence[Trial], number: int, seeds: int, epochs: int
) -> list[Again]:
    """The best of both searches, and of each its own best, so that the two can be compared."""
    best = finalists([*trials, *baseline], number)
    chosen = {t.candidate.key[:2]: t for t in [*best, *finalists(trials, 1), *finalists(baseline, 1)]}
    return [Again(trial, epochs, seeds) for trial in chosen.values()]


def distinct(chosen: Sequence[Again]) -> list[Again]:
    """Each network once, as it comes first."""
    first: dict[tuple[str, Recipe], Again] = {}
    for again in chosen:
        first.setdefault(again.trial.candidate.key[:2], again)
    return list(first.values())


def again_in_words(chosen: Sequence[Again], joins: bool) -> str:
    """A line before they are trained."""
    count = f"{len(chosen)} networks" if joins else f"the best {len(chosen)}"
    count = "the best network" if len(chosen) == 1 else count
    seeds = f"{chosen[0].seeds} fresh seeds" if chosen[0].seeds > 1 else "a fresh seed"
    return f"final training: {count}, {seeds}, up to {max(again.epochs for again in chosen)} epochs"


def joining(trained: Sequence[Trial], chosen: Sequence[Again]) -> frozenset[int]:
    """The numbers of the trainings that were for the sake of an ensemble."""
    keys = {again.trial.candidate.key[:2] for again in chosen if again.joining}
    return frozenset(trial.number for trial in trained if trial.candidate.key[:2] in keys)


def affordable(
    trials: Sequence[Trial],
    seconds: float,
    devices: Sequence[str],
    epochs: int,
    samples: int,
    share: float = 1.0,
    growing: Sequence[tuple[int, int]] = GROWING,
    slower: Slower = lambda trial, company: 1.0,
    adds: float = SCALING,
) -> list[Again]:
    """Which of the best trials to train again, for how many epochs and seeds, in `seconds` on these devices.

    `adds`: what each thread after the first adds to the speed of a training at most.
    A network that has learned its training data by heart gains little from more epochs, so more networks and seeds are
    tried instead; so does one that has seen its `samples` often. `epochs`: those of the search at most; `share`: of the
    samples, those that were searched on.
    """
    chosen: list[Again] = []
    if not finalists(trials):
        return []
    gain = min(adds, gain_of(finalists(trials)[0]))
    fewest = -(-len(devices) // threads(devices, 1, adds)) if gain > SCALING / 2 else len(devices)
    for number, seeds in growing:
        if number * seeds < fewest and (number, seeds) != growing[-1]:
            continue
        best = contenders(trials, number)
        each = [_wanted(trial, epochs, samples) for trial in best]
        trainings = len(best) * seeds
        company = min(seeds, -(-trainings // len(devices)))  # seeds of a network go together, if nobody else
        longest = max(e * epoch_of(t, share) * slower(t, company) for e, t in zip(each, best, strict=True))
        faster = 1 + gain * (threads(devices, trainings, adds) - 1)
        fit = seconds * faster / (longest * -(-trainings // len(devices)))  # one after another on each worker
        if chosen and fit < (TIGHT if seeds <= SEEDS else 1):
            break
        least = [max(1, round(epochs * min(1.0, t.candidate.fidelity))) for t in best]  # what the search gave them
        rounds = [max(low, int(e * min(1.0, fit))) for low, e in zip(least, each, strict=True)]
        chosen = [Again(trial, epochs, seeds) for trial, epochs in zip(best, rounds, strict=True)]
    return chosen


def threads(devices: Sequence[str], networks: int, adds: float = SCALING) -> int:
    """Of each of so many networks that are trained at once: more than one where the devices are idle cores."""
    if adds < WORTH:
        return 1
    return max(1, min(THREADS, len(devices) // networks, cores() // networks)) if devices[0] == "cpu" else 1


def gain_of(trial: Trial) -> float:
    """What a second thread adds to the speed of one."""
    operations = trial.candidate.architecture.flops * trial.candidate.recipe.batch_size
    return SCALING * operations / (operations + HALF)


def _wanted(trial: Trial, epochs: int, samples: int) -> int:
    longest = max(LONGER, min(LONGEST, ENOUGH // (epochs * samples)))
    last = trial.curve[-1] if trial.curve else {}
    train, validation = last.get("train_accuracy", 0.0), last.get("val_accuracy", 0.0)
    return epochs * (LONGER if train - validation > BY_HEART * (1 - validation) else longest)


def epoch_of(trial: Trial, share: float) -> float:
    """Seconds of an epoch on all of the training part."""
    if not trial.metrics["epochs"] and trial.curve:  # it took over what another has trained
        return max(1e-9, mean(row.get("seconds", 0.0) for row in trial.curve) / share)
    return max(1e-9, trial.metrics["seconds"] / max(1.0, trial.metrics["epochs"]) / share)
