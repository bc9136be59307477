"""Recipes: what is searched, what a fixed field may hold, and that a recipe survives the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from nas.recipe import (
    AUGMENTATIONS,
    AVERAGES,
    DEFAULTS,
    INITIALISATIONS,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    STEPS,
    Recipe,
    batch_sizes,
    check_knob,
    choose_recipe,
    usual_batch,
)

WORDS = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "initialisation": INITIALISATIONS,
    "precision": PRECISIONS,
    "average": AVERAGES,
}


def asked(pick: int, augmentations: Any = None, optimizer: str = "adamw") -> tuple[Recipe, dict[str, Sequence[Any]]]:
    """The recipe of the option number `pick` at every fork, and what was asked."""
    forks: dict[str, Sequence[Any]] = {}

    def choose(name: str, options: Sequence[Any]) -> Any:
        forks[name] = options
        return optimizer if name == "optimizer" else options[pick]

    return choose_recipe(choose, augmentations), forks


def test_every_field_is_asked_once_and_lands_in_its_place() -> None:
    recipe, forks = asked(-1)
    assert list(forks) == [f.name for f in fields(Recipe)]
    assert {name: getattr(recipe, name) for name in forks} == {
        name: "adamw" if name == "optimizer" else options[-1] for name, options in forks.items()
    }


def test_every_option_offered_is_one_that_may_be_fixed_and_made() -> None:
    for optimizer in ("adamw", "nesterov"):
        for name, options in asked(0, optimizer=optimizer)[1].items():
            for option in options:
                assert check_knob(name, option) == option
                assert type(option) is type(DEFAULTS[name])
                assert Recipe.from_json(replace(Recipe(), **{name: option}).to_json()) == replace(
                    Recipe(), **{name: option}
                )


def test_rates_of_sgd_are_some_twenty_times_those_of_adam() -> None:
    adam, sgd = (asked(0, optimizer=name)[1]["lr"] for name in ("adamw", "nesterov"))
    assert all(b / a >= 20 for a, b in zip(adam, sgd, strict=True))


@pytest.mark.parametrize(
    ("samples", "offered", "usual"),
    [
        (100, (16, 32), 16),
        (300, (16, 32), 16),
        (1078, (32, 64, 128), 64),
        (3000, (32, 64, 128, 256), 128),
        (10**6, (64, 128, 256, 512), 128),
    ],
)
def test_batches_leave_an_epoch_enough_steps(samples: int, offered: tuple[int, ...], usual: int) -> None:
    assert batch_sizes(samples) == offered
    assert usual_batch(samples) == usual
    assert usual * 2 * STEPS <= samples or usual == offered[0]


def test_where_the_data_is_not_known_every_batch_is_offered_that_any_data_would_be() -> None:
    known = {size for samples in (50, 400, 700, 5000, 10**5) for size in batch_sizes(samples)}
    assert known <= set(batch_sizes(None))
    assert usual_batch(None) == Recipe().batch_size


def test_weight_decay_and_augmentation_are_not_searched_but_suit_the_optimizer_and_the_data() -> None:
    assert all(len(asked(0)[1][name]) == 1 for name in (*AUGMENTATIONS, "weight_decay"))
    recipe, _ = asked(-1, {"shift": 2, "flip": True})
    assert (recipe.shift, recipe.flip, recipe.mixup, recipe.weight_decay) == (2, True, 0.0, 1e-2)
    assert asked(0, optimizer="nesterov")[0].weight_decay == 2e-3


def test_a_recipe_of_an_older_log_is_completed_with_the_defaults() -> None:
    assert Recipe.from_json({"optimizer": "sgd", "lr": 0.1, "gone": 3}) == Recipe("sgd", 0.1)
    assert Recipe() == Recipe.from_json(DEFAULTS)


@pytest.mark.parametrize(("name", "words"), WORDS.items())
def test_a_word_is_one_of_its_field(name: str, words: tuple[str, ...]) -> None:
    assert [check_knob(name, word) for word in words] == list(words)
    with pytest.raises(ValueError, match=rf"^{name} must be one of {', '.join(words)}, got 'x'$"):
        check_knob(name, "x")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", 0.0, "lr must be above 0, got 0.0"),
        ("lr", "fast", "lr must be like its default 0.001, got 'fast'"),
        ("momentum", 1.0, "momentum must be in 0..1, below 1, got 1.0"),
        ("batch_size", 0, "batch_size must be at least 1, got 0"),
        ("batch_size", 2.5, "batch_size must be like its default 128, got 2.5"),
        ("warmup", 1.0, "warmup must be in 0..1, below 1, got 1.0"),
        ("flip", 1, "flip must be like its default False, got 1"),
        ("shift", True, "shift must be like its default 0, got True"),
        ("rotate", 181.0, "rotate must be in 0..180 degrees, got 181.0"),
        ("cutout", -1, "cutout must be at least 0, got -1"),
        ("clip", -0.5, "clip must be at least 0, got -0.5"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message.replace('.', '[.]')}$"):
        check_knob(name, value)


def test_a_whole_number_will_do_where_a_real_one_is_meant() -> None:
    assert (check_knob("lr", 1), type(check_knob("lr", 1))) == (1.0, float)
    assert check_knob("weight_decay", 0) == 0.0
    assert check_knob("flip", True) is True
