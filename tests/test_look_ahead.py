"""Look-ahead, the general way to keep a space inside its budget, against brute force over a space of 1,200 networks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture, Sketch
from nas.budget import Budget, BudgetError, Choose
from nas.ops import Scalar
from nas.recipe import Recipe
from nas.space import Candidate, SearchSpace

Way = tuple[tuple[str, Scalar], ...]  # the choices that lead to a network
BUDGETS = range(45, 1500, 40)  # the networks have 43 to 3,191 parameters


class Twins(SearchSpace):
    """Two widths that cost a projection unless they are equal, so that both shrink together or neither."""

    def describe(self, choose: Choose) -> Architecture:
        net = Sketch(self.input_shape)
        x = net("linear", net.input, out=int(choose("first", (32, 30))))
        x = net.residual(x, net("linear", x, out=int(choose("second", (32, 30)))))
        return net.done(net("linear", x, out=self.classes))


class Table(SearchSpace):
    """Costs without any order: five forks of two options, and of each combination its parameters from a table."""

    def __init__(self, costs: npt.NDArray[np.int64], budget: Budget | None) -> None:
        super().__init__((1,), 1, budget)
        self.costs = costs

    def describe(self, choose: Choose) -> Architecture:
        net = Sketch(self.input_shape)
        place = tuple(int(choose(name, (0, 1))) for name in "abcde")
        self.classes = int(self.costs[place])  # as many as parameters
        return net.done(net("linear", net.input, out=self.classes, bias=False))

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe()


def way(candidate: Candidate) -> Way:
    return tuple((name, value) for name, value in candidate.values.items() if name != "lr")


@pytest.fixture(scope="module")
def ways(cells: type[SearchSpace]) -> dict[Way, int]:
    """Every network of the space without a budget: choices -> parameters."""
    return {way(candidate): candidate.architecture.num_params for candidate in cells((6,), 3)}


def prefixes(ways: dict[Way, int], budget: Budget) -> set[Way]:
    """What may have been chosen so far where some completion is inside the budget."""
    return {path[:n] for path, params in ways.items() if params in budget for n in range(len(path) + 1)}


def answered(space: SearchSpace, answers: Iterator[int]) -> Candidate:
    return space.draw(lambda name, options, weights: next(answers) % len(options))


def random_draw(space: SearchSpace, random_: random.Random) -> Candidate:
    return space.draw(lambda name, options, weights: random_.randrange(len(options)))


def offered(candidate: Candidate) -> list[tuple[Way, str, tuple[Scalar, ...]]]:
    """Of every fork on the way: the choices before it, its name, and the options there."""
    path = way(candidate)
    forks = [choice for choice in candidate.choices if choice.name != "lr"]
    return [(path[:n], fork.name, fork.options) for n, fork in enumerate(forks)]


@settings(max_examples=30)
@given(st.integers(43, 3300), st.sampled_from([None, 0.3, 0.5, 0.7]), st.lists(st.integers(0, 9), min_size=1))
def test_no_answerer_leaves_the_budget_or_is_left_without_an_option(
    cells: type[SearchSpace], most: int, fill: float | None, answers: list[int]
) -> None:
    space = cells((6,), 3, Budget(most, fill))
    try:
        space.check()
    except BudgetError:
        return
    for start in range(5):
        candidate = answered(space, itertools.cycle(answers[start % len(answers) :] + answers))
        assert candidate.architecture.num_params in Budget(most, fill)


@pytest.mark.parametrize("fill", [None, 0.6])
def test_whatever_the_costs_there_is_a_way_on_and_it_ends_inside_the_budget(
    fill: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.budget._MEMO", 1)  # what is forgotten must not be what the draw relies on
    rng, listed = np.random.default_rng(0), 0
    for _ in range(60):
        costs = rng.integers(10, 100, size=(2, 2, 2, 2, 2))
        budget = Budget(int(np.quantile(costs, rng.uniform(0.05, 0.9))), fill)
        space = Table(costs, budget)
        try:
            space.check()
        except BudgetError:
            continue
        found = [candidate.architecture.num_params for candidate in space]
        assert all(params in budget for params in found)
        listed += len(found)
    assert listed > 300


@pytest.mark.parametrize("fill", [None, 0.5])
def test_every_option_offered_can_be_completed(
    cells: type[SearchSpace], ways: dict[Way, int], fill: float | None
) -> None:
    random_ = random.Random(0)
    for most in BUDGETS[1::4]:
        space, feasible = cells((6,), 3, Budget(most, fill)), prefixes(ways, Budget(most, fill))
        for _ in range(10):
            for before, name, options in offered(random_draw(space, random_)):
                assert all((*before, (name, option)) in feasible for option in options)


def test_without_a_fill_less_than_one_option_in_a_hundred_is_missed(
    cells: type[SearchSpace], ways: dict[Way, int]
) -> None:
    random_, missed, total = random.Random(0), 0, 0
    for most in BUDGETS:
        space, feasible = cells((6,), 3, Budget(most)), prefixes(ways, Budget(most))
        size = dict.fromkeys(feasible, 0)
        for path in feasible - {()}:
            size[path[:-1]] += 1
        for _ in range(10):
            for before, _, options in offered(random_draw(space, random_)):
                missed, total = missed + size[before] - len(options), total + size[before]
    print(f"{missed} of {total} options missed")
    assert missed < 0.01 * total


def test_the_smallest_network_is_found(cells: type[SearchSpace], ways: dict[Way, int]) -> None:
    assert cells((6,), 3, Budget(1)).smallest().num_params == min(ways.values())
    with pytest.raises(BudgetError, match=f"has {min(ways.values())} parameters"):
        cells((6,), 3, Budget(min(ways.values()) - 1)).check()
    cells((6,), 3, Budget(min(ways.values()))).check()


def test_the_smallest_network_is_found_where_two_widths_must_shrink_together() -> None:
    smallest = min(candidate.architecture.num_params for candidate in Twins((4,), 2))
    assert Twins((4,), 2).smallest().num_params == smallest
    Twins((4,), 2, Budget(smallest)).check()


def test_a_fill_that_many_networks_reach_is_not_refused(cells: type[SearchSpace], ways: dict[Way, int]) -> None:
    refused = {}
    for most, fill in itertools.product(BUDGETS, (0.5, 0.8)):
        reaching = sum(params in Budget(most, fill) for params in ways.values())
        try:
            cells((6,), 3, Budget(most, fill)).check()
        except BudgetError:
            refused[most, fill] = reaching
    assert max(refused.values(), default=0) < 0.01 * len(ways), f"refused, with so many networks inside: {refused}"


def test_a_fill_is_kept(cells: type[SearchSpace]) -> None:
    space, rng = cells((6,), 3, Budget(2000, 0.6)), np.random.default_rng(0)
    drawn = [space.sample(rng).architecture.num_params for _ in range(60)]
    assert min(drawn) >= 1200
    assert max(drawn) <= 2000
    assert len(set(drawn)) > 10


@pytest.mark.parametrize("fill", [None, 0.5])
def test_what_is_drawn_late_can_be_replayed_in_a_fresh_space(cells: type[SearchSpace], fill: float | None) -> None:
    old, random_ = cells((6,), 3, Budget(700, fill)), random.Random(1)
    drawn = [random_draw(old, random_) for _ in range(25)]
    fresh = cells((6,), 3, Budget(700, fill))
    assert [fresh.replay(candidate.values) for candidate in reversed(drawn)] == drawn[::-1]


def test_a_draw_does_not_depend_on_what_is_remembered(
    cells: type[SearchSpace], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draws() -> Sequence[Candidate]:
        space, rng = cells((6,), 3, Budget(900, 0.5)), np.random.default_rng(0)
        return [space.sample(rng) for _ in range(20)]

    remembering = draws()
    monkeypatch.setattr("nas.budget._MEMO", 3)
    assert draws() == remembering
