"""Searches with a final training, from their beginning to the network that is handed over."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import line

import nas
from nas.finalists import GROWING, affordable
from nas.recipe import Recipe
from nas.study import HOPELESS

SPACE = line()


def blobs() -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(150) % 3
    return np.random.default_rng(0).normal(size=(150, 6)) + np.eye(6)[y], y


def search(folder: Path, **options: Any) -> nas.Result:
    given = {"budget": "5K", "data": blobs(), "trials": 3, "epochs": 2, "workers": 0, "baseline": False}
    return nas.search(**{**given, "out": folder, **options})  # type: ignore[arg-type]  # a dict of options


def test_the_network_that_is_exported_is_that_of_the_final_training(tmp_path: Path) -> None:
    result = search(tmp_path / "run")
    assert [len(finalist.trials) for finalist in result.finalists] == [3] * 3
    assert result.best in result.final
    assert result.best is result.finalists[0].best
    assert result.best.metrics["epochs"] == 8
    without = search(tmp_path / "without", final_epochs=0)
    assert without.final == []
    assert without.best in without.trials


def test_the_same_command_again_trains_nothing_again(tmp_path: Path) -> None:
    first = search(tmp_path / "run", final_epochs=5)
    before = (tmp_path / "run" / "final.jsonl").read_bytes()
    again = search(tmp_path / "run", final_epochs=5)
    assert (tmp_path / "run" / "final.jsonl").read_bytes() == before
    assert again.best == first.best
    assert {t.metrics["epochs"] for t in again.final} == {5}


@pytest.mark.parametrize("options", [{"folds": 3}, {"sample": 0.3}, {"time": "3s", "trials": None}])
def test_folds_samples_and_deadlines_end_in_a_network_trained_on_everything(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    result = search(tmp_path / "run", **options)
    assert result.best in result.final
    assert (tmp_path / "run" / "best" / "weights.safetensors").exists()
    assert result.test_accuracy is not None


def test_too_many_folds_leave_no_folder_that_refuses_the_mended_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--folds 500"):
        search(tmp_path / "run", folds=500)
    assert search(tmp_path / "run", folds=2).final


def test_a_search_of_nothing_but_failures_ends_before_its_time(tmp_path: Path) -> None:
    began = time.monotonic()
    space = type("Hopeless", (SPACE.__class__,), {"recipe": lambda self, choose: Recipe("sgd", float("inf"))})
    result = search(tmp_path / "run", space=space, time="10m", trials=None, final_epochs=0)
    assert not any(t.values for t in result.trials)
    assert HOPELESS <= len(result.trials) < 2 * HOPELESS
    assert time.monotonic() - began < 100


@pytest.mark.parametrize("fixed", [{"l1": 1e-4}, {"optimizer": "adam-sgd"}, {"optimizer": "sam"}])
def test_layers_that_are_held_for_the_count_alone_are_no_hindrance_to_a_recipe(
    tmp_path: Path, fixed: dict[str, Any]
) -> None:
    data = np.random.default_rng(0).normal(size=(60, 1, 8, 8)), np.arange(60) % 2
    dead = {"edge01": "conv3x3", "edge12": "none", "edge13": "none", "edge03": "conv1x1"}
    given = {"space": "nasbench201:cells=1,channels=4", "budget": "1M", "data": data, "trials": 1}
    result = search(tmp_path / "run", **given, fix={**fixed, **dead})
    assert result.best.value >= 0


def test_the_same_command_under_a_deadline_trains_no_finalist_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("nas.choosing.affordable", lambda *told: affordable(*told)[:1])  # as if there were less time
        first = search(tmp_path / "run", time="2s", trials=None)
    before = (tmp_path / "run" / "final.jsonl").read_bytes()
    again = search(tmp_path / "run", time="2s", trials=None)
    assert (tmp_path / "run" / "final.jsonl").read_bytes() == before
    assert again.best == first.best
    trained = Counter(trial.candidate.key for trial in again.final)
    assert 0 < max(trained.values()) <= max(seeds for _, seeds in GROWING)
