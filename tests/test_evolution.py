"""Regularised evolution, line by line of its algorithm."""

from __future__ import annotations

import numpy as np
import pytest

from nas.space import Candidate, SearchSpace
from nas.trial import Trial
from strategies.evolution import Evolution

VALUES = (9.0, 3.0, 5.0, 1.0, 4.0, 2.0)


@pytest.fixture
def space(cells: type[SearchSpace], monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    """A space whose mutation gives back the parent, so that a test sees which parent was taken."""
    found = cells((6,), 3)
    monkeypatch.setattr(found, "mutate", lambda parent, rng: parent)
    return found


def tell(evolution: Evolution, *values: float | None) -> list[Candidate]:
    """Trials of as many different candidates, None for one that failed."""
    candidates: list[Candidate] = []
    rng = np.random.default_rng(8)
    while len(candidates) < len(values):
        if (candidate := evolution.space.sample(rng)) not in candidates:
            candidates.append(candidate)
    for number, (candidate, value) in enumerate(zip(candidates, values, strict=True)):
        if value is None:
            evolution.tell(Trial(number, candidate, 0, error="out of memory"))
        else:
            evolution.tell(Trial(number, candidate, 0, values=(value,)))
    return candidates


def parents(evolution: Evolution, asks: int = 60) -> list[Candidate]:
    return [evolution.ask(np.random.default_rng(seed), ()) for seed in range(asks)]


def test_the_oldest_dies_however_good(space: SearchSpace) -> None:
    evolution = Evolution(space, population=3, sample=3)
    candidates = tell(evolution, *VALUES)  # 1, 4 and 2 live
    assert parents(evolution) == [candidates[4]] * 60


def test_a_tournament_of_all_is_won_by_the_best(space: SearchSpace) -> None:
    evolution = Evolution(space, population=6, sample=6)
    candidates = tell(evolution, *VALUES)
    assert parents(evolution) == [candidates[0]] * 60


def test_a_tournament_of_one_lets_everybody_win(space: SearchSpace) -> None:
    evolution = Evolution(space, population=6, sample=1)
    candidates, winners = tell(evolution, *VALUES), parents(evolution, 300)
    assert all(30 <= winners.count(candidate) <= 70 for candidate in candidates)


def test_a_tournament_draws_different_entrants(space: SearchSpace) -> None:
    evolution = Evolution(space, population=6, sample=2)
    candidates, winners = tell(evolution, *VALUES), parents(evolution, 300)
    assert candidates[3] not in winners  # the worst of all never wins against another
    assert winners.count(candidates[0]) == pytest.approx(100, abs=25)  # the best is drawn in 2 of 6 tournaments


def test_the_failed_have_no_children_and_take_no_place(space: SearchSpace) -> None:
    evolution = Evolution(space, population=3, sample=3)
    candidates = tell(evolution, 9.0, 3.0, 5.0, None, None, None)
    assert parents(evolution) == [candidates[0]] * 60


def test_until_the_population_is_full_candidates_are_drawn_at_random(space: SearchSpace) -> None:
    evolution = Evolution(space, population=6, sample=6, start="random")
    candidates = tell(evolution, *VALUES[:4])
    fresh = [space.sample(np.random.default_rng(seed)) for seed in range(60)]
    assert parents(evolution) == fresh
    running = (candidates[0], candidates[1])  # with those pending it is full: four told and two to come
    assert evolution.ask(np.random.default_rng(0), running) == candidates[0] != fresh[0]


def test_the_first_network_is_the_default_and_every_other_one_is_near_it(cells: type[SearchSpace]) -> None:
    evolution, default = Evolution(cells((6,), 3), population=8, sample=2), cells((6,), 3).default()
    assert parents(evolution, 5) == [default] * 5
    near = []
    for number in range(8):
        candidate = evolution.ask(np.random.default_rng(number), ())
        shared = sum(default.values.get(name) == value for name, value in candidate.values.items())
        near.append(shared >= len(candidate.values) - 6)  # three mutations and what follows from them
        fresh = evolution.space.sample(np.random.default_rng(number))
        assert (candidate == fresh) is (number % 2 == 1)
        evolution.tell(Trial(number, candidate, 0, (0.5,)))
    assert all(near[::2])


def test_while_the_first_is_running_the_second_is_another(space: SearchSpace) -> None:
    evolution = Evolution(space)
    first = evolution.ask(np.random.default_rng(0), ())
    assert evolution.ask(np.random.default_rng(1), (first,)) == space.sample(np.random.default_rng(1))


def test_a_child_is_a_mutation_of_its_parent(cells: type[SearchSpace]) -> None:
    evolution = Evolution(cells((6,), 3), population=6, sample=6)
    best = tell(evolution, *VALUES)[0]
    children = parents(evolution)
    assert children == [evolution.space.mutate(best, _after_a_tournament(seed)) for seed in range(60)]
    assert best not in children


def _after_a_tournament(seed: int) -> np.random.Generator:
    """The generator where a tournament of six among six, and the coin of crossover, have left it."""
    rng = np.random.default_rng(seed)
    rng.choice(6, size=6, replace=False)
    rng.random()
    return rng


def test_with_crossover_every_decision_is_that_of_one_of_two_parents(space: SearchSpace) -> None:
    evolution = Evolution(space, population=2, sample=1, crossover=1.0)
    a, b = tell(evolution, 1.0, 2.0)
    children = parents(evolution)
    assert any(child not in (a, b) for child in children)
    for child in children:
        for name, value in child.values.items():
            inherited = {parent.values[name] for parent in (a, b) if name in parent.values}
            assert value in inherited or not inherited
