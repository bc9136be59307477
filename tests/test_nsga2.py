"""NSGA-II: who dominates whom, who is crowded, who lives."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import line

from nas.objectives import dominates, front
from nas.space import Candidate
from nas.trial import Trial
from strategies.nsga2 import NSGA2, crowded_order, crowding, fronts

HAND_MADE = np.array([[1, 5], [2, 3], [4, 1], [1, 3], [2, 1], [0, 0], [4, 1]], dtype=float)
rows = st.integers(1, 3).flatmap(lambda m: st.lists(st.tuples(*[st.integers(0, 4)] * m), min_size=1, max_size=14))


def told(values: list[tuple[float, ...]], strategy: NSGA2) -> list[Candidate]:
    """Different candidates, one for each of the values; None of them where there are none is a failure."""
    candidates = list(line())[: len(values)]
    for number, (candidate, value) in enumerate(zip(candidates, values, strict=True)):
        strategy.tell(Trial(number, candidate, 0, value, error=None if value else "out of memory"))
    return candidates


def test_hand_made_fronts_are_found() -> None:
    assert fronts(HAND_MADE) == [[0, 1, 2, 6], [3, 4], [5]]
    assert fronts(np.array([[1.0], [3.0], [2.0], [3.0]])) == [[1, 3], [2], [0]]


@given(rows)
def test_a_row_s_front_is_the_longest_chain_of_those_that_dominate_it(values: list[tuple[int, ...]]) -> None:
    def rank(row: tuple[int, ...]) -> int:
        return max((1 + rank(other) for other in values if dominates(other, row)), default=0)

    found = fronts(np.array(values, dtype=float))
    assert sorted(n for front in found for n in front) == list(range(len(values)))
    assert all(rank(values[n]) == r for r, front in enumerate(found) for n in front)


@given(rows)
def test_the_front_of_trials_is_that_of_brute_force(values: list[tuple[int, ...]]) -> None:
    candidate = line().default()
    trials = [Trial(n, candidate, 0, tuple(map(float, row))) for n, row in enumerate(values)]
    trials += [
        Trial(99, candidate, 0, error="out of memory"),
        Trial(98, candidate, 0, trials[0].values, copy_of=0),
    ]
    wanted = [n for n, row in enumerate(values) if not any(dominates(other, row) for other in values)]
    found = front(trials)
    assert sorted(trial.number for trial in found) == wanted
    assert [trial.value for trial in found] == sorted((trial.value for trial in found), reverse=True)


def test_the_ends_of_a_front_are_never_crowded_and_the_others_by_their_neighbours() -> None:
    found = crowding(np.array([[0, 10], [1, 9], [5, 5], [10, 0]], dtype=float))
    assert found[[0, 3]].tolist() == [np.inf, np.inf]
    assert found[1] == pytest.approx(0.5 + 0.5)
    assert found[2] == pytest.approx(0.9 + 0.9)
    assert crowding(np.array([[2.0, 2.0]])).tolist() == [np.inf]
    assert crowding(np.full((4, 2), 2.0))[1:3].tolist() == [0, 0]  # all alike: no spread to divide by


def test_of_equal_rank_the_less_crowded_comes_first() -> None:
    values = np.array([[0, 10], [1, 9], [2, 8], [7, 4], [10, 0], [0, 0]], dtype=float)
    assert crowded_order(values) == [0, 4, 3, 2, 1, 5]


def test_the_worst_dies_however_young() -> None:
    strategy = NSGA2(line(), population=3)
    candidates = told([(1.0, 9.0), (9.0, 1.0), (5.0, 5.0), (0.0, 0.0), (), (6.0, 6.0)], strategy)
    assert {str(t.candidate.values) for t in strategy.population} == {str(candidates[n].values) for n in (0, 1, 5)}


def test_a_network_that_is_told_twice_lives_once() -> None:
    strategy, candidate = NSGA2(line(), population=4), line().default()
    for number in range(3):
        strategy.tell(Trial(number, candidate, 0, (1.0, 1.0), copy_of=0 if number else None))
    assert [trial.number for trial in strategy.population] == [0]


def test_parents_win_tournaments_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    space = line()
    monkeypatch.setattr(space, "mutate", lambda parent, rng: parent)
    strategy = NSGA2(space, population=4, crossover=0.0)
    candidates = told([(4.0,), (3.0,), (2.0,), (1.0,)], strategy)
    won = [strategy.ask(np.random.default_rng(seed), ()) for seed in range(800)]
    shares = [sum(w is c for w in won) / 800 for c in candidates]
    assert shares == pytest.approx([7 / 16, 5 / 16, 3 / 16, 1 / 16], abs=0.06)


def test_children_are_networks_that_nobody_has_asked_for() -> None:
    strategy = NSGA2(line(), population=4)
    candidates = told([(4.0, 1.0), (3.0, 2.0), (2.0, 3.0), (1.0, 4.0)], strategy)
    asked = {candidate.key for candidate in candidates}
    running: tuple[Candidate, ...] = ()
    for number in range(20):
        running = (*running, strategy.ask(np.random.default_rng(number), running))
    assert len(asked | {candidate.key for candidate in running}) == 24


@pytest.mark.parametrize("objectives", [1, 2])
def test_it_comes_nearer_to_the_front_than_chance(objectives: int) -> None:
    def score(candidate: Candidate) -> tuple[float, ...]:
        """As deep as can be, with widths that fall by halves; and as few parameters as can be."""
        widths = [float(v) for name, v in candidate.values.items() if name.startswith("width")]  # type: ignore[arg-type]
        shape = sum(b == a / 2 for a, b in pairwise(widths)) + len(widths)
        return (float(shape), -float(candidate.architecture.num_params))[:objectives]

    def best(strategy: Any, seed: int) -> float:
        trials: list[Trial] = []
        for number in range(45):
            candidate = strategy.ask(np.random.default_rng((seed, number)), ())
            trials.append(Trial(number, candidate, 0, score(candidate)))
            strategy.tell(trials[-1])
        ranks = {t.values for t in trials}
        return float(np.mean([not any(dominates(o, values) for o in ranks) for values in everything]))

    everything = sorted({score(candidate) for candidate in line()})
    learned = [best(NSGA2(line(), population=8, start="random"), seed) for seed in range(10)]
    chance = [
        best(NSGA2(line(), population=99, start="random"), seed) for seed in range(10)
    ]  # never past its first one
    assert np.mean(learned) < np.mean(chance)
