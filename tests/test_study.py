"""The loop: resume is replay, failures are trials, the log comes first, and monitors hear of everything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searching import TRIALS, Search
from toy import Line, Toy, fails, line, rows, score, timeless

from nas.events import Monitor
from nas.job import Job, Outcome
from nas.space import Candidate
from nas.store import TrialLog
from nas.strategy import Strategy
from nas.trial import Trial
from strategies.random import Random

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
each_strategy = pytest.mark.parametrize("spec", ["random", "evolution:population=4,sample=2", "reinforce:batch=2"])


class Events(Monitor):
    def __init__(self, path: Path | None = None) -> None:
        self.path, self.seen = path, list[Any]()

    def started(self, history: Sequence[Trial]) -> None:
        self.seen.append(("started", len(history)))

    def told(self, trial: Trial) -> None:
        self.seen.append(("told", trial.number))

    def failed(self, trial: Trial, trace: str) -> None:
        self.seen.append(("failed", trial.number, "does not converge" in trace))

    def finished(self) -> None:
        self.seen.append(("finished",))


@each_strategy
def test_a_search_resumed_after_any_trial_is_the_uninterrupted_one(search: Search, spec: str) -> None:
    whole = timeless(search(spec))
    lines = search.lines
    assert len(lines) == TRIALS
    for k in range(TRIALS + 1):
        search.keep(lines[:k])
        assert timeless(search(spec)) == whole, f"resumed after {k} trials"
        assert search.lines[:k] == lines[:k]


def test_failures_are_trials_and_the_search_ends(search: Search) -> None:
    trials = search("evolution:population=4,sample=2", trials=40)
    failed = [t for t in trials if fails(t.candidate)]
    assert [t.number for t in trials] == list(range(40))
    assert 0 < len(failed) < 40
    assert [t.error for t in failed] == ["ArithmeticError: this network does not converge"] * len(failed)
    assert all(t.values == (score(t.candidate),) for t in trials if t not in failed)
    assert [t.error for t in trials if t not in failed] == [None] * (40 - len(failed))


@each_strategy
def test_a_search_in_which_everything_fails_ends_too(search: Search, spec: str) -> None:
    def fail(job: Job) -> Outcome:
        raise MemoryError

    fail.prepare = lambda device: None  # type: ignore[attr-defined]  # an evaluator in two lines
    trials = search(spec, evaluator=fail)
    assert [bool(t.error) for t in trials] == [True] * TRIALS


class Answer:
    """An evaluator with one answer for all."""

    def __init__(self, *values: float, **metrics: Any) -> None:
        self.outcome = Outcome(values, metrics)

    def prepare(self, device: str) -> None: ...

    def __call__(self, job: Job) -> Outcome:
        return self.outcome


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_objective_that_is_not_finite_is_a_failure(search: Search, value: float) -> None:
    trials = search(evaluator=Answer(value), trials=3)
    assert [t.values for t in trials] == [()] * 3
    assert all(f"not finite: ({value}" in str(t.error) for t in trials)


@pytest.mark.parametrize(
    "answer",
    [Answer(0.5, loss=float("nan")), Answer(0.5, loss=np.float32(1.5)), Answer(), Answer(0.5, 0.6)],
    ids=["NaN among the metrics", "a metric of numpy's", "no value", "two values"],
)
def test_whatever_an_evaluator_returns_the_search_goes_on_and_every_trial_can_be_read_again(
    search: Search, answer: Answer
) -> None:
    assert len(search(evaluator=answer, trials=3)) == 3
    again = TrialLog(search.path, line())
    again.close()
    assert all(t.values or t.error for t in again.trials)


def test_every_trial_is_on_disk_before_the_strategy_hears_of_it(search: Search) -> None:
    class Suspicious(Strategy):
        heard = 0

        def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
            return self.space.sample(rng)

        def tell(self, trial: Trial) -> None:
            self.heard += 1
            assert timeless(rows(search.path)[-1:]) == timeless([trial])
            assert search.lines[-1].endswith(b"\n")

    suspicious = Suspicious(line())
    search(suspicious)
    assert suspicious.heard == TRIALS


def test_monitors_hear_of_every_event_in_order(search: Search) -> None:
    events = Events()
    failed = {t.number for t in search("random", trials=TRIALS, monitors=(events,)) if t.error}
    wanted: list[Any] = [("started", 0)]
    for number in range(TRIALS):
        wanted += [("told", number), *([("failed", number, True)] if number in failed else [])]
    assert failed
    assert events.seen == [*wanted, ("finished",)]
    later = Events()
    search("random", trials=TRIALS + 1, monitors=(later,))
    assert later.seen[:2] == [("started", TRIALS), ("told", TRIALS)]


@pytest.mark.parametrize("moment", ["told", "tell"])
def test_what_ended_with_the_trial_at_which_a_search_is_interrupted_is_not_lost(search: Search, moment: str) -> None:
    class Interrupting(Monitor):
        def told(self, trial: Trial) -> None:
            if trial.number == 1 and moment == "told":
                raise KeyboardInterrupt

    class Drawn(Random):
        def tell(self, trial: Trial) -> None:
            if trial.number == 1 and moment == "tell":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(Drawn(line()), alike=lambda candidate: (None, 6), monitors=(Interrupting(),), trials=6)
    assert sorted(row["number"] for row in rows(search.path)) == [*range(6)]


def test_monitors_hear_the_end_of_an_interrupted_search(search: Search) -> None:
    class Interrupted(Toy):
        def __call__(self, job: Job) -> Outcome:
            if job.number == 4:
                raise KeyboardInterrupt
            return super().__call__(job)

    events = Events()
    with pytest.raises(KeyboardInterrupt):
        search(evaluator=Interrupted(failing=False), monitors=(events,))
    assert events.seen[-1] == ("finished",)
    assert [row["number"] for row in rows(search.path)] == [0, 1, 2, 3]


def test_a_monitor_that_breaks_does_not_end_the_search(search: Search) -> None:
    class Broken(Monitor):
        def told(self, trial: Trial) -> None:
            raise OSError("the web page is gone")

    assert len(search(monitors=(Broken(),))) == TRIALS


def test_a_job_is_told_the_value_to_beat_and_where_to_leave_its_weights(search: Search, tmp_path: Path) -> None:
    toy = Toy()
    trials = search(evaluator=toy, weights_of=lambda number: tmp_path / f"{number}.w")
    best = -np.inf
    for job in toy.jobs:
        assert (job.beat, job.weights) == (best, tmp_path / f"{job.number}.w")
        best = max(best, *trials[job.number].values, -np.inf)
    assert len({job.seed for job in toy.jobs}) == len(toy.jobs)


def test_another_seed_is_another_search(search: Search, tmp_path: Path) -> None:
    one = search(space=Line((6,), 3), trials=5)
    two = Search(tmp_path / "two")(trials=5, seed=6)
    assert [t.seed for t in one] != [t.seed for t in two]
    assert [t.candidate.values for t in one] != [t.candidate.values for t in two]
