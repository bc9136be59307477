"""What the MLP space promises beyond any space: widths are solved wherever one fits, and its own counting is right."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from nas.budget import Budget
from search_spaces.mlp import MLP, PROFILES, TAPERS

BUDGETS = (Budget(50_000), Budget(1_000_000), Budget(20_000_000))
INPUTS = ((64,), (1, 28, 28), (868,))


@pytest.mark.parametrize(("budget", "inputs"), [*product(BUDGETS, INPUTS)])
def test_solved_widths_of_the_mlp_space_use_nine_tenths_of_their_size(budget: Budget, inputs: tuple[int, ...]) -> None:
    space, rng, seen = MLP(inputs, 10, budget), np.random.default_rng(3), set()

    def answer(name: str, options: Any, weights: Any) -> int:
        solved = [i for i, option in enumerate(options) if name != "shape" or option != "free"]
        return solved[rng.integers(len(solved))]

    for _ in range(40):
        candidate = space.draw(answer)
        seen.add(candidate.values["shape"])
        aim = int(budget.most * float(candidate.values["size"]))
        assert 0.9 * aim <= candidate.architecture.num_params <= aim
    assert len(seen) == 5


@pytest.mark.parametrize("inputs", [8, 64, 784])
def test_a_width_of_the_mlp_space_is_solved_wherever_one_fits(inputs: int) -> None:
    space, missed = MLP((inputs,), 10, Budget(50_000), max_width=512), []
    shapes = [shape for shape in PROFILES if shape != "cylinder"]
    for shape, depth, skip, taper in product(shapes, (3, 4, 5), (False, True), TAPERS):
        widths = [space.profile(shape, depth, taper, width) for width in range(16, 513)]
        fits = [each for each in widths if space.params(inputs, each, "layernorm", skip) in Budget(50_000, 0.9)]
        if fits and not space.solve(inputs, shape, depth, "layernorm", skip, taper, 1.0):
            missed.append((shape, depth, skip, taper, len(fits)))
    assert not missed


def test_the_mlp_space_counts_its_own_parameters_right() -> None:
    space, rng = MLP((1, 7, 7), 10, Budget(100_000), max_width=256), np.random.default_rng(4)
    for candidate in (space.sample(rng) for _ in range(100)):
        values = candidate.values
        trunk = (candidate.architecture.nodes[i] for i in candidate.architecture._trunk())
        widths = [int(dict(n.attrs)["out"]) for n in trunk if n.op == "linear"][:-1]
        skip = bool(values.get("skip", False))
        assert space.params(49, widths, str(values["norm"]), skip) == candidate.architecture.num_params


@pytest.mark.parametrize(("budget", "widths"), [(2_000, 16), (20_000, 80), (20_000_000, 512)])
def test_the_default_perceptron_has_layers_alike_as_wide_as_the_budget_lets_them_be(budget: int, widths: int) -> None:
    default = MLP((64,), 10, Budget(budget)).default()
    assert default.architecture.widths == (widths,) * 3
    assert (default.values["dropout"], default.recipe.lr) == ((0.3, 2e-3) if widths == 512 else (0.1, 4e-3))


def test_the_default_perceptron_of_a_small_budget_sees_fewer_frames_rather_than_have_no_width() -> None:
    speech = MLP((28,), 11).on(contexts=(0, 5, 10, 25, 40))
    contexts = []
    for budget in (20_000, 60_000, 1_000_000):
        space = MLP((28,), 11, Budget(budget)).on(contexts=speech.contexts)
        assert min(space.default().architecture.widths) >= 64
        contexts.append(space.default().values["context"])
    assert contexts == sorted(contexts)
    assert contexts[-1] == 25


def test_the_batches_of_a_space_follow_from_the_samples_of_an_epoch() -> None:
    space, rng = MLP((64,), 10, Budget(20_000)), np.random.default_rng(0)
    few = space.sized(1000)
    assert {few.sample(rng).recipe.batch_size for _ in range(60)} == {32, 64}
    assert few.default().recipe.batch_size == 32
    assert {space.sample(rng).recipe.batch_size for _ in range(100)} > {16, 512}


@pytest.mark.parametrize("budget", [20_000_000, 200_000_000, 9 * 10**12])
def test_a_budget_beyond_the_widest_layers_leaves_the_default_its_usual_width(budget: int) -> None:
    assert MLP((64,), 10, Budget(budget)).default().values["width1"] == 512
