"""Searches in tables on a simulated clock, and what is reported of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy import line

from benchmarks import strategies
from benchmarks.tables import median_interval
from benchmarks.tabular import timing
from benchmarks.tabular.plot import Panel, draw
from benchmarks.tabular.problem import Problem
from benchmarks.tabular.simulation import Course, Simulation
from nas.executors.inline import Inline
from nas.job import Job, Outcome
from nas.plugins import make
from nas.space import Candidate
from nas.store import TrialLog
from nas.strategy import Strategy
from nas.study import COPIES, Study
from nas.trial import Trial
from strategies.random import Random


def toy(**limits: float | int | None) -> Problem:
    """168 networks of known figures: the more costly, the better, and what is reported is the row."""
    space = line()
    rows = {tuple(c.value for c in candidate.choices): row for row, candidate in enumerate(space)}
    figures = np.arange(float(len(rows)))
    return Problem("toy", space, rows, figures[np.newaxis], 1 + figures, figures, "row", **limits)  # type: ignore[arg-type]


class Dealt(Strategy):
    """Asks for the rows that it was dealt, the last for ever, and keeps what it hears."""

    def __init__(self, problem: Problem, rows: Sequence[int]) -> None:
        super().__init__(problem.space)
        self.candidates = [list(problem.space)[row] for row in rows]
        self.pending: list[int] = []
        self.told: list[Trial] = []

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        self.pending.append(len(pending))
        return self.candidates.pop(0) if len(self.candidates) > 1 else self.candidates[0]

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)


def dealt(rows: Sequence[int], held: Problem, workers: int = 1, *, again: bool = False) -> tuple[Dealt, Course]:
    strategy = Dealt(held, rows)
    return strategy, Simulation(strategy, held, 0, workers, again=again).run()


def test_a_candidate_asked_for_again_is_told_as_a_copy_and_costs_neither_time_nor_a_query() -> None:
    strategy, course = dealt([5, 3, 5, 7], toy(queries=3))
    assert course.rows.tolist() == [5, 3, 7]
    assert course.ends.tolist() == [6, 10, 18]
    assert [(t.number, t.copy_of, t.value, t.elapsed) for t in strategy.told] == [
        (0, None, 5, 6),
        (1, None, 3, 10),
        (2, 0, 5, 10),
        (3, None, 7, 18),
    ]


def test_a_candidate_asked_for_again_costs_its_time_where_repetitions_are_paid() -> None:
    strategy, course = dealt([5, 3, 5, 7], toy(queries=3), again=True)
    assert course.ends.tolist() == [6, 10, 24]
    assert [t.copy_of for t in strategy.told] == [None, None, 0, None]


def test_a_strategy_that_asks_for_nothing_new_ends_its_run() -> None:
    _, course = dealt([5], toy(queries=3))
    assert course.rows.tolist() == [5]
    assert course.told == 1 + COPIES


def test_what_ends_after_the_limit_of_time_does_not_count() -> None:
    strategy, course = dealt([5, 3, 9, 1], toy(seconds=19.5))
    assert course.rows.tolist() == [5, 3]
    assert len(strategy.told) == 2


def test_a_run_ends_when_its_goal_is_found() -> None:
    _, course = dealt([5, 3, 9, 1], toy(goal=9))
    assert course.rows.tolist() == [5, 3, 9]


def test_workers_end_in_the_order_of_the_clock_and_pending_candidates_are_handed_over() -> None:
    strategy, course = dealt([9, 2, 9, 4], toy(queries=3), workers=2)
    assert strategy.pending == [0, 1, 1, 2]  # the copy of what is in training is pending too
    assert course.rows.tolist() == [2, 4, 9]
    assert course.ends.tolist() == [3, 8, 10]
    assert [(t.number, t.copy_of) for t in strategy.told] == [(1, None), (3, None), (0, None), (2, 0)]


@pytest.mark.parametrize("spec", ["random", "evolution", "evolution:population=5,sample=2,start=random"])
def test_a_simulated_search_is_that_of_the_study(spec: str, tmp_path: Path) -> None:
    held = toy(queries=40)

    class Looking:
        def prepare(self, device: str) -> None: ...

        def __call__(self, job: Job) -> Outcome:
            return Outcome((float(held.seen(3)[held.row(job.candidate)]),), {"epochs": 1, "seconds": 0.0})

    class Kept(Random):
        def __init__(self) -> None:
            super().__init__(held.space)
            self.inner, self.told = make("strategies", spec, Strategy, held.space), list[Trial]()

        def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
            candidate: Candidate = self.inner.ask(rng, pending)
            return candidate

        def tell(self, trial: Trial) -> None:
            self.told.append(trial)
            self.inner.tell(trial)

    simulated, real = Kept(), Kept()
    course = Simulation(simulated, held, 3).run()
    log = TrialLog(tmp_path / "trials.jsonl", held.space)
    Study(real, log, Inline(Looking()), 3, course.told).run()
    log.close()
    shown = [[(t.number, t.candidate.values, t.values, t.copy_of) for t in kept.told] for kept in (simulated, real)]
    assert shown[0] == shown[1]
    assert any(t.copy_of is not None for t in real.told) or spec == "random"  # which draws none twice


def test_the_incumbent_is_the_first_of_those_that_look_best() -> None:
    course = Course(np.array([8, 6, 7, 5]), np.array([1.0, 3.0, 3.0, 4.0]), np.arange(4.0), 4)
    assert course.incumbents().tolist() == [8, 6, 6, 5]


def test_a_run_that_made_fewer_queries_reports_its_last_incumbent() -> None:
    course = Course(np.array([1, 0]), np.array([1.0, 2.0]), np.arange(2.0), 2)
    assert strategies.at([course], np.array([10.0, 20.0]), 1).tolist() == [20]
    assert strategies.at([course], np.array([10.0, 20.0]), 100).tolist() == [10]


def test_a_run_hears_one_draw_of_each_row_and_every_strategy_the_same() -> None:
    held = replace(toy(), rewards=np.arange(4 * 168.0).reshape(4, 168))
    seen = held.seen(1)
    assert (seen % 168 == np.arange(168)).all()
    assert len(set(seen // 168)) == 4
    assert (held.seen(1) == seen).all()
    assert (held.seen(2) != seen).any()


def test_a_strategy_that_chooses_fidelities_is_refused() -> None:
    held = toy(queries=3)
    with pytest.raises(ValueError, match=r"full trainings alone and the strategy asks for 0\.111 of one"):
        Simulation(make("strategies", "asha", Strategy, held.space), held, 0).run()


def test_the_interval_of_a_median_is_that_of_the_binomial_distribution() -> None:
    assert median_interval(np.arange(100, 0, -1)) == (50.5, 40, 61)  # ranks of the usual tables


def test_a_figure_shows_the_incumbent_of_each_moment(tmp_path: Path) -> None:
    held = replace(toy(), seconds=100.0)
    courses = [Course(np.array([4, 8]), np.array([1.0, 2.0]), np.array([25.2, 75.2]), 2) for _ in range(2)]
    panel = Panel("toy", held, {"random": courses}, 0)
    shown = panel.results(courses)[0]
    assert np.isnan(shown[:50]).all()
    assert shown[50:].tolist() == [4] * 100 + [8] * 50
    draw([panel], tmp_path / "best.png")
    assert (tmp_path / "best.png").stat().st_size > 10_000


def test_what_ask_and_tell_take_is_measured_after_as_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "AT", (20, 40))
    told: list[int] = []
    monkeypatch.setattr(Random, "tell", lambda self, trial: told.append(trial.number))
    table = timing.measure(["random"], toy())
    assert told == list(range(40))
    assert "| ms after | ask, 20 | tell, 20 | ask, 40 | tell, 40 |" in table
