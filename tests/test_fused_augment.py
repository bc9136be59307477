"""Samples that are augmented, in groups: as alone, and as every training of the same order of samples sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fused import assert_same, in_order

from nas.ops import Shape
from nas.recipe import Recipe
from nas.train.checkpoint import Segment
from nas.train.fused.group import train_together
from nas.train.fused.member import Member
from nas.train.fused.plan import likeness
from nas.train.loop import Fitted, Patience, train
from nas.train.order import Order
from nas.train.resident import Resident
from search_spaces.mlp import MLP

CLASSES, SAMPLES, BATCH, EPOCHS = 3, 70, 16, 3
IMAGES, WINDOWS = (2, 4, 5), (5, 6)
OF_IMAGES = ({"flip": True}, {"shift": 1}, {"rotate": 30.0}, {"cutout": 2}, {"flip": True, "shift": 2, "cutout": 3})
OF_WINDOWS = ({"time_mask": 2}, {"freq_mask": 3}, {"time_mask": 3, "freq_mask": 2})
KINDS = [(IMAGES, how) for how in OF_IMAGES] + [(WINDOWS, how) for how in OF_WINDOWS]


def part(shape: Shape, number: int, seed: int) -> Resident:
    x = torch.randn(number, *shape, generator=torch.Generator().manual_seed(seed))
    return Resident(x, x.flatten(1)[:, :CLASSES].argmax(1))


def members(shape: Shape, augmented: dict[str, Any], number: int, seed: int, orders: int = 2) -> list[Member]:
    space = MLP(shape, CLASSES, None, max_depth=3, min_width=4, max_width=24)
    made = Recipe(lr=3e-3, batch_size=BATCH, precision="float32", **augmented)
    drawn = [space.sample(np.random.default_rng((seed, n))).architecture for n in range(number)]
    return [Member(network, made, seed + n, Patience(9), order=n % orders) for n, network in enumerate(drawn)]


def together(group: list[Member], shape: Shape, epochs: int = EPOCHS) -> list[Any]:
    fresh = [replace(member, stopping=replace(member.stopping)) for member in group]
    return in_order(train_together(fresh, part(shape, SAMPLES, 0), part(shape, 20, 1), epochs=epochs))


def alone(member: Member, shape: Shape) -> Fitted:
    told = member.architecture, member.recipe, part(shape, SAMPLES, 0), part(shape, 20, 1)
    return train(*told, epochs=EPOCHS, patience=9, seed=member.seed, order=member.order)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 4), st.integers(0, 1000))
def test_a_member_whose_samples_are_augmented_gets_the_numbers_that_it_gets_alone(
    kind: tuple[Shape, dict[str, Any]], number: int, seed: int
) -> None:
    shape, augmented = kind
    group = members(shape, augmented, number, seed)
    for member, found in zip(group, together(group, shape), strict=True):
        assert_same(found, alone(member, shape))


def test_a_member_that_leaves_does_not_change_what_the_others_see() -> None:
    group = members(WINDOWS, OF_WINDOWS[2], 4, 5)
    group[0].stopping = Patience(0)  # over after its first epoch
    found = together(group, WINDOWS)
    assert len(found[0].curve) == 1
    for member, fitted in zip(group[1:], found[1:], strict=True):
        assert_same(fitted, alone(member, WINDOWS))


def test_a_training_in_segments_sees_the_samples_of_one_without_a_break(tmp_path: Path) -> None:
    group = members(IMAGES, OF_IMAGES[4], 3, 7)

    def run(epochs: int, before: str | None, after: str | None) -> list[Any]:
        for k, member in enumerate(group):
            member.segment = Segment(EPOCHS, *[name and tmp_path / f"{name}{k}" for name in (before, after)])
        return together(group, IMAGES, epochs)

    whole = run(EPOCHS, None, None)
    run(1, None, "first")
    for one, other in zip(whole, run(EPOCHS, "first", None), strict=True):
        assert other.before == 1
        assert_same(one, other)


def test_augmentation_changes_the_numbers_and_goes_by_the_order_alone() -> None:
    plain, augmented, another = (members(WINDOWS, how, 1, 3, orders=1)[0] for how in ({}, OF_WINDOWS[2], OF_WINDOWS[2]))
    another.order = 1
    losses = [alone(member, WINDOWS).curve[0]["train_loss"] for member in (plain, augmented, another)]
    assert len(set(losses)) == 3
    draws = [torch.rand(3, generator=Order(seed, torch.device("cpu")).chance) for seed in (4, 4, 5)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(("shape", "augmented"), KINDS)
def test_who_augments_alike_is_trained_together_and_on_a_gpu_alone(shape: Shape, augmented: dict[str, Any]) -> None:
    candidate = MLP(shape, CLASSES, None, max_width=32).default()
    plain = replace(candidate, recipe=Recipe(precision="float32"))
    one, other = (replace(plain, recipe=replace(plain.recipe, lr=lr, **augmented)) for lr in (1e-3, 1e-2))
    assert likeness(one) == likeness(other) is not None
    assert likeness(one) != likeness(plain)
    assert likeness(one, "cuda") is None
    assert likeness(plain, "cuda") is not None
    assert likeness(replace(one, recipe=replace(one.recipe, mixup=0.2))) is None
