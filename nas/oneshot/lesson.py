"""What the worker that trains the shared weights is sent. Plain data: the coordinator does without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.recipe import Recipe
from nas.record import read_json

FOLDER, PLAN = "one_shot", "plan.json"  # of a run: the weights of its rounds, what was decided for each and came of it


@dataclass(frozen=True)
class Lesson:
    """The training of the shared weights in one round, up to epoch `until` of `epochs`.

    Every minibatch is for other networks of the `pool`. It begins with the weights `before` of the round before, or
    goes on from what an earlier lesson has left in `state`; the weights after the last epoch go to `after`.
    """

    pool: tuple[Architecture, ...]
    recipe: Recipe
    seed: int
    epochs: int
    until: int
    state: Path
    after: Path
    before: Path | None = None


def plan(path: Path) -> list[dict[str, Any]]:
    """Of each round of a run its `epochs`, and once it has its weights, `elapsed` seconds and the `curve`."""
    rounds = read_json(path / FOLDER / PLAN).get("rounds", [])
    return [found for found in rounds if isinstance(found, dict)]


def taught(path: Path) -> list[float]:
    """The seconds of each epoch that the shared weights of a run were trained."""
    return [float(row["seconds"]) for found in plan(path) for row in found.get("curve", ())]
