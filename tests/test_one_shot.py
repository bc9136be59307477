"""Searches whose candidates share their weights, from the beginning to the network that is handed over."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from toy import Line, line, rows, timeless

import nas
from nas.architecture import Sketch
from nas.candidate import Candidate
from nas.dataset import Arrays, Dataset
from nas.evaluate import Stopping
from nas.events import Monitor
from nas.executors._parcel import Parcel, opened, put_back
from nas.executors._reply import Held, Reply
from nas.executors.local import Local
from nas.job import Job, Outcome, evaluate
from nas.oneshot.evaluator import OneShot
from nas.oneshot.lesson import Lesson, plan
from nas.options import Options
from nas.recipe import Recipe
from nas.summary import print_result
from nas.trial import Trial

SPACE = line()
SHARED = {"rounds": 2, "epochs": 4}


def blobs() -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(150) % 3
    return np.random.default_rng(0).normal(size=(150, 6)) + 2 * np.eye(6)[y], y


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of networks take longer to build than these searches."""
    monkeypatch.setattr("nas.oneshot.rounds.POOL", 20)


def search(folder: Path, **options: Any) -> nas.Result:
    given = {"budget": "5K", "data": blobs(), "space": Line, "strategy": "evolution:population=4,sample=2"}
    usual = {"trials": 12, "epochs": 2, "workers": 0, "final_seeds": 2, "finalists": 2, "one_shot": SHARED}
    return nas.search(**{**given, **usual, "baseline": False, "out": folder, **options})  # type: ignore[arg-type]


def evaluator(folder: Path) -> tuple[OneShot, Path]:
    """One that is ready, and weights that it has trained."""
    made = OneShot(Arrays(*blobs()).load(0), Stopping(2, 2))
    made.prepare("cpu")
    pool = tuple(candidate.architecture for candidate in drawn(10))
    weights = folder / "weights.safetensors"
    made.teach(Lesson(pool, Recipe(lr=1e-2, batch_size=30), 0, 6, 6, folder / "state.pt", weights))
    return made, weights


def drawn(number: int) -> list[Candidate]:
    return [SPACE.sample(np.random.default_rng(n)) for n in range(number)]


def values(outcomes: Sequence[Outcome]) -> list[tuple[float, ...]]:
    return [(*o.values, o.metrics["shared_loss"]) for o in outcomes]


class Interrupt(Monitor):
    """Ctrl-C after so many trials."""

    def __init__(self, trials: int) -> None:
        self.left = trials

    def told(self, trial: Trial) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_candidate_is_worth_the_same_in_any_order_and_in_any_worker(tmp_path: Path) -> None:
    made, weights = evaluator(tmp_path)
    jobs = [Job(n, candidate, n, shared=weights) for n, candidate in enumerate(drawn(12))]
    first = values([made(job) for job in jobs])
    assert len(set(first)) > 6
    assert values([made(job) for job in reversed(jobs)])[::-1] == first
    workers = Local(OneShot(Arrays(*blobs()).load(0), Stopping(2, 2)), ["cpu", "cpu"])
    try:
        there = [workers.submit(evaluate, job) for job in jobs]
        assert values([future.result() for future in there]) == first
    finally:
        workers.shutdown(cancel_futures=True)


