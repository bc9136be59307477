"""ASHA and Hyperband: who is promoted when, what the inner strategy hears, and that a search goes on where it was."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import Search
from toy import Line, Toy, line

from nas import plugins
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._rungs import levels
from strategies.asha import Asha
from strategies.evolution import Evolution
from strategies.hyperband import Hyperband

pytest_plugins = ("fixtures_run",)
NINTH, THIRD, FULL = 1 / 9, 1 / 3, 1.0


class Deal(Strategy):
    """Asks for the candidates of a space in its order, and remembers what it was told."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self.candidates, self.heard = list(space), list[Trial]()

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        return self.candidates[len(self.heard) + len(pending)]

    def tell(self, trial: Trial) -> None:
        self.heard.append(trial)


class Played:
    """ASHA on rungs of 1, 3 and 9 epochs around `Deal`: candidates are told of by their place in the deal."""

    def __init__(self, eta: int = 3) -> None:
        self.asha = Asha(line(), inner="random", eta=eta)
        self.deal = self.asha.inner = Deal(line())
        self.places = {c.lineage[:2]: n for n, c in enumerate(self.deal.candidates)}
        self.running: list[Candidate] = []
        self.trials = 0

    def ask(self) -> tuple[int, float]:
        self.running.append(self.asha.ask(np.random.default_rng(self.trials), tuple(self.running)))
        return self.place(self.running[-1])

    def place(self, candidate: Candidate) -> tuple[int, float]:
        assert candidate.horizon == FULL
        return self.places[candidate.lineage[:2]], candidate.fidelity

    def tell(self, value: float | None, at: int = 0) -> None:
        """The end of the running trial `at`; None: it has failed."""
        candidate = self.running.pop(at)
        ended = Trial(self.trials, candidate, 0, () if value is None else (value,), error="" if value is None else None)
        self.asha.tell(ended)
        self.trials += 1

    def play(self, values: Sequence[float | None]) -> list[tuple[int, float]]:
        """One worker: what is asked for, each told the next value."""
        asked = []
        for value in values:
            asked.append(self.ask())
            self.tell(value)
        return asked


def test_the_best_third_of_a_rung_is_promoted_as_soon_as_it_is_known() -> None:
    history = [0.1, 0.5, 0.3, 0.6, 0.2, 0.4, 0.45, 0.7]
    asked = Played().play(history)
    assert asked == [
        (0, NINTH),
        (1, NINTH),
        (2, NINTH),  # three are told, of 0.1, 0.5, 0.3 ...
        (1, THIRD),  # ... so the best one goes on
        (3, NINTH),
        (4, NINTH),
        (5, NINTH),  # of six the best two are 1, which is promoted, and 0.45
        (5, THIRD),
    ]


def test_the_top_rung_is_asked_for_before_all_others() -> None:
    played = Played()
    played.play([0.9, 0.1, 0.1, 0.9, 0.8, 0.1, 0.1, 0.8, 0.7, 0.1, 0.1])
    assert played.ask() == (6, THIRD)
    played.tell(0.75)  # three in the rung of a third: 0.9, 0.8, 0.75
    assert played.ask() == (0, FULL)
    played.tell(0.95)
    assert played.ask() == (9, NINTH)


def test_what_is_being_trained_on_is_not_asked_for_again() -> None:
    played = Played()
    for _ in range(6):
        played.ask()
    for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        played.tell(value)
    assert [played.ask() for _ in range(4)] == [(5, THIRD), (4, THIRD), (6, NINTH), (7, NINTH)]


def test_of_equals_the_first_that_ended_is_promoted() -> None:
    assert Played().play([0.5] * 4)[-1] == (0, THIRD)


def test_a_failure_counts_among_the_worst_and_is_never_promoted() -> None:
    asked = Played().play([None, 0.1, None, 0.2, None, None, 0.3])
    assert asked[3] == (1, THIRD)  # the best of three, two of which have failed
    assert not {(0, THIRD), (2, THIRD)} & set(asked)
    assert Played().play([None] * 8) == [(n, NINTH) for n in range(8)]


def test_a_promotion_that_fails_is_not_asked_for_again() -> None:
    asked = Played().play([0.1, 0.5, 0.3, None, 0.2, 0.2])
    assert asked[3:] == [(1, THIRD), (3, NINTH), (4, NINTH)]


def test_the_same_candidate_twice_is_one_of_its_rung() -> None:
    played = Played()
    played.play([0.5, 0.1])
    again = replace(played.deal.candidates[0], fidelity=NINTH, horizon=FULL)
    played.asha.tell(Trial(9, again, 0, (0.5,), copy_of=0))
    assert played.asha.rungs.promotion(()) is None
    assert len(played.deal.heard) == 3  # the inner strategy has asked for it, and hears of it


def test_a_result_takes_the_place_of_a_failure_and_is_ranked_with_all_others() -> None:
    played = Played()
    played.play([None, 0.5])
    again = replace(played.deal.candidates[0], fidelity=NINTH, horizon=FULL)
    played.asha.tell(Trial(9, again, 0, (0.5,)))
    assert played.asha.rungs.promotion(()) is None  # two are told
    played.play([0.5])  # three, all alike: the first of them is promoted
    assert played.ask() == (1, THIRD)


