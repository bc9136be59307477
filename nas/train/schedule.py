"""The learning rate over the steps of a training, in closed form: what torch's schedulers compute by recursion.

Closed forms because a warm-up goes before any of them without a chain of schedulers, and because torch's own warn
where an optimizer's step is left out, as float16 does. Tests hold each against the scheduler of torch that it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from nas.recipe import Recipe

DROP = 0.1  # what step and multistep multiply by: at each third of the steps; at 1/2 and at 3/4
LAST = 0.01  # share of the highest rate at which exponential ends
RESTARTS = ((0, 1), (1, 3), (3, 7))  # sgdr's cycles in sevenths of the steps, each twice as long as the one before
RISE = 0.3  # share of the steps over which onecycle rises, where there is no warmup
FIRST, FINAL = 1 / 25, 1 / 25e4  # shares of the highest rate at which onecycle starts and ends
PLATEAU_DROP = 0.2  # what plateau multiplies by ...
PLATEAU_PATIENCE = 1  # ... after more than so many epochs in a row ...
PLATEAU_CHANGE = 1e-4  # ... without a validation loss lower by this share of the lowest


class Schedule:
    """The learning rate of every step; `peak`, the recipe's, is its highest."""

    def __init__(self, recipe: Recipe, steps: int) -> None:
        if recipe.schedule not in SHAPES:
            raise ValueError(f"schedule must be one of {', '.join(SHAPES)}, got {recipe.schedule!r}")
        self.recipe, self.peak, self.taken = recipe, recipe.lr, 0
        warm = 0 if recipe.schedule == "onecycle" else round(recipe.warmup * steps)  # onecycle has a rise of its own
        self.warm = min(warm, steps - 1)
        self.steps = steps - self.warm  # those after the warm-up
        self._lowest, self._bad = math.inf, 0

    @property
    def lr(self) -> float:
        """The learning rate of the step to come."""
        if self.taken < self.warm:
            return self.peak * (self.taken + 1) / (self.warm + 1)  # LinearLR
        after = min(self.taken - self.warm, self.steps - 1)
        return self.peak * SHAPES[self.recipe.schedule](after, self.steps, self.recipe.warmup or RISE)

    def step(self) -> None:
        """A step was taken."""
        self.taken += 1

    def state_dict(self) -> dict[str, float]:
        return {"peak": self.peak, "taken": self.taken, "lowest": self._lowest, "bad": self._bad}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.peak, self.taken = state["peak"], state["taken"]
        self._lowest, self._bad = state["lowest"], state["bad"]

    def epoch(self, loss: float) -> None:
        """An epoch ended with this validation loss, which is of account to `plateau` alone, after the warm-up."""
        if self.recipe.schedule != "plateau" or self.taken < self.warm:
            return
        if loss < self._lowest * (1 - PLATEAU_CHANGE):
            self._lowest, self._bad = loss, 0
        else:
            self._bad += 1
        if self._bad > PLATEAU_PATIENCE:
            self.peak *= PLATEAU_DROP
            self._bad = 0


def _cosine(start: float, end: float, way: float) -> float:
    """From `start` to `end` along half a cosine, at `way` in 0..1."""
    return end + (start - end) * (1 + math.cos(math.pi * way)) / 2


def _restarts(step: int, steps: int, _: float) -> float:
    """SGDR (arXiv 1608.03983), equation 5: a cosine to zero in each cycle."""
    start, end = next(cycle for cycle in RESTARTS if 7 * step < cycle[1] * steps)
    return _cosine(1, 0, (7 * step - start * steps) / ((end - start) * steps))


def _onecycle(step: int, steps: int, rise: float) -> float:
    """Up along half a cosine, then down along another (arXiv 1708.07120, as OneCycleLR has it)."""
    top, last = max(0, round(rise * steps) - 1), max(1, steps - 1)
    if step < top:
        return _cosine(FIRST, 1, step / top)
    return _cosine(1, FINAL, (step - top) / max(1, last - top))


SHAPES: dict[str, Callable[[int, int, float], float]] = {  # step from 0, steps, rise -> share of the highest rate
    "constant": lambda step, steps, _: 1.0,
    "step": lambda step, steps, _: DROP ** (3 * step // steps),
    "multistep": lambda step, steps, _: DROP ** ((2 * step >= steps) + (4 * step >= 3 * steps)),
    "exponential": lambda step, steps, _: LAST ** (step / steps),
    "cosine": lambda step, steps, _: _cosine(1, 0, step / steps),
    "sgdr": _restarts,
    "onecycle": _onecycle,
    "plateau": lambda step, steps, _: 1.0,  # what lowers it is `Schedule.epoch`
}
