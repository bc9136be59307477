"""What a search is for: accuracy first, and beside it what a network costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from nas.architecture import Architecture

ACCURACY = "accuracy"
PARAMS, LATENCY = "-params", "-latency"
Cost = Callable[[Architecture], float]
COUNTED: dict[str, Cost] = {  # to be minimised, and so written with a minus
    PARAMS: lambda architecture: architecture.num_params,
    "-flops": lambda architecture: architecture.flops,
}
COSTS = (*COUNTED, LATENCY)  # the last by a model of the workers' device


class Valued(Protocol):
    """A trial, or its line in a log: the values are to be maximised, and there are none where it has failed."""

    @property
    def values(self) -> tuple[float, ...]: ...
    @property
    def copy_of(self) -> int | None: ...


T = TypeVar("T", bound=Valued)


def read_objectives(key: str, value: Any) -> tuple[str, ...]:
    """`'accuracy,-params' -> ('accuracy', '-params')`. Raises `ValueError`."""
    given = value.split(",") if isinstance(value, str) else value
    names = tuple(str(name).strip() for name in given) if isinstance(given, list | tuple) else ()
    if names[:1] != (ACCURACY,) or not set(COSTS) >= set(names[1:]) or len(set(names)) < len(names):
        known = " or ".join(COSTS)
        raise ValueError(f"{key} must be {ACCURACY}, alone or followed by {known}, each once; got {value!r}")
    return names


def costs(architecture: Architecture, objectives: Sequence[str], latency: Cost | None) -> dict[str, float]:
    """What a network costs by each of the objectives after the first, under their names without the minus."""
    known = COUNTED if latency is None else {**COUNTED, LATENCY: latency}
    return {name.removeprefix("-"): known[name](architecture) for name in objectives[1:]}


def of_copy(values: Sequence[float], architecture: Architecture, objectives: Sequence[str]) -> tuple[float, ...]:
    """The values of a network that computes the same as one with `values`, and may hold more or fewer parameters."""
    if PARAMS not in objectives:
        return tuple(values)
    place = objectives.index(PARAMS)
    return (*values[:place], -float(architecture.num_params), *values[place + 1 :])


def in_words(objective: str) -> str:
    """The head of a column of costs."""
    return {"-flops": "FLOPs", LATENCY: "latency, ms"}.get(objective, objective.removeprefix("-"))


def cost_in_words(cost: float) -> str:
    return f"{cost:,.0f}" if cost == round(cost) else f"{cost:.3g}"


def spent(metrics: Mapping[str, float]) -> dict[str, float]:
    """What the network of a trial costs by the objectives beside its parameters, from the trial's metrics."""
    names = [cost.removeprefix("-") for cost in COSTS if cost != PARAMS]
    return {name: metrics[name] for name in names if name in metrics}


def spent_in_words(metrics: Mapping[str, float]) -> list[str]:
    """The same, in a sentence."""
    forms = {"flops": "{} FLOPs", "latency": "latency {} ms"}
    return [forms[name].format(cost_in_words(cost)) for name, cost in spent(metrics).items()]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is as good as `b` in everything, and better in something."""
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def front(trials: Iterable[T]) -> list[T]:
    """The trials that no other dominates, best by the first objective first, without copies that cost the same."""
    found: list[T] = []
    valued = [trial for trial in trials if trial.values]
    for trial in sorted(valued, key=lambda trial: (trial.values, trial.copy_of is None), reverse=True):
        others = [other.values for other in found]  # whoever dominates comes before
        if not any(
            dominates(values, trial.values) or (values == trial.values and trial.copy_of is not None)
            for values in others
        ):
            found.append(trial)
    return found
