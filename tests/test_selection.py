"""The final selection: means of fresh seeds, their intervals, and the difference from random search."""

from __future__ import annotations

from dataclasses import replace
from statistics import pstdev

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from toy import line

from nas.selection import Difference, Finalist, against_random, difference, finalists_of
from nas.space import Candidate
from nas.trial import Trial, best_first

SPACE = line()
accuracies = st.lists(st.floats(0, 1).map(lambda v: round(v, 4)), min_size=2, max_size=6)


def candidate(width: int = 16, fidelity: float = 4.0) -> Candidate:
    return replace(SPACE.replay({"depth": 1, "lr": 1e-3, "width0": width}), fidelity=fidelity)


def trained(width: int, *values: float, first: int = 0) -> list[Trial]:
    """Final trainings of a network, a seed each."""
    return [Trial(first + n, candidate(width), first + n, (value,)) for n, value in enumerate(values)]


def test_the_network_with_the_best_mean_comes_first_and_not_the_one_with_the_best_seed() -> None:
    lucky, steady = trained(4, 0.99, 0.80, 0.85), trained(8, 0.95, 0.94, 0.96, first=3)
    found = finalists_of([*lucky, *steady])
    assert [finalist.trials for finalist in found] == [tuple(steady), tuple(lucky)]
    assert found[0].mean == pytest.approx(0.95)
    assert found[0].best is steady[2]


def test_of_networks_that_are_as_accurate_the_cheaper_comes_first_whatever_its_size() -> None:
    slow, fast = (replace(trained(width, 0.9)[0], values=(0.9, -ms)) for width, ms in ((4, 2.0), (8, 1.0)))
    assert slow.params < fast.params
    assert best_first([slow, fast]) == [fast, slow]
    assert [finalist.best for finalist in finalists_of([slow, fast])] == [fast, slow]


def test_the_interval_is_students() -> None:
    """By hand: 0.94, 0.95, 0.96 has s = 0.01; t(0.975, 2) = 4.3027; 4.3027 * 0.01 / sqrt(3) = 0.02484."""
    assert Finalist(tuple(trained(4, 0.94, 0.95, 0.96))).half_width == pytest.approx(0.02484, abs=1e-5)
    assert Finalist(tuple(trained(4, 0.94))).half_width is None


def test_trainings_that_failed_count_for_nothing() -> None:
    failed = Trial(9, candidate(32), 9, error="failed")
    assert finalists_of([failed]) == []
    assert len(finalists_of([*trained(4, 0.9), replace(failed, candidate=candidate(4))])[0].trials) == 1


def test_a_difference_needs_two_seeds_each_to_be_told_from_chance() -> None:
    alone = difference([0.95], [0.90, 0.91])
    assert alone == Difference(pytest.approx(0.045))
    assert alone.significant is None
    assert "nothing can be said of chance" in str(alone)
    near, far = difference([0.95, 0.90], [0.91, 0.94]), difference([0.95, 0.951, 0.949], [0.90, 0.901, 0.899])
    assert (near.significant, far.significant) == (False, True)
    assert str(far).startswith("+5.00 points (95 % interval +4.")
    assert str(far).endswith(": significant")
    assert str(near).endswith(": not significant")


def test_seeds_that_all_agree_say_nothing_of_chance() -> None:
    """Few seeds, few samples: that two figures agree is no proof that a third would."""
    assert difference([0.9, 0.9], [0.8, 0.8]) == Difference(pytest.approx(0.1))
    assert Finalist(tuple(trained(4, 0.9, 0.9))).half_width is None
    assert difference([0.9, 0.9], [0.8, 0.81]).significant is not None


def test_a_network_that_fails_with_a_seed_comes_after_all_that_do_not() -> None:
    broken = [*trained(4, 0.99, 0.99), Trial(9, candidate(4), 9, error="diverged")]
    found = finalists_of([*broken, *trained(8, 0.7, 0.7, 0.7, first=3)])
    assert [(finalist.mean, finalist.failed) for finalist in found] == [(pytest.approx(0.7), 0), (0.99, 1)]


@given(accuracies, accuracies)
def test_the_interval_of_a_difference_is_welchs(ours: list[float], theirs: list[float]) -> None:
    assume(min(pstdev(ours), pstdev(theirs)) > 1e-3)
    found = difference(ours, theirs)
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_the_searchs_best_is_compared_with_random_searchs_as_each_saw_it() -> None:
    searched = [Trial(0, candidate(4, 1.0), 0, (0.9,)), Trial(1, candidate(8, 1.0), 0, (0.95,))]
    random = [Trial(0, candidate(16, 1.0), 0, (0.85,))]
    final = [*trained(4, 0.99, 0.99), *trained(8, 0.93, 0.94, first=2), *trained(16, 0.90, 0.91, first=4)]
    compared = against_random(searched, random, final)
    assert compared is not None
    ours, theirs, by = compared
    assert (ours.values, theirs.values) == ([0.93, 0.94], [0.90, 0.91])
    assert by.value == pytest.approx(0.03)
    assert against_random(searched, [], final) is None
    assert against_random(searched, random, final[:4]) is None
    same = against_random(searched, searched, final)
    assert same is not None
    assert same[0] is same[1]