def test_lessons_and_evaluations_travel_to_a_machine_that_shares_no_folder(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "one_shot", Arrays(*blobs()).load(0)
    folder.mkdir()
    pool = tuple(candidate.architecture for candidate in drawn(4))
    weights, job = folder / "round-1.safetensors", Job(0, drawn(1)[0], 0)
    lesson = Lesson(pool, Recipe(lr=1e-2, batch_size=30), 0, 2, 1, folder / "state.pt", weights)
    for until in (1, 2):  # each as if by a worker that has seen nothing of the other
        assert len(elsewhere(folder, dataset, (OneShot.teach, (replace(lesson, until=until),), {}))) == until
    made = OneShot(dataset, Stopping(2, 2))
    there = elsewhere(folder, dataset, (evaluate, (replace(job, shared=weights),), {}))
    made.prepare("cpu")
    assert values([there]) == values([made(replace(job, shared=weights))])


def elsewhere(folder: Path, dataset: Dataset, job: Any) -> Any:
    """What a job comes to on another machine, whose files come back."""
    parcel = Parcel.of(job)
    files = parcel.files(parcel.folders)
    away = folder.rename(folder.with_name("away"))
    ((data, written),) = opened(Held(OneShot(dataset, Stopping(2, 2)), "cpu"), parcel.data, files)
    away.rename(folder)
    put_back(written)
    reply = Reply.read(bytes(data))
    assert reply.failure is None
    return reply.result


def test_an_evaluation_changes_neither_the_weights_nor_torch_s_chance(tmp_path: Path) -> None:
    made, weights = evaluator(tmp_path)
    before, state = weights.read_bytes(), torch.get_rng_state()
    for job in [Job(n, candidate, n, shared=weights) for n, candidate in enumerate(drawn(4))]:
        made(job)
    assert weights.read_bytes() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_has_no_part_in_what_a_network_is_worth(tmp_path: Path) -> None:
    made, weights = evaluator(tmp_path)
    worth = list[tuple[float, ...]]()
    for p in (0.0, 0.9):
        net = Sketch((6,))
        x = net("dropout", net("relu", net("batchnorm", net("linear", net.input, out=8))), p=p)
        x = net("relu", net("batchnorm", net("linear", x, out=8)))
        worth += values([made(Job(0, Candidate(net.done(net("linear", x, out=3)), Recipe(), ()), 0, shared=weights))])
    assert worth[0] == worth[1]


def test_other_weights_in_the_same_file_are_read_again(tmp_path: Path) -> None:
    made, weights = evaluator(tmp_path)
    job = Job(0, drawn(1)[0], 0, shared=weights)
    before = made(job)
    torch.manual_seed(0)
    other = {name: torch.randn_like(tensor) for name, tensor in load_file(weights).items()}
    from nas.weights import save_weights

    save_weights(other, weights)
    assert made(job).metrics["shared_loss"] != before.metrics["shared_loss"]


def test_the_search_ends_in_networks_that_were_trained_by_themselves(tmp_path: Path) -> None:
    result = search(tmp_path / "run")
    assert len(result.trials) == 12
    assert all(t.params <= 5_000 for t in result.trials)
    assert all("val_accuracy" not in t.metrics and t.metrics["epochs"] == 0 and not t.curve for t in result.trials)
    assert result.best in result.final
    assert result.best.metrics["epochs"] == 8
    assert result.test_accuracy is not None
    own = load_file(tmp_path / "run" / "best" / "weights.safetensors")
    assert sum(tensor.numel() for tensor in own.values()) == result.best.params
    shared = load_file(tmp_path / "run" / "one_shot" / "round-2.safetensors")
    slices = [t[tuple(map(slice, w.shape))] for w in own.values() for t in shared.values() if t.ndim == w.ndim]
    assert not any(torch.equal(piece, w) for piece in slices for w in own.values() if piece.shape == w.shape)
    assert list((tmp_path / "run" / "weights" / "search").iterdir()) == []


def test_training_is_no_choice_of_the_search(tmp_path: Path) -> None:
    result = search(tmp_path / "run", trials=8, fix={"lr": 1e-2})
    assert {t.candidate.recipe for t in result.trials} == {Recipe(lr=1e-2)}
    mlp = search(tmp_path / "mlp", space="mlp:max_depth=3,max_width=32", budget="3K", trials=6)
    assert {(t.candidate.values["dropout"], t.candidate.values["lr"]) for t in mlp.trials} == {(0.1, 4e-3)}


def test_the_same_network_is_evaluated_once_a_round_and_the_last_round_ranks_first(tmp_path: Path) -> None:
    result = search(tmp_path / "run", trials=40, one_shot={"rounds": 2, "epochs": 6}, strategy="random", final_epochs=2)
    rounds = [[t for t in result.trials if t.candidate.progress == share] for share in (0.5, 1)]
    assert [len(trials) for trials in rounds] == [20, 20]
    assert all(t.copy_of is None or t.copy_of >= 20 for t in rounds[1])
    own = [{t.candidate.architecture: t.value for t in trials if t.copy_of is None} for trials in rounds]
    both = own[0].keys() & own[1].keys()
    assert any(own[0][a] != own[1][a] for a in both)
    assert {f.key[0] for f in result.finalists} <= {t.candidate.architecture.digest for t in rounds[1]}


def test_a_later_round_is_trained_on_the_networks_that_were_told(tmp_path: Path) -> None:
    pools: list[int] = []

    class Seen(OneShot):
        def teach(self, lesson: Lesson) -> Any:
            pools.append(len(lesson.pool))
            return super().teach(lesson)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.oneshot.rounds.OneShot", Seen)
        patch.setattr("nas.run.OneShot", Seen)
        patch.setattr("nas.oneshot.rounds.POOL", 17)
        search(tmp_path / "run", trials=10, final_epochs=1)
    assert set(pools) == {17, 5}


@pytest.mark.parametrize("after", [2, 8, 12])
def test_an_interrupted_search_that_goes_on_is_the_uninterrupted_one(tmp_path: Path, after: int) -> None:
    whole = search(tmp_path / "whole")
    first = search(tmp_path / "cut", monitors=[Interrupt(after)])
    assert first.interrupted
    assert len(first.trials) == after
    second = search(tmp_path / "cut")
    assert timeless(second.trials) == timeless(whole.trials)
    assert timeless(second.final) == timeless(whole.final)


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda file: os.truncate(file, 500), lambda file: file.write_text("x")]
)
def test_weights_that_are_gone_or_damaged_are_trained_again_to_the_same(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    whole = search(tmp_path / "whole", trials=16)
    search(tmp_path / "cut", trials=16, monitors=[Interrupt(10)])
    for file in (tmp_path / "cut" / "one_shot").glob("*.safetensors"):
        damage(file)
    assert timeless(search(tmp_path / "cut", trials=16).trials) == timeless(whole.trials)


@pytest.mark.parametrize(("epochs", "warned"), [(2, True), (60, False)])
def test_weights_that_have_learned_little_are_said_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], epochs: int, warned: bool
) -> None:
    shared = {"rounds": 1, "epochs": epochs}
    search(tmp_path / "run", one_shot=shared, trials=3, fix={"lr": 1e-7 if warned else 1e-2}, verbose=True)
    said = capsys.readouterr()
    assert ("the shared weights have learned little" in said.out + said.err) == warned


