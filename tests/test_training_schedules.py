"""The learning rate of every step: each schedule is the scheduler of torch that it is named for, after any warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler as torches

from nas.recipe import SCHEDULES, Recipe
from nas.train.schedule import DROP, LAST, PLATEAU_CHANGE, PLATEAU_DROP, PLATEAU_PATIENCE, SHAPES, Schedule

PEAK = 0.1
Make = Callable[[optim.Optimizer, int], torches.LRScheduler]
TORCHES: dict[str, Make] = {
    "constant": lambda o, n: torches.ConstantLR(o, factor=1.0),
    "step": lambda o, n: torches.StepLR(o, n // 3, DROP),
    "multistep": lambda o, n: torches.MultiStepLR(o, [n // 2, 3 * n // 4], DROP),
    "exponential": lambda o, n: torches.ExponentialLR(o, LAST ** (1 / n)),
    "cosine": torches.CosineAnnealingLR,
    "sgdr": lambda o, n: torches.CosineAnnealingWarmRestarts(o, n // 7, 2),
    "onecycle": lambda o, n: torches.OneCycleLR(o, PEAK, n, cycle_momentum=False),
}


def course(recipe: Recipe, steps: int) -> list[float]:
    schedule, rates = Schedule(recipe, steps), []
    for _ in range(steps):
        rates.append(schedule.lr)
        schedule.step()
    return rates


def sgd() -> optim.Optimizer:
    return optim.SGD([nn.Parameter(torch.zeros(1))], lr=PEAK)


def by_torch(make: Make, steps: int, optimizer: optim.Optimizer | None = None) -> list[float]:
    optimizer = optimizer or sgd()
    scheduler, rates = make(optimizer, steps), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("name", TORCHES)
@pytest.mark.parametrize("steps", [420, 840])
def test_a_schedule_is_that_of_torch(name: str, steps: int) -> None:
    wanted = by_torch(TORCHES[name], steps)
    assert course(Recipe(lr=PEAK, schedule=name), steps) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(TORCHES) - {"onecycle", "constant"}))
def test_a_warm_up_goes_before_the_whole_schedule(name: str) -> None:
    rates = course(Recipe(lr=PEAK, schedule=name, warmup=0.2), 105)
    rise = torches.LinearLR
    assert rates[:21] == pytest.approx(by_torch(lambda o, n: rise(o, 1 / 22, 1.0, 21), 21))
    assert rates[21:] == pytest.approx(by_torch(TORCHES[name], 84), rel=1e-6, abs=1e-9)
    assert max(rates) == rates[21] == PEAK


def test_the_warm_up_of_onecycle_is_its_rise() -> None:
    rates = course(Recipe(lr=PEAK, schedule="onecycle", warmup=0.1), 200)
    wanted = by_torch(lambda o, n: torches.OneCycleLR(o, PEAK, n, pct_start=0.1, cycle_momentum=False), 200)
    assert rates == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert rates.index(max(rates)) == 19


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_the_rate_of_the_recipe_is_the_highest_of_every_schedule(name: str, warmup: float, steps: int) -> None:
    rates = course(Recipe(lr=PEAK, schedule=name, warmup=warmup), steps)
    assert max(rates) == pytest.approx(PEAK)
    assert all(0 <= rate <= PEAK for rate in rates)
    assert rates[0] > 0 or steps == 1


def test_the_names_of_the_recipe_are_those_of_the_schedules() -> None:
    assert tuple(SHAPES) == SCHEDULES
    with pytest.raises(ValueError, match=r"schedule must be one of constant, .* got 'poly'"):
        Schedule(Recipe(schedule="poly"), 10)


@pytest.mark.parametrize(
    "losses",
    [
        (1.0, 0.9, 0.8, 0.7, 0.6, 0.5),
        (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        (1.0, 0.9, 0.95, 0.91, 0.89, 0.95, 0.96),
        (0.5, 0.49999, 0.49998, 0.49997, 0.2),
        (1.0, math.nan, math.nan, 0.5),
    ],
)
def test_plateau_is_that_of_torch_epoch_by_epoch(losses: Sequence[float]) -> None:
    schedule, optimizer = Schedule(Recipe(lr=PEAK, schedule="plateau"), 100), sgd()
    wanted = torches.ReduceLROnPlateau(
        optimizer, factor=PLATEAU_DROP, patience=PLATEAU_PATIENCE, threshold=PLATEAU_CHANGE
    )
    for loss in losses:
        schedule.step()
        schedule.epoch(loss)
        wanted.step(loss)
        assert schedule.lr == pytest.approx(optimizer.param_groups[0]["lr"])


def test_plateau_waits_for_the_end_of_the_warm_up_and_no_other_schedule_looks_at_the_loss() -> None:
    schedule = Schedule(Recipe(lr=PEAK, schedule="plateau", warmup=0.5), 10)
    rates = []
    for _ in range(10):
        rates.append(schedule.lr)
        schedule.step()
        schedule.epoch(1.0)
    assert rates[:7] == pytest.approx([PEAK * k / 6 for k in (1, 2, 3, 4, 5, 6, 6)])
    assert rates[7:] == pytest.approx([PEAK * PLATEAU_DROP, PEAK * PLATEAU_DROP, PEAK * PLATEAU_DROP**2])
    cosine = Schedule(Recipe(lr=PEAK), 10)
    for _ in range(5):
        cosine.epoch(1.0)
    assert cosine.lr == PEAK
