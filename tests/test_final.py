"""Pace and final training: what a deadline does to a search, and what becomes of the best networks after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finals import SPACE, candidate, trial
from toy import Toy, score

from nas.executors.inline import Inline
from nas.final import FinalTraining
from nas.finalists import (
    Again,
)
from nas.pace import CALLS, TRIALS, Pace
from nas.space import Candidate
from nas.store import TrialLog
from nas.trial import Trial, best_first


def test_a_cheap_network_is_trained_in_full_and_an_expensive_one_for_fewer_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CALLS, "cpu", 1e-7)  # as if these were large networks
    small, large = candidate(1, 4), candidate(3, 32)
    pace = Pace(seconds=TRIALS, slots=1, samples=8000, epochs=8)
    pace.told(trial(0, large, seconds=8.0, epochs=8))  # a second an epoch, and a trial may take one
    assert pace(large).fidelity == 1 / 8
    assert pace(small).fidelity > 1 / 8
    richer = Pace(seconds=100 * TRIALS, slots=1, samples=8000, epochs=8)
    richer.told(trial(0, large, seconds=8.0, epochs=8))
    assert richer(large) == large


def test_small_batches_are_more_steps_and_so_fewer_epochs() -> None:
    few, many = (replace(c := candidate(), recipe=replace(c.recipe, batch_size=size)) for size in (512, 32))
    pace = Pace(seconds=TRIALS, slots=1, samples=10**7, epochs=100)
    assert pace(few).fidelity > 4 * pace(many).fidelity


def test_twice_the_workers_give_twice_the_epochs() -> None:
    large, found = candidate(3, 32), []
    for slots in (2, 4):
        pace = Pace(seconds=TRIALS, slots=slots, samples=8000, epochs=8)
        pace.told(trial(0, large, seconds=8.0, epochs=8))
        found.append(pace(large).fidelity)
    assert found == [2 / 8, 4 / 8]


def test_pace_learns_nothing_from_failures_and_copies() -> None:
    pace = Pace(seconds=10, slots=1, samples=8000, epochs=8)
    before = pace(candidate(3, 32))
    pace.told(Trial(0, candidate(), 0, error="failed"))
    pace.told(replace(trial(1, candidate(), seconds=0.0), copy_of=0))
    assert pace(candidate(3, 32)) == before


def test_pace_never_gives_more_than_the_strategy_asked_for() -> None:
    asked = replace(candidate(), fidelity=0.25)
    assert Pace(seconds=1e9, slots=1, samples=10, epochs=8)(asked).fidelity == 0.25


@pytest.fixture
def final(tmp_path: Path) -> Iterator[Callable[..., FinalTraining]]:
    logs: list[TrialLog] = []

    def make(evaluator: Any) -> FinalTraining:
        logs.append(TrialLog(tmp_path / "final.jsonl", SPACE))
        places = (lambda n: tmp_path / f"{n}.weights", lambda n: live / f"{n}.jsonl", tmp_path / "errors.log")
        return FinalTraining(logs[-1], Inline(evaluator), 0, 1, *places)

    live = tmp_path / "live"
    live.mkdir()
    yield make
    for log in logs:
        log.close()


class Leaving(Toy):
    """Leaves weights behind, as a training does; may fail."""

    def __call__(self, job: Any) -> Any:
        outcome = super().__call__(job)
        job.weights.write_text("weights")
        return outcome


def again(number: int, found: Candidate, epochs: int = 4, seeds: int = 1) -> Again:
    return Again(trial(number, found), epochs, seeds)


def test_finalists_are_trained_on_everything_with_seeds_of_their_own(final: Callable[..., FinalTraining]) -> None:
    toy = Leaving(failing=False)
    chosen = [again(5, candidate(1, 4), seeds=2), again(2, candidate(2, 8), epochs=2)]
    found = final(toy).run(chosen)
    one, two = (replace(a.trial.candidate, fidelity=float(a.epochs)) for a in chosen)
    assert [t.candidate for t in found] == [one, one, two]
    assert [t.value for t in found] == [score(t.candidate) for t in found]
    assert all(job.final for job in toy.jobs)
    assert len({job.seed for job in toy.jobs}) == 3
    assert [job.candidate for job in toy.jobs] == [one, two, one]  # every network's first seed comes first


def test_a_final_training_that_has_ended_is_not_repeated(final: Callable[..., FinalTraining], tmp_path: Path) -> None:
    one, two = again(5, candidate(1, 4)), again(2, candidate(2, 8))
    first = Leaving(failing=False)
    before = final(first).run([one])
    more = Leaving(failing=False)
    after = final(more).run([two, replace(one, seeds=2)])
    assert len(more.jobs) == 2
    assert after[1] == before[0]
    assert after[2].seed != before[0].seed
    (tmp_path / f"{before[0].number}.weights").unlink()
    lost = Leaving(failing=False)
    assert final(lost).run([replace(one, seeds=2)]) == after[1:]  # the test trains it again with the same seed
    assert not lost.jobs


def test_a_final_training_that_fails_is_recorded_and_the_other_counts(final: Callable[..., FinalTraining]) -> None:
    class Half(Leaving):
        def __call__(self, job: Any) -> Any:
            if job.candidate.values["depth"] == 1:
                raise ArithmeticError("the loss is not finite")
            return super().__call__(job)

    found = final(Half(failing=False)).run([again(5, candidate(1, 4)), again(2, candidate(2, 8))])
    assert found[0].error is not None
    assert "not finite" in found[0].error
    assert found[1].values


def test_a_full_disk_in_the_final_training_is_no_failure_of_the_network(final: Callable[..., FinalTraining]) -> None:
    class Full(Toy):
        def __call__(self, job: Any) -> Any:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        final(Full()).run([again(5, candidate(1, 4))])


def test_a_copy_never_stands_before_the_trial_that_was_trained() -> None:
    """Of two cells that compute the same, one may hold fewer parameters; the weights are those of the other."""
    original, copy = trial(0, candidate(2, 32), 0.9), replace(trial(1, candidate(1, 4), 0.9), copy_of=0)
    assert copy.params < original.params
    assert best_first([copy, original]) == [original, copy]


def test_folds_do_not_make_the_machine_look_faster() -> None:
    found = []
    for folds in (1, 5):  # a fold takes a second an epoch
        pace = Pace(seconds=TRIALS * folds, slots=1, samples=8000 * folds, epochs=8, folds=folds)
        pace.told(trial(0, candidate(3, 32), seconds=8.0 * folds, epochs=8 * folds))
        found.append(pace(candidate(3, 32)).fidelity)
    assert found == [1 / 8, 1 / 8]
