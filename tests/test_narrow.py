"""`--fix` and `--only`: what is fixed is never left, what is not searched takes its default, mistakes are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import Cells

from nas.budget import Budget, BudgetError
from nas.forks import idle
from nas.narrow import Narrowing, family
from nas.ops import Scalar
from nas.options import Options
from nas.recipe import AUGMENTATIONS, DEFAULTS, Recipe, check_knob
from nas.space import Candidate, SearchSpace
from search_spaces.cnn import CNN
from search_spaces.mlp import MLP

MOST = Budget(300_000)


def narrowed(space: SearchSpace, only: str = "", **fixed: Any) -> SearchSpace:
    options = {name: value if isinstance(value, tuple) else (value,) for name, value in fixed.items()}
    narrowing = Narrowing(options, frozenset(filter(None, only.split(","))) or None)
    found = space.on(space.contexts, space.augmentations, narrowing)
    found.check()
    return found


def draws(space: SearchSpace, number: int = 40) -> list[Candidate]:
    rng = np.random.default_rng(3)
    samples = [space.sample(rng) for _ in range(number)]
    return [*samples, *(space.mutate(c, rng) for c in samples), *(space.crossover(c, samples[0], rng) for c in samples)]


@pytest.fixture(params=[(MLP, MOST), (MLP, None), (Cells, Budget(4000)), (Cells, None)], ids=str)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    cls, budget = request.param
    made: SearchSpace = cls((20,), 4, budget)
    return made


FIXED: dict[type, dict[str, tuple[Scalar, ...]]] = {
    MLP: {"depth": (2, 3), "norm": ("batchnorm",), "width": (32, 64), "lr": (0.123,), "optimizer": ("sam", "rmsprop")},
    Cells: {"stem": (8,), "kind": ("plain", "norm"), "cells": (1, 2), "lr": (0.5,)},
}


def test_what_is_fixed_is_all_that_is_drawn_and_stays_inside_the_budget(space: SearchSpace) -> None:
    fixed = FIXED[type(space)]
    narrow = narrowed(space, **fixed)
    seen: dict[str, set[Scalar]] = {}
    for candidate in draws(narrow):
        assert space.budget is None or candidate.architecture.num_params in space.budget
        for name, value in candidate.values.items():
            seen.setdefault(family(name), set()).add(value)
    for name, values in fixed.items():
        assert seen[name] == {*values}, name


def test_a_candidate_of_a_narrowed_space_can_be_replayed_there(space: SearchSpace) -> None:
    narrow = narrowed(space, **FIXED[type(space)])
    for candidate in draws(narrow, 10):
        assert narrow.replay(candidate.values) == candidate


def test_only_the_named_choices_vary_and_the_others_take_their_defaults() -> None:
    found = draws(narrowed(MLP((20,), 4, MOST), only="width,depth"))
    open_ = {choice.name for candidate in found for choice in candidate.choices if len(choice.options) > 1}
    assert {family(name) for name in open_} == {"width", "depth"}
    assert {candidate.values["activation"] for candidate in found} == {MLP.defaults["activation"]}
    usual = Recipe.from_json({**DEFAULTS, **MLP.defaults, "weight_decay": 1e-2})
    assert {candidate.recipe for candidate in found} == {usual}


def test_one_layer_can_be_fixed_by_its_own_name() -> None:
    found = draws(narrowed(MLP((20,), 4, MOST), shape="free", depth=3, width2=64))
    assert {candidate.values["width2"] for candidate in found} == {64}
    assert len({candidate.values["width1"] for candidate in found}) > 3


def test_what_a_budget_asks_instead_of_a_width_can_be_fixed() -> None:
    found = draws(narrowed(MLP((20,), 4, MOST), shape="cylinder", size=0.5))
    assert {candidate.values["size"] for candidate in found} == {0.5}


def test_what_is_fixed_and_never_asked_is_named() -> None:
    assert idle(narrowed(MLP((20,), 4, MOST), shape="cylinder", width=64, lr=1e-3)) == ["width"]
    assert idle(narrowed(MLP((20,), 4, MOST), shape="free", depth=1, width2=64)) == ["width2"]
    assert idle(narrowed(MLP((20,), 4, MOST), shape="free", width10=16, taper=0.5)) == ["taper"]
    assert idle(narrowed(MLP((20,), 4, MOST), activation="gelu", lr=1e-3)) == []


def test_values_that_rule_each_other_out_leave_no_network_and_say_so(space: SearchSpace) -> None:
    if isinstance(space, MLP):
        with pytest.raises(BudgetError, match="--fix leaves no network"):
            narrowed(space, shape="diamond", depth=2)


def test_a_fixed_network_too_large_for_the_budget_is_refused() -> None:
    with pytest.raises(BudgetError, match="300,000"):
        narrowed(MLP((20,), 4, MOST), shape="free", depth=3, width=4096)


@pytest.mark.parametrize(
    ("fixed", "shown"),
    [
        ({"dept": 2}, "did you mean 'depth'"),
        ({"depth": 99}, "99 is not offered; it offers 1, 2"),
        ({"activation": ("relu", "geluu")}, "activation: geluu is not offered"),
        ({"optimizer": "adamx"}, "adamw.*got 'adamx'"),
        ({"lr": 0}, "above 0"),
        ({"batch_size": 2.5}, "batch_size.*2.5"),
        ({"flip": 1}, "flip.*1"),
    ],
)
def test_a_mistake_in_a_fixed_choice_names_the_value_and_the_remedy(fixed: dict[str, Any], shown: str) -> None:
    with pytest.raises(ValueError, match=shown):
        narrowed(MLP((20,), 4, MOST), **fixed)


@pytest.mark.parametrize("budget", [1300, 1500, 2000, 3000, 10_000, 53_000, 200_000, 300_000, 565_000, 10**7])
def test_a_default_shrinks_until_it_fits(budget: int) -> None:
    space = narrowed(MLP((1, 8, 8), 10, Budget(budget)), only="lr")
    sizes = {candidate.architecture.num_params for candidate in draws(space)}
    assert len(sizes) == 1
    assert budget / 2 < max(sizes) <= budget or budget == 10**7


def test_where_no_default_fits_a_budget_that_has_room_is_named() -> None:
    with pytest.raises(
        BudgetError, match=r"has no network for the parameter budget 700: .* a --budget of 1\.58K has room"
    ) as no:
        narrowed(MLP((1, 8, 8), 10, Budget(700)), only="lr")
    assert "\n" not in str(no.value)
    assert draws(narrowed(MLP((1, 8, 8), 10, Budget(1580)), only="lr"))
    with pytest.raises(BudgetError, match="has room for it, or let --only have more choices"):
        narrowed(CNN((3, 16, 16), 3, Budget(2000)), only="lr")


def test_an_unknown_name_after_only_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"--only.*'widht'.*'width'"):
        narrowed(MLP((20,), 4, MOST), only="widht")


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_field_of_the_recipe_can_be_fixed_to_its_default_and_is_in_every_log(name: str) -> None:
    assert check_knob(name, DEFAULTS[name]) == DEFAULTS[name]
    candidate = narrowed(MLP((20,), 4, MOST), **{name: DEFAULTS[name]}).sample(np.random.default_rng(0))
    assert candidate.values[name] == DEFAULTS[name] == getattr(candidate.recipe, name)


def test_augmentations_have_their_usual_values_where_the_data_has_some_and_only_there() -> None:
    images = MLP((20,), 4, MOST).on(augmentations={"shift": 2, "flip": True})
    for choice in images.sample(np.random.default_rng(0)).choices:
        if choice.name in AUGMENTATIONS:
            usual = {"shift": 2, "flip": True}.get(choice.name, DEFAULTS[choice.name])
            assert choice.options == (usual,)
    searched = narrowed(images, shift=(0, 1, 2))
    assert {candidate.recipe.shift for candidate in draws(searched, 20)} == {0, 1, 2}


def test_the_context_is_chosen_first_and_the_parameters_follow_it() -> None:
    speech = MLP((28,), 11, Budget(3_000_000)).on(contexts=(0, 10, 30))
    shapes = {c.values["context"]: c.architecture.input_shape for c in draws(speech)}
    assert shapes == {0: (1, 28), 10: (21, 28), 30: (61, 28)}
    for candidate in draws(speech, 5):
        assert candidate.choices[0].name == "context"
        assert candidate.architecture.num_params <= 3_000_000


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("depth=4", {"depth": (4,)}),
        ("lr=1e-3|2e-3, optimizer=adamw", {"lr": (1e-3, 2e-3), "optimizer": ("adamw",)}),
        ({"skip": [True, False]}, {"skip": (True, False)}),
        ({"depth": 4}, {"depth": (4,)}),
    ],
)
def test_fixed_choices_are_read_from_words_and_from_yaml(words: Any, read: dict[str, Any]) -> None:
    assert Options.of({"budget": "1M", "fix": words}).fix == read


@pytest.mark.parametrize("words", ["depth", "lr=1e-3,lr=2e-3", "=4", "depth=", 5, {"depth": []}, {"depth": [[1]]}])
def test_fixed_choices_that_cannot_be_read_are_refused(words: Any) -> None:
    with pytest.raises(ValueError, match="fix"):
        Options.of({"budget": "1M", "fix": words})


def test_a_whole_number_fixed_for_a_field_of_numbers_is_one() -> None:
    candidate = narrowed(MLP((20,), 4, MOST), mixup=1).sample(np.random.default_rng(0))
    assert isinstance(candidate.recipe.mixup, float)


def test_what_other_limits_rule_out_is_said_not_to_be_the_budget() -> None:
    images = CNN((3, 64, 64), 10, Budget(20_000_000), max_flops=2e7)
    with pytest.raises(BudgetError, match="another limit of the space, such as max_flops"):
        narrowed(images, stem=1, block="residual", kernel=7)
