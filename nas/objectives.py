"""What a search is for: accuracy first, and beside it what a network costs, which is counted and not measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from nas.architecture import Architecture

ACCURACY = "accuracy"
COSTS: dict[str, Callable[[Architecture], int]] = {  # to be minimised, and so written with a minus
    "-params": lambda architecture: architecture.num_params,
    "-flops": lambda architecture: architecture.flops,
}


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
    if names[:1] != (ACCURACY,) or not COSTS.keys() >= set(names[1:]) or len(set(names)) < len(names):
        costs = " or ".join(COSTS)
        raise ValueError(f"{key} must be {ACCURACY}, alone or followed by {costs}, each once; got {value!r}")
    return names


def with_costs(accuracy: float, architecture: Architecture, objectives: Sequence[str]) -> tuple[float, ...]:
    """The values of a trained network, one for each of the objectives."""
    return (accuracy, *(-float(COSTS[name](architecture)) for name in objectives[1:]))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is as good as `b` in everything, and better in something."""
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def front(trials: Iterable[T]) -> list[T]:
    """The trials that no other dominates, best by the first objective first; copies of others are left out."""
    found: list[T] = []
    originals = [trial for trial in trials if trial.values and trial.copy_of is None]
    for trial in sorted(originals, key=lambda trial: trial.values, reverse=True):  # whoever dominates comes before
        if not any(dominates(other.values, trial.values) for other in found):
            found.append(trial)
    return found
