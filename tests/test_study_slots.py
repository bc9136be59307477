"""The loop: nothing is trained twice, limits hold, and no order of arrival changes what a trial is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searching import Search
from toy import Line, Shuffled, Single, Toy, line, rows, score, timeless

from nas import plugins, study
from nas.budget import Choose
from nas.executor import JobFailed
from nas.job import Job, Outcome
from nas.live import Stopped
from nas.recipe import Recipe
from nas.space import Candidate
from nas.store import TrialLog
from nas.strategy import Strategy
from nas.trial import Trial

pytest_plugins = ("fixtures_run",)


def test_a_known_candidate_is_not_trained_twice(search: Search) -> None:
    toy = Toy(failing=False)
    trials = search(evaluator=toy, trials=150)
    trained = [t for t in trials if t.copy_of is None]
    assert len({t.candidate.key for t in trials}) == len(trained) == len(toy.jobs) < 150
    for copy in (t for t in trials if t.copy_of is not None):
        original = trials[copy.copy_of or 0]
        assert original.copy_of is None
        assert (copy.values, copy.candidate.key) == (original.values, original.candidate.key)
        assert copy.metrics["seconds"] == copy.metrics["epochs"] == 0


def test_candidates_known_from_another_search_are_not_trained_either(search: Search, tmp_path: Path) -> None:
    known = Search(tmp_path / "other")(evaluator=Toy(failing=False), trials=20)
    toy = Toy(failing=False)
    trials = search(evaluator=toy, trials=20, known=known)
    assert toy.jobs == []
    assert all(t.values == (score(t.candidate),) and t.copy_of is not None for t in trials)


def test_twins_of_a_running_candidate_wait_for_its_result(search: Search, shuffled: Callable[..., Shuffled]) -> None:
    toy = Toy(failing=False)
    trials = search(space=Single((6,), 3), executor=shuffled(toy), trials=5)
    assert [job.number for job in toy.jobs] == [0]
    assert [t.copy_of for t in sorted(trials, key=lambda t: t.number)] == [None, 0, 0, 0, 0]


def test_twins_of_a_candidate_that_fails_try_for_themselves(search: Search, shuffled: Callable[..., Shuffled]) -> None:
    class Third(Toy):
        def __call__(self, job: Job) -> Outcome:
            if len(self.jobs) < 2:
                self.jobs.append(job)
                raise MemoryError("the worker's fault")
            return super().__call__(job)

    toy = Third(failing=False)
    trials = search(space=Single((6,), 3), executor=shuffled(toy), trials=5)
    assert [job.number for job in toy.jobs] == [0, 1, 2]
    assert [t.error for t in trials[:2]] == ["the worker's fault"] * 2
    assert [t.copy_of for t in trials[2:]] == [None, 2, 2]


def test_twins_of_a_candidate_that_is_stopped_by_hand_are_stopped_with_it(
    search: Search, shuffled: Callable[..., Shuffled]
) -> None:
    class Killed(Toy):
        def __call__(self, job: Job) -> Outcome:
            self.jobs.append(job)
            raise JobFailed.of(Stopped("stopped by hand in epoch 1"))

    toy = Killed(failing=False)
    trials = search(space=Single((6,), 3), executor=shuffled(toy), trials=5)
    assert [job.number for job in toy.jobs] == [0]
    assert [(t.number, t.error) for t in trials] == [(n, "Stopped: stopped by hand in epoch 1") for n in range(5)]
    again = TrialLog(search.path, Single((6,), 3))
    again.close()
    assert timeless(again.trials) == timeless(trials)


@pytest.mark.parametrize("limit", [{"seconds": 100.0}, {"trials": 100}], ids=["by time", "by trials"])
def test_a_space_with_one_network_ends(search: Search, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any]) -> None:
    monkeypatch.setattr(study, "COPIES", 20)
    toy = Toy(failing=False)
    trials = search(space=Single((6,), 3), evaluator=toy, **limit)
    assert len(toy.jobs) == 1
    assert len(trials) == 1 + 20


def test_a_grid_goes_on_past_the_many_ways_of_one_network(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    class Alike(Line):
        """Every network in twenty ways."""

        def recipe(self, choose: Choose) -> Recipe:
            choose("idle", tuple(range(20)))
            return Recipe()

    monkeypatch.setattr(study, "COPIES", 5)
    toy = Toy(failing=False)
    assert len(search("grid:order=lexicographic", space=Alike((6,), 3), evaluator=toy, trials=400)) == 400
    assert len(toy.jobs) == 400 // 20
    around = [plugins.make("strategies", f"{name}:inner=grid", Strategy, line()) for name in ("filter", "asha")]
    assert all(strategy.exhaustive for strategy in around)


def test_an_exhausted_search_stays_so_when_it_is_resumed(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "COPIES", 5)
    options: dict[str, Any] = {"space": Single((6,), 3), "evaluator": Toy(failing=False), "trials": 100}
    whole = timeless(search(**options))
    lines = search.lines
    assert len(lines) == 6
    for k in range(7):
        search.keep(lines[:k])
        assert timeless(search(**options)) == whole, f"resumed after {k} trials"


class Slow(Toy):
    def __call__(self, job: Job) -> Outcome:
        time.sleep(0.05)
        return super().__call__(job)


def test_a_time_limit_stops_the_search_and_counts_all_sessions(search: Search) -> None:
    first = len(search(evaluator=(slow := Slow(failing=False)), seconds=0.4))
    assert 1 <= len(slow.jobs) <= 8
    assert first <= len(search(evaluator=Slow(failing=False), seconds=0.4)) <= first + 1  # the clock of a trial's end
    assert len(search(evaluator=Slow(failing=False), seconds=0.8)) > first


def test_a_time_limit_does_not_wait_for_a_trial_that_hangs(search: Search) -> None:
    class Hanging(Shuffled):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            future = super().submit(fn, *args)
            if args[1][0].number == 0:
                future.set_result(fn(self.evaluator, *args))
            return future

    began = time.monotonic()
    trials = search(executor=Hanging(Toy(failing=False)), seconds=0.5)
    assert [t.number for t in trials] == [0]
    assert 0.5 <= time.monotonic() - began < 5


def test_under_a_time_limit_packs_take_half_of_what_is_left_at_most(search: Search) -> None:
    class Grouped(Slow):
        """As long as its members one by one; `packs` are their sizes."""

        packs: list[int] = []

        def together(self, given: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
            self.packs.append(len(given))
            return enumerate(self(job) for job in given)

        def __call__(self, job: Job) -> Outcome:
            outcome = super().__call__(job)
            return replace(outcome, metrics={**outcome.metrics, "seconds": 0.05})

    search(evaluator=(slow := Grouped(failing=False)), seconds=1.0, alike=lambda candidate: ("all", 32))
    assert 4 <= max(slow.packs) <= 10
    assert slow.packs[0] == max(slow.packs)  # later ones are smaller, for less is left


@pytest.mark.parametrize("seconds", [1e-9, 0.001])
def test_a_time_limit_still_waits_for_a_first_result(search: Search, seconds: float) -> None:
    assert len(search(evaluator=Slow(failing=False), seconds=seconds)) == 1


def test_what_has_ended_of_a_group_that_still_trains_is_told_and_not_lost(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Shuffled):
        """The first of a group ends, and then somebody presses Ctrl-C."""

        def stream(self, fn: Any, jobs: Sequence[Job]) -> list[Any]:
            futures = super().stream(fn, jobs)
            self.open.clear()
            futures[0].set_result(self.evaluator(jobs[0]))
            return futures

        def get(self, timeout: float | None = None) -> Any:
            if self.ended.empty() and timeout is None:
                raise KeyboardInterrupt
            return self.ended.get(timeout=timeout)

    executor = Interrupted(Toy(failing=False), slots=1)
    monkeypatch.setattr("nas.packs.SimpleQueue", lambda: executor)
    with pytest.raises(KeyboardInterrupt):
        search(executor=executor, alike=lambda candidate: ("all", 4))
    assert [trial["number"] for trial in rows(search.path)] == [0]


@pytest.mark.parametrize("slots", [2, 4])
def test_the_order_of_results_never_changes_what_a_trial_is(
    search: Search, tmp_path: Path, shuffled: Callable[..., Shuffled], slots: int
) -> None:
    wanted = timeless(search(evaluator=Toy(failing=False), trials=30))
    orders = set()
    for seed in range(4):
        executor = shuffled(Toy(failing=False), slots=slots, seed=seed)
        trials = Search(tmp_path / str(seed))(executor=executor, trials=30)
        orders.add(tuple(t.number for t in trials))
        assert executor.most == slots
        for one, other in zip(wanted, timeless(trials), strict=True):
            assert {**one, "copy_of": None, "metrics": None} == {**other, "copy_of": None, "metrics": None}
    assert len(orders) == 4


def test_a_parallel_search_that_was_cut_off_asks_again_for_the_numbers_that_are_missing(
    search: Search, shuffled: Callable[..., Shuffled]
) -> None:
    search(executor=shuffled(slots=4, seed=3), trials=30)
    lines = search.lines
    search.keep(lines[:17])
    before = {row["number"] for row in rows(search.path)}
    assert before != set(range(17))
    trials = search(executor=shuffled(slots=4, seed=8), trials=30)
    assert sorted(t.number for t in trials) == list(range(30))
    assert search.lines[:17] == lines[:17]


def test_a_strategy_is_shown_what_is_running_or_waiting(search: Search, shuffled: Callable[..., Shuffled]) -> None:
    shown: list[int] = []

    class Looking(Strategy):
        def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
            shown.append(len(pending))
            return self.space.sample(rng)

        def tell(self, trial: Trial) -> None: ...

    search(Looking(line()), executor=shuffled(slots=3), trials=6)
    assert shown == [0, 1, 2, 2, 2, 2]
