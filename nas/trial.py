"""One evaluated candidate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.space import Candidate, SearchSpace

Row = Mapping[str, float]


@dataclass(frozen=True)
class Trial:
    """What became of candidate `number`. `values` are to be maximised, empty where `error` says why there are none."""

    number: int
    candidate: Candidate
    seed: int
    values: tuple[float, ...] = ()
    metrics: Row = field(default_factory=dict)  # facts at the epoch that is kept, and the cost in seconds
    curve: tuple[Row, ...] = ()  # one row an epoch
    error: str | None = None
    copy_of: int | None = None  # the trial whose result this one took over, being the same candidate
    elapsed: float = 0.0  # seconds of search, all sessions together, when it ended
    ended: float = 0.0  # when that was, in seconds since 1970

    @property
    def value(self) -> float:
        """The first objective. Raises `ValueError` where there is none."""
        if not self.values:
            raise ValueError(f"trial {self.number} has no value ({self.error or 'no error'})")
        return self.values[0]

    @property
    def costs(self) -> tuple[float, ...]:
        """By the objectives after the first, in their order; to be minimised."""
        return tuple(-value for value in self.values[1:])

    @property
    def params(self) -> int:
        return self.candidate.architecture.num_params

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "values": list(self.values),
            **self.candidate.to_json(),
            "seed": self.seed,
            "metrics": dict(self.metrics),
            "curve": [dict(row) for row in self.curve],
            "error": self.error,
            "copy_of": self.copy_of,
            "elapsed": round(self.elapsed, 3),
            "ended": self.ended,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], space: SearchSpace) -> Trial:
        """The trial again, its candidate replayed in `space`. Raises `ValueError` where a field cannot be right."""
        trial = cls(
            number=data["number"],
            candidate=space.replay(data["choices"], data["fidelity"], data.get("horizon")),
            seed=data["seed"],
            values=tuple(data["values"]),
            metrics=data["metrics"],
            curve=tuple(data["curve"]),
            error=data["error"],
            copy_of=data["copy_of"],
            elapsed=data["elapsed"],
            ended=data.get("ended", 0.0),  # logs of version 0.1 have none
        )
        numbers = (
            *trial.values,
            trial.elapsed,
            trial.ended,
            *trial.metrics.values(),
            *(v for row in trial.curve for v in row.values()),
        )
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
            raise ValueError("a value is not a finite number")
        if not isinstance(trial.number, int) or trial.number < 0 or bool(trial.values) != (trial.error is None):
            raise ValueError(f"number {trial.number!r} with values {trial.values} and error {trial.error!r}")
        if not 0 < trial.candidate.fidelity <= trial.candidate.span:
            raise ValueError(f"a fidelity of {data['fidelity']!r} on a horizon of {data['horizon']!r}")
        if data["params"] != trial.params:
            raise ValueError(f"{data['params']!r} parameters recorded, {trial.params:,} in the network of its choices")
        return trial


def best_first(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that have a value, best first; of equals one that was trained itself, then the cheaper, the smaller.

    Trainings that have come to the end of their schedule go before all that were left earlier, whatever their values:
    these have been chosen among many more, by less.
    """
    return sorted(
        (t for t in trials if t.values),
        key=lambda t: (-t.candidate.progress, -t.value, t.copy_of is not None, t.costs, t.params, t.number),
    )


def finite(row: Row) -> Row:
    """A row as the log can hold it: plain numbers, and none that is not finite."""
    return {name: v if isinstance(v, int) else float(v) for name, v in row.items() if math.isfinite(v)}
