"""Coarse to fine: rounds, what is trained in full, and that the beginning of a training is not lost."""

from __future__ import annotations

import numpy as np
import pytest
from toy import line, score

from nas.space import Candidate
from nas.strategy import Exhausted
from nas.trial import Trial
from strategies.coarse_to_fine import CoarseToFine

LOW = 2 / 8  # of eight epochs


def play(strategy: CoarseToFine, trials: int, failing: bool = False) -> list[Candidate]:
    strategy.plan(8)
    asked = []
    for number in range(trials):
        asked.append(strategy.ask(np.random.default_rng((0, number)), ()))
        values = () if failing else (score(asked[-1]),)
        strategy.tell(Trial(number, asked[-1], 0, values, error="failed" if failing else None))
    return asked


def test_rounds_grow_and_begin_with_few_epochs() -> None:
    asked = play(CoarseToFine(line(), first=4, coarse=0.5), 28)
    expected = [LOW] * 2 + [1.0] * 2 + [LOW] * 4 + [1.0] * 4 + [LOW] * 8 + [1.0] * 8
    assert [candidate.fidelity for candidate in asked] == expected


def test_a_single_round_trains_the_best_in_full_and_then_their_neighbours() -> None:
    asked = play(CoarseToFine(line(), first=20, coarse=0.6, best=3), 20)
    coarse, fine = asked[:12], asked[12:]
    ranked = sorted({c.lineage: c for c in coarse}.values(), key=score, reverse=True)
    assert [c.lineage for c in fine[:3]] == [c.lineage for c in ranked[:3]]
    for neighbour in fine[3:]:
        assert any(changes(parent, neighbour) <= 1 for parent in fine if parent is not neighbour)


def changes(a: Candidate, b: Candidate) -> int:
    """Decisions that both have, and answer differently."""
    return sum(a.values[name] != b.values[name] for name in a.values.keys() & b.values.keys())


def test_all_trainings_are_on_the_schedule_of_a_full_one() -> None:
    assert {candidate.horizon for candidate in play(CoarseToFine(line()), 24)} == {1.0}


def test_the_inner_strategy_hears_of_coarse_trials_alone() -> None:
    strategy = CoarseToFine(line(), inner="evolution:population=50,sample=2", first=20)
    asked = play(strategy, 20)
    heard = [trial.candidate for trial in strategy.inner.population]  # type: ignore[attr-defined]  # of evolution
    assert heard == [candidate for candidate in asked if candidate.fidelity == LOW]


def test_where_no_other_network_is_left_the_best_are_trained_in_full() -> None:
    strategy = CoarseToFine(line(), inner="grid", first=400)
    asked = play(strategy, 168 + 5)
    assert [candidate.fidelity for candidate in asked] == [LOW] * 168 + [1.0] * 5


def test_a_search_around_a_grid_ends_where_it_asks_for_nothing_new() -> None:
    assert not CoarseToFine(line(), inner="grid").exhaustive


def test_what_is_being_trained_in_full_is_not_asked_for_again() -> None:
    strategy = CoarseToFine(line(), first=8, coarse=0.5, best=3)
    asked = play(strategy, 4)
    assert len({candidate.lineage for candidate in asked}) >= 3
    pending: list[Candidate] = []
    for number in range(4, 7):
        pending.append(strategy.ask(np.random.default_rng((0, number)), pending))
    ranked = sorted({c.lineage: c for c in asked}.values(), key=score, reverse=True)
    assert [candidate.lineage for candidate in pending] == [candidate.lineage for candidate in ranked[:3]]


def test_nobody_is_trained_in_full_before_all_of_the_coarse_round_are_known() -> None:
    strategy, asked = CoarseToFine(line(), first=8, coarse=0.5, best=3), list[Candidate]()
    for number in range(4):
        asked.append(strategy.ask(np.random.default_rng((0, number)), asked))
    for ended in range(4):
        with pytest.raises(Exhausted):
            strategy.ask(np.random.default_rng((0, 4)), asked[ended:])
        strategy.tell(Trial(ended, asked[ended], 0, (score(asked[ended]),)))
    assert strategy.ask(np.random.default_rng((0, 4)), []).lineage == max(asked, key=score).lineage


def test_one_epoch_leaves_one_fidelity() -> None:
    strategy = CoarseToFine(line(), first=4)
    strategy.plan(1)
    assert strategy.ask(np.random.default_rng(0), ()).fidelity == 1.0


def test_where_every_training_has_failed_it_goes_on_with_few_epochs() -> None:
    assert {candidate.fidelity for candidate in play(CoarseToFine(line(), first=4), 12, failing=True)} == {LOW}
