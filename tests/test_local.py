"""Local search: what a neighbour is, when it moves, what it does not ask again."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from toy import Line, line

from nas.budget import Budget
from nas.space import Candidate, SearchSpace
from nas.trial import Trial
from search_spaces.mlp import MLP
from strategies.local import Local

Score = Callable[[Candidate], float | None]


def size(candidate: Candidate) -> float:
    return float(candidate.architecture.num_params)


class Climb:
    """A local search, and all that it asked for. A score of None is a failure."""

    def __init__(self, local: Local, score: Score = size) -> None:
        self.local, self.score, self.numbers = local, score, itertools.count()
        self.asked: list[Candidate] = []

    def ask(self, pending: tuple[Candidate, ...] = ()) -> Candidate:
        self.asked.append(self.local.ask(np.random.default_rng(len(self.asked)), pending))
        return self.asked[-1]

    def tell(self, candidate: Candidate) -> None:
        value = self.score(candidate)
        error, values = (None, (value,)) if value is not None else ("out of memory", ())
        self.local.tell(Trial(next(self.numbers), candidate, 0, values, error=error))

    def __call__(self, trials: int) -> list[Candidate]:
        for _ in range(trials):
            self.tell(self.ask())
        return self.asked


def differing(a: Candidate, b: Candidate) -> list[str]:
    """The decisions that both had to take, and took otherwise."""
    return [name for name in a.values if name in b.values and a.values[name] != b.values[name]]


def around(space: SearchSpace, here: Candidate) -> list[Candidate]:
    moves = [(c.name, option) for c in here.choices for option in c.options if option != c.value]
    return [space.nearest({**here.values, name: option}) for name, option in moves]


def test_a_neighbour_differs_in_one_decision_and_keeps_the_others() -> None:
    space = line()
    here = space.replay({"depth": 2, "width0": 8, "width1": 16, "lr": 1e-3})
    found = [candidate.values for candidate in around(space, here)]
    assert len(found) == 2 + 3 + 3 + 1
    assert {"depth": 1, "width0": 8, "lr": 1e-3} in found
    assert {"depth": 3, "width0": 8, "width1": 16, "width2": 4, "lr": 1e-3} in found  # the new width is the default
    assert all(differing(here, candidate) for candidate in around(space, here))


def test_under_a_budget_what_follows_is_the_nearest_that_fits() -> None:
    space = MLP((64,), 10, Budget(50_000, 0.0), max_width=512)
    here = space.nearest({"shape": "free", "depth": 3, "width1": 64, "width2": 128, "width3": 192})
    wide = space.nearest({**here.values, "width2": 192})
    assert wide.architecture.num_params in space.budget  # type: ignore[operator]  # it has one
    assert wide.values["width1"] == 64
    assert wide.values["width2"] == 192
    assert wide.values["width3"] < here.values["width3"]
    assert wide.values["width3"] == max(o for c in wide.choices if c.name == "width3" for o in c.options)


def test_best_evaluates_all_neighbours_and_then_goes_to_the_best_of_them() -> None:
    climb = Climb(Local(line(), improvement="best"))
    default = line().default()
    count = len(around(line(), default))
    asked = climb(1 + count)
    assert asked[0] == default
    assert {str(c.values) for c in asked[1:]} == {str(c.values) for c in around(line(), default)}
    assert climb.local.here == max(around(line(), default), key=size)


def test_first_goes_to_the_first_better_one() -> None:
    climb = Climb(Local(line(), improvement="first"))
    for _ in range(12):
        before, value = climb.local.here, climb.local.value
        candidate = climb(1)[-1]
        assert climb.local.here == (candidate if size(candidate) > value else before)


def test_best_does_not_leave_before_the_last_neighbour_is_told() -> None:
    climb = Climb(Local(line(), improvement="best"))
    count = len(around(line(), climb(1)[0]))
    climb(count - 1)
    assert climb.local.here == climb.asked[0]


@pytest.mark.parametrize("improvement", ["best", "first"])
def test_where_no_neighbour_is_better_it_begins_again_at_random(improvement: str) -> None:
    climb = Climb(Local(line(), improvement=improvement), lambda candidate: -size(candidate))
    climb(1)  # the default, of one layer of 4 units, is the smallest of all
    climb(len(around(line(), climb.asked[0])))
    assert climb.local.here is None
    starts = {str(climb.local.ask(np.random.default_rng(seed), ()).values) for seed in range(20)}
    assert len(starts) > 10
    assert not starts & {str(candidate.values) for candidate in climb.asked}


@pytest.mark.parametrize("improvement", ["best", "first"])
def test_a_network_is_asked_for_once_until_all_are_known(improvement: str) -> None:
    asked = Climb(Local(line(), improvement=improvement))(120)
    assert len({candidate.key for candidate in asked}) == 120


def test_the_known_values_of_neighbours_count() -> None:
    """All around a place but one were told before: after that one it goes to the best of all."""
    space = line()
    here = space.default()
    near = around(space, here)
    local = Local(space, improvement="best")
    for number, candidate in enumerate([here, *near[:-1]]):
        local.tell(Trial(number, candidate, 0, (size(candidate),)))
    assert local.ask(np.random.default_rng(0), ()) == near[-1]
    local.tell(Trial(99, near[-1], 0, (0.0,)))
    assert local.here == max(near[:-1], key=size)


@pytest.mark.parametrize("improvement", ["best", "first"])
def test_failures_are_worse_than_anything(improvement: str) -> None:
    def score(candidate: Candidate) -> float | None:
        return None if candidate.values["depth"] == 3 else -1e9 + size(candidate)

    climb = Climb(Local(line(), improvement=improvement), score)
    for _ in range(60):
        climb(1)
        assert climb.local.here is None or climb.local.here.values["depth"] != 3
    assert any(candidate.values["depth"] == 3 for candidate in climb.asked)


def test_after_a_default_that_fails_it_begins_at_random() -> None:
    climb = Climb(Local(line()), lambda candidate: None)
    assert climb(3)[1:] != [line().default()] * 2
    assert climb.local.here is None


def test_several_workers_are_given_different_neighbours_and_then_random_networks() -> None:
    climb = Climb(Local(line(), improvement="best"))
    default = climb(1)[0]
    count = len(around(line(), default))
    running: tuple[Candidate, ...] = ()
    for _ in range(count + 3):
        running = (*running, climb.ask(running))
    near = {candidate.key for candidate in around(line(), default)}
    assert {candidate.key for candidate in running[:count]} == near
    assert not {candidate.key for candidate in running[count:]} & near
    for candidate in running[:count]:
        climb.tell(candidate)
    assert climb.local.here == max(around(line(), default), key=size)


@pytest.mark.parametrize("improvement", ["best", "first"])
def test_a_better_network_that_was_asked_for_elsewhere_is_gone_to(improvement: str) -> None:
    space = line()
    far = space.replay({"depth": 3, "width0": 32, "width1": 32, "width2": 32, "lr": 1e-2})
    climb = Climb(Local(space, improvement=improvement))
    climb(1)
    climb.tell(far)
    assert climb.local.here == far


def test_as_many_are_asked_for_as_neighbours_are_left() -> None:
    best, first = (Climb(Local(MLP((8,), 3), improvement=word)) for word in ("best", "first"))
    assert best.local.ahead() == first.local.ahead() == 1
    count = len(around(best.local.space, best(1)[0]))
    first(1)
    assert best.local.ahead() == count > first.local.ahead() > 1
    best(4)
    assert best.local.ahead() == count - 4


def test_it_finds_the_best_of_a_landscape_with_several_tops_sooner_than_chance() -> None:
    wanted = Line((6,), 3).replay({"depth": 3, "width0": 16, "width1": 4, "width2": 32, "lr": 1e-2})

    def score(candidate: Candidate) -> float:
        same = sum(candidate.values.get(name) == value for name, value in wanted.values.items())
        return same + 1.5 * (candidate.values["depth"] == 1)  # a second top

    needed = []
    for seed in range(20):
        local = Local(line(), start="random")
        for number in range(168):
            candidate = local.ask(np.random.default_rng((seed, number)), ())
            if candidate == wanted:
                break
            local.tell(Trial(number, candidate, 0, (score(candidate),)))
        needed.append(number)
    assert np.mean(needed) < 60  # chance without repetition would need 84 of the 168
