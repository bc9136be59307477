"""What follows a search: nothing that it has found is lost to an ensemble, an interruption or a failed training."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy import rows

import nas
from nas.evaluate import Training
from nas.executor import JobFailed
from nas.job import Job

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
GIVEN: dict[str, Any] = {"budget": "4K", "baseline": False, "trials": 3, "epochs": 1, "final_seeds": 1, "finalists": 1}


@pytest.mark.parametrize("options", [{"folds": 2}, {"time": "4s", "trials": None}, {"workers": 2}])
def test_an_ensemble_is_had_with_folds_under_a_deadline_and_from_workers(tmp_path: Path, options: Any) -> None:
    result = nas.search(**{**GIVEN, "workers": 0, "ensemble": True, "out": tmp_path / "run", **options})
    assert result.joint is not None
    assert result.test_accuracy is not None


@pytest.mark.parametrize("failure", [ValueError("no network fits"), JobFailed("the worker was ended")])
def test_a_search_is_not_lost_to_its_ensemble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    def broken(*args: Any) -> Any:
        raise failure

    monkeypatch.setattr("nas.handover.join", broken)
    result = nas.search(**GIVEN, workers=0, ensemble=True, verbose=True, out=tmp_path / "run")
    assert result.joint is None
    assert result.test_accuracy is not None
    assert "warning: there is no ensemble" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["nas.handover.join", "nas.handover.Handover.distil"])
def test_an_interruption_takes_nothing_from_what_was_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run = tmp_path / "run"
    nas.search(**GIVEN, workers=0, out=run)
    before = {file.name: file.read_bytes() for file in (run / "best").iterdir() if file.is_file()}

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, interrupted)
        assert nas.search(**GIVEN, workers=0, ensemble=True, distill=4, out=run).interrupted
    assert {file.name: file.read_bytes() for file in (run / "best").iterdir() if file.is_file()} == before
    assert nas.search(**GIVEN, workers=0, ensemble=True, distill=4, out=run).distilled


def test_another_temperature_is_another_teacher(tmp_path: Path) -> None:
    first, same, other = (nas.search(**GIVEN, workers=0, distill=t, out=tmp_path / "run").distilled for t in (4, 4, 50))
    assert first == same
    assert [t.number for t in other] == [1]
    assert len(rows(tmp_path / "run" / "distilled.jsonl")) == 2


def test_weights_of_a_student_that_are_lost_are_taught_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    nas.search(**GIVEN, workers=0, distill=4, out=run)
    file = run / "weights" / "distilled" / "trial-00000.safetensors"
    before = load_file(file)
    file.unlink()
    nas.search(**GIVEN, workers=0, distill=4, out=run)
    assert all(torch.equal(before[name], tensor) for name, tensor in load_file(file).items())


def test_a_path_that_holds_code_stays_a_path(tmp_path: Path) -> None:
    odd = tmp_path / 'we\\Users """ + exit(3) + """'
    odd.mkdir()
    x, y = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32), np.arange(90) % 3
    np.savez(odd / "data.npz", X=x, y=y)
    result = nas.search(**GIVEN, workers=0, ensemble=True, data=f"npz:{odd}/data.npz", out=tmp_path / "run")
    for name in ("best", "ensemble"):
        compile((result.path / name / "model.py").read_text(), "model.py", "exec")
        assert "exit(3)" in (ast.get_docstring(ast.parse((result.path / name / "model.py").read_text())) or "")


def test_a_run_says_which_final_trainings_count(tmp_path: Path) -> None:
    """A resumed run with other epochs: what is chosen now is not mixed with what was trained before."""
    given = {key: value for key, value in GIVEN.items() if key not in ("final_seeds", "finalists")}
    nas.search(**given, workers=0, finalists=2, final_seeds=2, final_epochs=1, out=tmp_path / "run")
    result = nas.search(**given, workers=0, finalists=1, final_seeds=2, final_epochs=3, out=tmp_path / "run")
    said = json.loads((tmp_path / "run" / "selection.json").read_text())
    trained = {"final": [t.number for t in result.final], "distilled": [], "joining": []}
    assert said == {**trained, "handed": ["best"], "chosen": "best"}
    assert {t.metrics["epochs"] for t in result.final} == {3}
    assert len(rows(tmp_path / "run" / "final.jsonl")) == 6


def test_a_final_training_that_is_interrupted_mixes_no_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nas.search(**GIVEN, workers=0, final_epochs=1, out=tmp_path / "run")
    monkeypatch.setattr("nas.final._missing", lambda wanted, done: (_ for _ in ()).throw(KeyboardInterrupt))
    assert (tmp_path / "run" / "selection.json").exists()
    result = nas.search(**GIVEN, workers=0, final_epochs=3, out=tmp_path / "run")
    assert result.interrupted
    assert result.final == []
    assert not (tmp_path / "run" / "selection.json").exists()  # it told of the session before


def test_final_trainings_that_fail_are_told_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated = Training.__call__

    def diverging(self: Training, job: Job) -> Any:
        if job.final:
            raise ArithmeticError("the loss is not finite")
        return evaluated(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "__call__", diverging)
        first = nas.search(**GIVEN, workers=0, verbose=True, out=tmp_path / "run")
    assert "1 of 1 final trainings failed, the first with ArithmeticError" in capsys.readouterr().err
    assert first.finalists == []
    assert first.best in first.trials
    again = nas.search(**GIVEN, workers=0, out=tmp_path / "run")
    assert [t.error is None for t in again.final] == [False]


def test_a_second_interruption_is_no_failure_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.run.Handover.finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nas.search(**GIVEN, workers=0, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "state.json").read_text())["phase"] == "interrupted"


@pytest.mark.parametrize("workers", [0, 2])
def test_weights_of_a_search_that_were_deleted_are_trained_again_to_the_same(tmp_path: Path, workers: int) -> None:
    options = {**GIVEN, "finalists": None, "final_seeds": None, "final_epochs": 0, "epochs": 3, "workers": workers}
    before = nas.search(**options, out=tmp_path / "run")
    (file,) = (before.path / "weights" / "search").iterdir()
    kept = load_file(file)
    file.unlink()
    assert nas.search(**options, out=tmp_path / "run").test_accuracy == before.test_accuracy
    apart = [(tensor - kept[name]).abs().float().mean().item() for name, tensor in load_file(file).items()]
    # a group rounds differently than a network alone, and Adam takes whole steps where a gradient is all rounding
    assert max(apart) < (0.01 if workers else 1e-9)
