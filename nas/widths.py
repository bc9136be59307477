"""Solving a width: the widest network of a form that stays inside a budget of parameters and of FLOPs."""

from __future__ import annotations

from collections.abc import Callable

from nas.budget import Budget

SOLVED_FILL = 0.9  # the least share of the budget that a solved width should use, where no other fill is asked for
GRAINS = (8, 4, 1)  # hardware likes multiples of 8; a finer grain only where no coarser one uses enough

Cost = Callable[[int, int], tuple[int, int]]
"""Width, grain -> parameters and FLOPs; both grow with the width while the grain stays the same."""


def solve(cost: Cost, budget: Budget, most_flops: float, low: int, high: int) -> tuple[int, int]:
    """The width in low..high that brings the parameters nearest below the budget, and its grain.

    (0, 1) where none fits. With a fill asked for, a width that does not reach it does not fit; without one, the first
    grain that uses nine tenths of the budget, or of the FLOPs, is taken, or else the most that fits.
    """
    least = budget.floor(SOLVED_FILL if budget.fill is None else budget.fill)
    found: list[tuple[int, int, int]] = []  # parameters, grain, width
    for grain in GRAINS:
        width = _widest(cost, budget.most, most_flops, low, high, grain)
        if width:
            params, flops = cost(width, grain)
            found.append((params, grain, width))
            if params >= least or (budget.fill is None and flops >= SOLVED_FILL * most_flops):
                return width, grain
    if not found or budget.fill is not None:
        return 0, 1
    _, grain, width = max(found)
    return width, grain


def _widest(cost: Cost, most: int, most_flops: float, low: int, high: int, grain: int) -> int:
    """By bisection, the largest multiple of the grain that fits; 0 where there is none."""
    below = -(-low // grain) - 1  # multiples of the grain: this one fits or is too small
    above = high // grain + 1  # does not fit
    while above - below > 1:
        middle = (below + above) // 2
        params, flops = cost(middle * grain, grain)
        if params <= most and flops <= most_flops:
            below = middle
        else:
            above = middle
    return below * grain if below * grain >= low else 0
