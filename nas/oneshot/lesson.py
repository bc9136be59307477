"""What the worker that trains the shared weights is sent. Plain data: the coordinator does without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.architecture import Architecture
from nas.recipe import Recipe


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
