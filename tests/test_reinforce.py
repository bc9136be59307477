"""The controller: what is rewarded becomes likely, what is masked never comes, the baseline moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nas.budget import Budget
from nas.narrow import Narrowing
from nas.ops import Scalar
from nas.space import Answer, Candidate, SearchSpace, weighted
from nas.trial import Trial
from strategies._policy import Replay, RollOut, decisions
from strategies.reinforce import Reinforce

Values = Callable[[Candidate], float]


def learn(reinforce: Reinforce, value: Values, trials: int) -> None:
    for number in range(trials):
        candidate = reinforce.ask(np.random.default_rng((1, number)), ())
        reinforce.tell(Trial(number, candidate, 0, values=(value(candidate),)))


def takes(name: str, option: Scalar) -> Values:
    return lambda candidate: float(candidate.values.get(name) == option)


def share(reinforce: Reinforce, value: Values, asks: int = 100) -> float:
    return float(np.mean([value(reinforce.ask(np.random.default_rng((2, seed)), ())) for seed in range(asks)]))


def chances(reinforce: Reinforce) -> list[float]:
    """Of the options at the first fork of the `cells` space, as the controller sees them."""
    odds = RollOut(reinforce.policy).odds("stem", (12, 4, 8))
    return [each / sum(odds) for each in odds]


def told(reinforce: Reinforce, *values: float | None) -> None:
    candidate = reinforce.space.sample(np.random.default_rng(0))
    for number, value in enumerate(values):
        found = Trial(number, candidate, 0, error="failed") if value is None else Trial(number, candidate, 0, (value,))
        reinforce.tell(found)


def test_before_anything_is_told_every_option_is_as_likely(cells: type[SearchSpace]) -> None:
    assert chances(Reinforce(cells((6,), 3))) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(("name", "option"), [("stem", 4), ("cells", 0), ("lr", 1e-2)])
def test_what_is_rewarded_becomes_likely(cells: type[SearchSpace], name: str, option: Scalar) -> None:
    reinforce, rewarded = Reinforce(cells((6,), 3)), takes(name, option)
    before = share(reinforce, rewarded)
    learn(reinforce, rewarded, 150)
    assert before < 0.7 < 0.85 < share(reinforce, rewarded)


def test_what_is_punished_becomes_unlikely(cells: type[SearchSpace]) -> None:
    reinforce, punished = Reinforce(cells((6,), 3)), takes("stem", 12)
    learn(reinforce, lambda candidate: -100 * punished(candidate), 150)
    assert share(reinforce, punished) < 0.1


def test_what_is_likely_depends_on_the_choices_before_it(cells: type[SearchSpace]) -> None:
    """Rewarded is the number of cells that goes with the stem, and the stems take turns: no habit is good for all."""
    stems, goes_with, values = (12, 4, 8), {12: 2, 4: 0, 8: 3}, []
    reinforce = Reinforce(cells((6,), 3))
    for turn in range(240):
        stem = stems[turn % 3]
        candidate = reinforce.space.draw(with_stem(reinforce, stem, np.random.default_rng((1, turn))))
        values.append(float(candidate.values["cells"] == goes_with[stem]))
        reinforce.tell(Trial(turn, candidate, 0, values=(values[-1],)))
    assert np.mean(values[-90:]) > 0.8


def with_stem(reinforce: Reinforce, stem: int, rng: np.random.Generator) -> Answer:
    """As the controller answers, but for the stem."""
    roll_out = RollOut(reinforce.policy)

    def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
        if len(options) == 1:
            return 0
        odds = roll_out.odds(name, options)
        index = options.index(stem) if name == "stem" else weighted(odds, rng)
        roll_out.word = reinforce.policy.row(name, options[index])
        return index

    return answer


def test_what_does_not_fit_is_never_taken_however_well_rewarded(cells: type[SearchSpace]) -> None:
    reinforce, rewarded = Reinforce(cells((6,), 3)), takes("stem", 12)
    learn(reinforce, rewarded, 150)
    assert share(reinforce, rewarded) > 0.85
    reinforce.space = cells((6,), 3, Budget(80))  # a stem of 12 costs 84 parameters
    assert share(reinforce, rewarded) == 0
    assert share(reinforce, takes("stem", 4)) > 0


def test_nothing_is_learned_before_a_batch_is_full(cells: type[SearchSpace]) -> None:
    reinforce = Reinforce(cells((6,), 3), batch=3)
    told(reinforce, 1.0, 0.0)
    assert chances(reinforce) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert reinforce.mean == 0
    before = reinforce.policy.numbers.copy()
    told(reinforce, 0.5)
    assert not np.array_equal(before, reinforce.policy.numbers)


def test_the_baseline_is_the_moving_average_of_the_rewards(cells: type[SearchSpace]) -> None:
    reinforce, rewards, expected = Reinforce(cells((6,), 3), decay=0.8), (0.5, 0.9, 0.1, 0.7), 0.5
    for reward in rewards:
        told(reinforce, reward)
        expected = 0.8 * expected + 0.2 * reward
        assert reinforce.mean == pytest.approx(expected)


def test_a_failure_counts_as_the_worst_seen_and_none_seen_teaches_nothing(cells: type[SearchSpace]) -> None:
    reinforce = Reinforce(cells((6,), 3), decay=0.5)
    before = reinforce.policy.numbers.copy()
    told(reinforce, None, None)
    assert np.array_equal(before, reinforce.policy.numbers)
    told(reinforce, -8.0, -4.0, None)
    assert reinforce.mean == pytest.approx(-7.0)  # -8, then between -8 and -4, then between -6 and -8


@pytest.mark.parametrize(("copy_of", "likelier"), [(None, True), (0, False)])
def test_a_good_network_becomes_likely_unless_it_is_known(
    cells: type[SearchSpace], copy_of: int | None, likelier: bool
) -> None:
    reinforce = Reinforce(cells((6,), 3))
    told(reinforce, 0.0, 0.5)
    again = Trial(2, reinforce.space.sample(np.random.default_rng(3)), 0, (1.0,), copy_of=copy_of)
    chosen = [decisions(again.candidate.choices)]
    before = Replay(reinforce.policy, chosen)
    reinforce.tell(again)
    after = Replay(reinforce.policy, chosen)
    assert (after.log_probs[after.taken].sum() > before.log_probs[before.taken].sum()) == likelier


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_objective_does_not_matter(cells: type[SearchSpace], scale: float) -> None:
    one, other = Reinforce(cells((6,), 3)), Reinforce(cells((6,), 3))
    rewarded = takes("stem", 8)
    learn(one, rewarded, 40)
    learn(other, lambda candidate: scale * rewarded(candidate) + 3 * scale, 40)
    assert chances(other) == pytest.approx(chances(one), rel=1e-2)


def test_an_update_stays_finite_where_all_rewards_are_equal(cells: type[SearchSpace]) -> None:
    reinforce = Reinforce(cells((6,), 3))
    learn(reinforce, lambda candidate: 0.25, 30)
    assert np.isfinite(reinforce.policy.numbers).all()


def test_a_search_with_nothing_left_to_choose_is_no_failure(cells: type[SearchSpace]) -> None:
    values = cells((6,), 3).sample(np.random.default_rng(0)).values
    space = cells((6,), 3).on((), {}, Narrowing({name: (value,) for name, value in values.items()}))
    learn(Reinforce(space), lambda candidate: 1.0, 30)


def preference(reinforce: Reinforce) -> float:
    """Tell of two networks: by how much more the log of the better one's chance has grown than the other's."""
    trials = [Trial(n, reinforce.space.sample(np.random.default_rng(n)), 0, (1.0 - n,)) for n in (0, 1)]

    def lead() -> float:
        replays = (Replay(reinforce.policy, [decisions(trial.candidate.choices)]) for trial in trials)
        better, worse = (float(replay.log_probs[replay.taken].sum()) for replay in replays)
        return better - worse

    reinforce.tell(trials[0])
    before = lead()  # one of a batch of two changes nothing yet
    reinforce.tell(trials[1])
    return lead() - before


def test_several_passes_over_a_batch_learn_more_of_it_than_one(cells: type[SearchSpace]) -> None:
    once, often = (preference(Reinforce(cells((6,), 3), batch=2, passes=passes)) for passes in (1, 4))
    assert often > 2 * once


def test_many_passes_change_little_more_than_the_ratio_allows(
    cells: type[SearchSpace], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = preference(Reinforce(cells((6,), 3), batch=2, passes=40))
    monkeypatch.setattr("strategies.reinforce.RATIO", 1e9)
    assert preference(Reinforce(cells((6,), 3), batch=2, passes=40)) > 3 * held


def test_what_was_best_once_is_imitated_long_after(cells: type[SearchSpace]) -> None:
    shares = []
    for imitation in (0.0, 1.0):
        reinforce = Reinforce(cells((6,), 3), imitation=imitation)
        drawn = (reinforce.space.sample(np.random.default_rng(seed)) for seed in range(99))
        first = next(candidate for candidate in drawn if candidate.values["stem"] == 4)
        reinforce.tell(Trial(0, first, 0, values=(1.0,)))
        learn(reinforce, lambda candidate: 0.0, 60)
        shares.append(share(reinforce, takes("stem", 4)))
    assert shares[0] < 0.6 < shares[1]