def test_more_trials_of_the_same_search_are_evaluated_with_the_last_weights(tmp_path: Path) -> None:
    search(tmp_path / "run", trials=6)
    before = (tmp_path / "run" / "one_shot" / "round-2.safetensors").read_bytes()
    result = search(tmp_path / "run", trials=12)
    assert len(result.trials) == 12
    assert (tmp_path / "run" / "one_shot" / "round-2.safetensors").read_bytes() == before
    assert [t.candidate.progress for t in result.trials] == [0.5] * 3 + [1] * 9


def test_random_search_has_as_many_evaluations_with_the_same_weights(tmp_path: Path) -> None:
    result = search(tmp_path / "run", baseline=True, trials=10)
    assert len(result.baseline) == len(result.trials)
    made = OneShot(Arrays(*blobs()).load(0), Stopping(2, 2))
    made.prepare("cpu")
    weights = tmp_path / "run" / "one_shot" / "round-2.safetensors"
    for trial in result.baseline:
        assert made(Job(0, trial.candidate, 0, shared=weights)).values == trial.values


@pytest.mark.parametrize("strategy", ["reinforce", "random", "local", "predictor", "nsga2"])
def test_strategies_search_with_shared_weights(tmp_path: Path, strategy: str) -> None:
    result = search(tmp_path / "run", strategy=strategy, final_epochs=1, trials=8)
    assert len(result.trials) == 8
    assert result.final


def test_a_front_of_several_objectives_is_found_with_shared_weights(tmp_path: Path) -> None:
    result = search(tmp_path / "run", strategy="nsga2", objective="accuracy,-params,-flops", one_shot={"rounds": 2})
    assert {trial.candidate.progress for trial in result.front} == {1.0}  # of the last round
    assert {trial.candidate.progress for trial in result.trials} == {0.5, 1.0}
    assert all(len(t.values) == 3 and -t.values[1] == t.params for t in result.trials)


def test_a_deadline_leaves_time_for_the_search_and_the_final_training(tmp_path: Path) -> None:
    result = search(tmp_path / "run", time="6s", trials=None, one_shot={"rounds": 2})
    planned = plan(tmp_path / "run")
    assert [found["elapsed"] > 0 for found in planned] == [True, True]
    assert {t.candidate.progress for t in result.trials} <= {0.5, 1}  # on a busy machine no time is left for both
    assert result.final
    again = search(tmp_path / "run", time="6s", trials=None, one_shot={"rounds": 2})
    assert [found["epochs"] for found in plan(tmp_path / "run")] == [found["epochs"] for found in planned]
    assert len(again.trials) >= len(result.trials)


def test_ensembles_are_made_of_networks_that_were_trained(tmp_path: Path) -> None:
    result = search(tmp_path / "run", ensemble=True, budget="2K")
    assert result.joint is not None
    assert all(member.weights.parent.name == "final" for member in result.joint.members)


def test_workers_in_processes_come_to_the_same(tmp_path: Path) -> None:
    here = search(tmp_path / "here", strategy="random")
    there = search(tmp_path / "there", strategy="random", workers=1)
    assert timeless(here.trials) == timeless(there.trials)


@pytest.mark.reported
def test_nobody_is_told_that_a_ranking_is_an_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path / "run", baseline=True, verbose=True)
    options = Options.of({"budget": "5K", "one_shot": True})
    print_result(result, options, Console(width=200), quiet=False)
    said = capsys.readouterr()
    assert "with shared weights" in said.out
    assert "rank by" in said.out
    ranked = [line for line in said.out.splitlines() if "trials with shared" in line or "drawn at random" in line]
    assert len(ranked) == 2
    assert not any("validation accuracy" in line for line in ranked)
    header = (tmp_path / "run" / "trials.csv").read_text().splitlines()[0].split(",")
    assert "shared_accuracy" in header
    assert "val_accuracy" not in header
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "accuracy with shared weights (%)" in page
    assert "training of shared weights" in page
    assert "flattered" not in page
    assert result.best.value == pytest.approx(max(f.best.value for f in result.finalists), abs=1)
    assert json.loads((tmp_path / "run" / "one_shot" / "plan.json").read_text())["rounds"][1]["curve"]
    assert rows(tmp_path / "run" / "final.jsonl")[0]["metrics"]["val_accuracy"] > 0