@given(st.integers(2, 4), st.integers(1, 5), st.integers(0, 10**6))
def test_whoever_is_promoted_is_among_the_best_of_its_rung_and_is_so_once(eta: int, workers: int, seed: int) -> None:
    played, rng = Played(eta), random.Random(seed)
    fidelities = played.asha.rungs.fidelities
    told: dict[float, dict[int, float]] = {fidelity: {} for fidelity in fidelities}
    asked: list[tuple[int, float]] = []

    def due(fidelity: float) -> set[int]:
        """Those that are to be promoted from here."""
        rung, above = told[fidelity], fidelities[fidelities.index(fidelity) + 1]
        best = sorted(rung, key=lambda n: -rung[n])[: len(rung) // eta]
        return {n for n in best if (n, above) not in asked}

    for _ in range(60):
        while len(played.running) < workers:
            number, fidelity = played.ask()
            wanted = [(n, fidelities[k + 1]) for k, f in enumerate(fidelities[:-1]) for n in due(f)]
            assert (number, fidelity) not in asked
            assert (number, fidelity) in wanted if wanted else fidelity == fidelities[0]
            assert fidelity == max((f for _, f in wanted), default=fidelity)
            asked.append((number, fidelity))
        at = rng.randrange(workers)
        number, fidelity = played.place(played.running[at])
        told[fidelity][number] = rng.random()
        played.tell(told[fidelity][number], at)
    assert [t.candidate.fidelity for t in played.deal.heard] == [fidelities[0]] * len(told[fidelities[0]])


@pytest.mark.parametrize(
    ("epochs", "eta", "least", "expected"),
    [
        (27, 3, 1, [1, 3, 9, 27]),
        (8, 3, 1, [1, 3, 8]),
        (8, 2, 1, [1, 2, 4, 8]),
        (8, 3, 2, [3, 8]),
        (8, 3, 8, [8]),
        (5, 2, 1, [1, 2, 5]),
        (1, 3, 1, [1]),
    ],
)
def test_rungs_are_whole_epochs_over_powers_of_eta(epochs: int, eta: int, least: int, expected: list[int]) -> None:
    assert levels(epochs, eta, least) == expected


@given(st.integers(1, 500), st.integers(2, 6), st.data())
def test_rungs_rise_from_the_least_to_a_full_training(epochs: int, eta: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(1, epochs))
    found = levels(epochs, eta, least)
    assert found == sorted(set(found))
    assert (found[0] >= least, found[-1]) == (True, epochs)
    assert [max(1, round(epochs * (e / epochs))) for e in found] == found  # as the evaluator reads a fidelity


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_no_epochs_at_least_are_refused_without_a_number_that_nobody_gave(name: str) -> None:
    with pytest.raises(ValueError, match=r"least must be at least 1, got 0$"):
        plugins.make("strategies", f"{name}:least=0", Strategy, line())


def test_more_epochs_at_least_than_a_training_has_are_refused() -> None:
    for name in ("asha", "hyperband"):
        strategy = plugins.make("strategies", f"{name}:least=12", Strategy, line())
        strategy.plan(20)
        with pytest.raises(ValueError, match=r"least must be in 1\.\.epochs of a full training \(8\), got 12"):
            strategy.plan(8)


def test_options_of_the_inner_strategy_are_given_with_a_dot() -> None:
    made = plugins.make("strategies", "asha:inner.population=4,eta=2,inner.sample=3", Strategy, line())
    assert isinstance(made.inner, Evolution)
    assert (made.eta, made.inner.population.maxlen, made.inner.sample) == (2, 4, 3)
    named = plugins.make("strategies", "asha:inner=strategies.evolution:Evolution,inner.sample=3", Strategy, line())
    assert isinstance(named.inner, Evolution)
    with pytest.raises(ValueError, match=r"strategy evolution has no option 'size'; "):
        plugins.make("strategies", "asha:inner.size=4", Strategy, line())


def test_evolution_breeds_from_values_of_one_fidelity_alone(search: Search) -> None:
    strategy = Asha(line(), inner="evolution:population=4,sample=2")
    trials = search(strategy, trials=40, evaluator=Toy(failing=False))
    assert isinstance(strategy.inner, Evolution)
    assert {t.candidate.fidelity for t in trials} == {NINTH, THIRD, FULL}
    assert {t.candidate.fidelity for t in strategy.inner.population} == {NINTH}


def test_hyperband_begins_candidates_in_all_brackets_in_proportion(search: Search) -> None:
    strategy = Hyperband(Line((50,), 3), inner="random")
    assert strategy.shares == [9, 5, 3]
    search(strategy, trials=150, space=Line((50,), 3), evaluator=Toy(failing=False))
    total = strategy.begun.total()
    assert all(abs(strategy.begun[b] - total * share / 17) <= 2 for b, share in enumerate(strategy.shares))


def test_hyperband_begins_a_candidate_in_the_bracket_that_it_would_leave_furthest_behind() -> None:
    strategy, pending = Hyperband(line()), list[Candidate]()  # brackets of 9, 5 and 3 in 17
    for number in range(17):
        pending.append(strategy.ask(np.random.default_rng(number), pending))
    begun = [strategy.begins.index(candidate.fidelity) for candidate in pending]
    assert begun[:5] == [0, 1, 0, 0, 2]  # by (begun + 1) / share: 1/9, 1/5, 2/9, 3/9 and 1/3
    assert [begun.count(bracket) for bracket in range(3)] == [9, 5, 3]


def test_a_network_that_two_brackets_draw_is_trained_once_and_neither_waits_for_it(search: Search) -> None:
    strategy = Hyperband(line(), inner="evolution")  # each bracket begins with the space's default network
    trials = search(strategy, trials=30, evaluator=Toy(failing=False))
    assert len({t.candidate.key for t in trials if t.copy_of is None}) == sum(t.copy_of is None for t in trials)
    assert sum(t.copy_of is not None for t in trials) < 10
    assert all(strategy.begun[b] for b in range(3))
