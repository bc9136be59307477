"""The first networks of a population: the space's default, and some around it."""

from __future__ import annotations

import numpy as np

from nas.space import Candidate, SearchSpace

MUTATIONS = 3  # between the default and a network of the first population


def check_start(start: str) -> str:
    """Where a search begins. Raises `ValueError`."""
    if start not in ("default", "random"):
        raise ValueError(f"start must be default or random, got {start!r}")
    return start


def beginning(space: SearchSpace, start: str, asked: int, rng: np.random.Generator) -> Candidate:
    """One of the first population, after so many: every other one is random, all of them with `start` `random`."""
    if start == "random" or asked % 2:
        return space.sample(rng)
    candidate = space.default()
    for _ in range(MUTATIONS if asked else 0):
        candidate = space.mutate(candidate, rng)
    return candidate
