"""A search by rungs: what its jobs are given, what stays on disk, what it costs, and which network is its best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searching import Search
from toy import Line, Toy, line, timeless

import nas
from nas.checkpoints import KeepCheckpoints
from nas.finalists import contenders, finalists
from nas.job import Job, Outcome
from nas.pace import Allowance, Pace
from nas.result import Result
from nas.space import Candidate
from nas.store import KeepBestWeights, RunDirectory
from nas.trial import Trial, best_first

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
SPECS = [
    "asha:inner=random",
    "asha:eta=2,inner.population=4,inner.sample=2",
    "hyperband:inner.population=4,inner.sample=2",
]
SPACE = line()


@pytest.fixture
def checkpoint_of(tmp_path: Path) -> Callable[[int], Path]:
    (tmp_path / "checkpoints").mkdir()
    return lambda number: tmp_path / "checkpoints" / f"trial-{number:05d}.pt"


def candidate(width: int, fidelity: float = 1.0, horizon: float | None = 1.0) -> Candidate:
    drawn = SPACE.replay({"depth": 1, "lr": 1e-3, "width0": width})
    return replace(drawn, fidelity=fidelity, horizon=horizon)


def trial(number: int, found: Candidate, value: float = 0.5, epochs: int = 4) -> Trial:
    return Trial(number, found, 0, (value,), {"seconds": 2.0, "epochs": epochs}, ({"epoch": 1},) * epochs)


class Rising(Toy):
    """A toy whose values rise with the fidelity, and that leaves checkpoints of ten bytes."""

    def __call__(self, job: Job) -> Outcome:
        outcome = super().__call__(job)
        if job.after is not None:
            job.after.write_bytes(b"x" * 10)
        return replace(outcome, values=(outcome.values[0] / 2 + job.candidate.fidelity / 2,))


@pytest.mark.parametrize("spec", SPECS)
def test_a_search_resumed_after_any_trial_is_the_uninterrupted_one(
    search: Search, spec: str, checkpoint_of: Callable[[int], Path]
) -> None:
    def searched() -> list[dict[str, Any]]:
        return timeless(search(spec, trials=20, checkpoint_of=checkpoint_of, evaluator=Rising()))

    whole, lines = searched(), search.lines
    for k in range(20):
        search.keep(lines[:k])
        assert searched() == whole, f"resumed after {k} trials"


def test_a_job_has_the_seed_and_the_checkpoint_of_the_segment_before(
    search: Search, checkpoint_of: Callable[[int], Path]
) -> None:
    toy = Toy(failing=False)
    search("asha:inner=random", trials=30, evaluator=toy, checkpoint_of=checkpoint_of)
    seeds: dict[Any, int] = {}
    came: dict[Any, int] = {}
    continued = Counter[float]()
    for job in toy.jobs:
        lineage = job.candidate.lineage
        assert job.seed == seeds.setdefault(lineage, job.seed)
        assert job.before == (checkpoint_of(came[lineage]) if lineage in came else None)
        assert job.after == (checkpoint_of(job.number) if job.candidate.fidelity < 1 else None)
        came[lineage] = job.number
        continued[job.candidate.fidelity] += job.before is not None
    assert len(set(seeds.values())) == len(seeds)
    assert continued[1 / 9] == 0
    assert continued[1 / 3] > continued[1.0] > 0


def test_a_search_without_fidelities_leaves_no_checkpoints(
    search: Search, checkpoint_of: Callable[[int], Path]
) -> None:
    toy = Toy(failing=False)
    search(evaluator=toy, checkpoint_of=checkpoint_of)
    assert {(job.before, job.after) for job in toy.jobs} == {(None, None)}


def test_one_checkpoint_stays_of_each_candidate_that_may_be_trained_on(
    search: Search, checkpoint_of: Callable[[int], Path]
) -> None:
    keep = KeepCheckpoints(checkpoint_of)
    trials = search("asha:inner=random", trials=40, evaluator=Rising(), checkpoint_of=checkpoint_of, monitors=(keep,))
    furthest = {t.candidate.lineage: t for t in trials if t.values and t.copy_of is None}
    waiting = [t for t in furthest.values() if t.candidate.fidelity < 1]
    assert len(waiting) > 5
    assert set(checkpoint_of(0).parent.iterdir()) == {checkpoint_of(t.number) for t in waiting}


def test_checkpoints_that_do_not_fit_are_given_up_worst_first_and_what_a_crash_left_is_swept(
    search: Search, checkpoint_of: Callable[[int], Path]
) -> None:
    trials = search("asha:inner=random", trials=20, evaluator=Rising(), checkpoint_of=checkpoint_of, seed=4)
    checkpoint_of(99).with_suffix(".partial").write_text("torn")
    KeepCheckpoints(checkpoint_of, most=35).started(trials)
    furthest = {t.candidate.lineage: t for t in trials if t.values and t.copy_of is None}
    best = sorted((t for t in furthest.values() if t.candidate.fidelity < 1), key=lambda t: -t.value)[:3]
    assert set(checkpoint_of(0).parent.iterdir()) == {checkpoint_of(t.number) for t in best}


def test_the_checkpoints_of_all_folds_go_together(checkpoint_of: Callable[[int], Path]) -> None:
    first = checkpoint_of(0)
    for file in (first, first.with_name("trial-00000-fold2.pt"), first.with_name("trial-00000-fold3.pt")):
        file.write_text("x")
    keep = KeepCheckpoints(checkpoint_of)
    keep.told(trial(0, candidate(4, 1 / 9)))
    assert len(list(first.parent.iterdir())) == 3
    keep.told(trial(1, candidate(4)))
    assert not list(first.parent.iterdir())


def test_a_training_that_came_to_its_end_is_better_than_any_that_was_left() -> None:
    trials = [
        trial(0, candidate(4, 1 / 9), 0.99),
        trial(1, candidate(8, 1 / 3), 0.9),
        trial(2, candidate(16), 0.8),
        trial(3, candidate(32), 0.7),
        trial(4, candidate(32, 1 / 3), 0.95),
    ]
    assert [t.number for t in best_first(trials)] == [2, 3, 4, 1, 0]
    assert [t.number for t in finalists(trials, 4)] == [2, 3, 1, 0]
    assert [t.number for t in contenders(trials, 4)] == [2, 3, 1, 0]


def test_the_weights_that_stay_are_those_of_the_best_that_came_furthest(search: Search, tmp_path: Path) -> None:
    class Falling(Toy):
        """Whoever goes on does worse."""

        def __call__(self, job: Job) -> Outcome:
            value = super().__call__(job).values[0] - job.candidate.fidelity
            if job.weights is not None and value >= job.beat:
                job.weights.write_text(str(job.number))
            return Outcome((value,), {"epochs": 1, "seconds": 0.0})

    (tmp_path / "weights").mkdir()

    def weights_of(number: int) -> Path:
        return tmp_path / "weights" / str(number)

    for limit in range(3, 31):  # at any moment
        keep = KeepBestWeights(weights_of)
        trials = search("asha:inner=random", trials=limit, evaluator=Falling(), weights_of=weights_of, monitors=(keep,))
        assert [f.name for f in weights_of(0).parent.iterdir()] == [str(best_first(trials)[0].number)]
    assert best_first(trials)[0].candidate.fidelity == 1


def test_pace_leaves_rungs_where_they_are_and_learns_from_them() -> None:
    slow = Pace(seconds=1, slots=1, samples=10**9, epochs=9)
    low, plain = candidate(32, 1 / 3), candidate(32, horizon=None)
    assert slow(low) == low
    assert slow(plain).fidelity == 1 / 9
    slow.told(Trial(0, low, 0, (0.5,), {"seconds": 1e-9, "epochs": 3}))
    assert slow(plain).fidelity == 1


def test_a_log_holds_the_horizon_and_one_without_can_be_read() -> None:
    told = trial(0, candidate(4, 1 / 3))
    again = Trial.from_json(told.to_json(), SPACE)
    assert again.candidate == told.candidate
    old = trial(0, candidate(4, 1 / 3, None)).to_json()
    assert "horizon" not in old
    assert Trial.from_json(old, SPACE).candidate.progress == 1
    with pytest.raises(ValueError, match=r"a fidelity of 0.5 on a horizon of 0.25"):
        Trial.from_json({**told.to_json(), "fidelity": 0.5, "horizon": 0.25}, SPACE)


def test_an_allowance_counts_epochs_those_that_run_in_full() -> None:
    searched = [trial(0, candidate(4), epochs=9), trial(1, candidate(8), epochs=8)]
    allowance = Allowance.equal_to(searched, each=8)
    assert allowance is not None
    assert (allowance.epochs, allowance.trainings) == (17, 3)
    assert allowance.left(2)
    assert not allowance.left(3)
    allowance.told(trial(0, candidate(4, horizon=None), epochs=3))  # it has ended early
    assert allowance.left(1)
    assert not allowance.left(2)


def test_an_allowance_is_spent_by_a_copy_as_by_the_training_that_it_spared() -> None:
    allowance = Allowance(epochs=16, each=8)
    allowance.told(replace(trial(1, candidate(4), epochs=6), copy_of=0, metrics={"seconds": 0.0, "epochs": 0}))
    assert allowance.spent == 6


def test_a_full_training_and_a_promotion_to_the_top_are_the_same() -> None:
    assert candidate(4).key == candidate(4, horizon=None).key
    assert candidate(4, 1 / 3).key != candidate(4, 1 / 3, None).key
    assert candidate(4, 1 / 3).lineage == candidate(4).lineage


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 4
    return (rng.normal(size=(4, 6))[y] * 1.5 + rng.normal(size=(400, 6))), y


def run(data: Any, out: Path, **changed: Any) -> Result:
    options = {"trials": 14, "epochs": 9, "patience": 9, "workers": 0, "final_epochs": 0, "seed": 1, "report": False}
    return nas.search(Line, "5K", data, **{"strategy": "asha:inner=random", "out": out, **options, **changed})


def test_a_search_by_rungs_and_random_search_train_as_many_epochs(data: Any, tmp_path: Path) -> None:
    result = run(data, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
    spent = sum(t.metrics["epochs"] for t in result.trials)
    assert spent < 9 * len({t.candidate.lineage for t in result.trials}) / 2
    assert 0 <= sum(len(t.curve) for t in result.baseline) - spent < 9
    assert {t.candidate.fidelity for t in result.baseline} == {1.0}
    assert result.best.candidate.fidelity == 1
    whole = [t for t in result.trials if t.candidate.fidelity == 1]
    assert [row["epoch"] for row in whole[0].curve] == list(range(1, 10))
    assert whole[0].metrics["epochs"] == 6


def test_without_checkpoints_the_same_is_found_at_a_higher_cost(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(data, tmp_path / "whole", baseline=False).trials
    monkeypatch.setattr(RunDirectory, "checkpoint_of", lambda self, arm: lambda number: tmp_path / "file" / str(number))
    (tmp_path / "file").write_text("a file, and no folder")
    again = run(data, tmp_path / "again", baseline=False).trials
    epochs = [[t.metrics["epochs"] for t in trials] for trials in (whole, again)]
    found = [timeless(trials) for trials in (whole, again)]
    for row in (*found[0], *found[1]):
        row["metrics"].pop("epochs")
    assert found[0] == found[1]
    assert sum(epochs[0]) < sum(epochs[1])


def test_a_search_interrupted_and_continued_is_the_uninterrupted_one(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(data, tmp_path / "whole", baseline=False)
    for stop in (5, 9):
        with monkeypatch.context() as patch:
            patch.setattr(KeepBestWeights, "told", _interrupt_after(stop, KeepBestWeights.told))
            assert run(data, tmp_path / "cut", baseline=False).interrupted
        assert list((tmp_path / "cut" / "checkpoints" / "search").iterdir())
    assert timeless(run(data, tmp_path / "cut", baseline=False).trials) == timeless(whole.trials)
    assert not (tmp_path / "cut" / "checkpoints").exists()


def _interrupt_after(number: int, told: Any) -> Any:
    def interrupted(self: KeepBestWeights, trial: Trial) -> None:
        told(self, trial)
        if trial.number == number:
            raise KeyboardInterrupt

    return interrupted
