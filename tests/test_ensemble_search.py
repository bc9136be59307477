"""Searches that end with an ensemble, and with a network that it has taught."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from toy import rows

import nas
from nas.evaluate import Stopping, Training
from nas.options import Options
from nas.problem import Problem
from nas.summary import print_result

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")

FOLDERS = {"network": "best", "ensemble": "ensemble", "distilled": "distilled"}  # by what `chosen` says


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> nas.Result:
    return nas.search(
        budget="4K", trials=6, epochs=2, workers=0, baseline=False, final_seeds=2, ensemble=True, distill=4,
        out=tmp_path_factory.mktemp("joined") / "run",
    )  # fmt: skip  # options


def test_a_search_ends_with_an_ensemble_inside_the_budget(joined: nas.Result) -> None:
    assert joined.joint is not None
    assert 0 < joined.joint.params <= 4000
    assert {len(finalist.trials) for finalist in joined.finalists} == {2}
    assert len(joined.distilled) == 2
    assert joined.distilled[0].candidate == joined.finalists[0].best.candidate
    assert joined.chosen in ("network", "ensemble", "distilled")
    configs = {name: json.loads((joined.path / name / "config.json").read_text()) for name in FOLDERS.values()}
    tested = [name for name, config in configs.items() if config["test_accuracy"] is not None]
    assert tested == [FOLDERS[joined.chosen]]  # the test part was used once
    assert configs["ensemble"]["parameters"] == joined.joint.params
    assert len(rows(joined.path / "distilled.jsonl")) == 2


def test_members_are_networks_that_the_validation_part_has_chosen_no_epoch_of(joined: nas.Result) -> None:
    assert joined.joint is not None
    assert {member.weights.parent.name for member in joined.joint.members} == {"final"}
    assert len(list((joined.path / "weights" / "search").iterdir())) == 1  # the best one's


def test_without_a_final_training_networks_of_the_search_are_joined(tmp_path: Path) -> None:
    given: dict[str, Any] = {"budget": "4K", "workers": 0, "baseline": False, "epochs": 1, "out": tmp_path / "run"}
    found = nas.search(**given, trials=4, final_epochs=0, ensemble=True)
    assert found.joint is not None
    assert {member.weights.parent.name for member in found.joint.members} == {"search"}
    print_result(
        found, Options.of({**given, "final_epochs": 0, "ensemble": True}), console := Console(record=True), False
    )
    assert "Ensemble of" in console.export_text()


def test_the_ensemble_answers_without_nas(joined: nas.Result, tmp_path: Path) -> None:
    """Its file computes the mean that was selected, in a process that imports torch alone."""
    assert joined.joint is not None
    folder = joined.path / "ensemble"
    data = Problem.of(Options.of({"budget": "4K"})).load()
    train = Training(data, Stopping(1, 1))
    train.prepare("cpu")
    found = [train.probabilities(member) for member in joined.joint.members]
    expected = sum(m.share * p for m, p in zip(joined.joint.members, found, strict=True) if p is not None)
    assert float((np.argmax(expected, 1) == data.validation.y).mean()) == pytest.approx(joined.joint.accuracy)
    np.save(tmp_path / "samples.npy", data.validation.x)
    command = [sys.executable, "-I", str(folder / "predict.py"), str(tmp_path / "samples.npy")]
    blocked = f"import sys, runpy; sys.path.insert(0, {str(folder)!r}); sys.modules['nas'] = None; sys.argv = "
    code = f"{blocked}{command[2:]!r}; runpy.run_path({str(folder / 'predict.py')!r}, run_name='__main__')"
    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert out.stdout.split() == [data.classes[i] for i in np.argmax(expected, 1)]


def test_the_same_command_again_joins_the_same_networks(joined: nas.Result) -> None:
    before = (joined.path / "ensemble" / "config.json").read_text()
    again = nas.search(
        budget="4K", trials=6, epochs=2, workers=0, baseline=False, final_seeds=2, ensemble=True, distill=4,
        out=joined.path,
    )  # fmt: skip  # options
    assert (joined.path / "ensemble" / "config.json").read_text() == before
    assert again.test_accuracy == joined.test_accuracy


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"distill": 4, "final_epochs": 0}, "--distill 4 teaches in the final training; leave --no-final out"),
        ({"ensemble": True, "final_epochs": 0, "folds": 2}, "--folds 2 leaves no weights to join"),
    ],
)
def test_options_that_rule_each_other_out_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Options.of({"budget": "4K", **given})


@pytest.mark.parametrize(
    ("given", "said"), [({"distill": 0.5}, "distill must be a temperature"), ({"ensemble": 3}, "true")]
)
def test_a_wrong_option_is_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Options.of({"budget": "4K", **given})


def test_a_run_says_how_many_networks_it_has_tested(tmp_path: Path) -> None:
    given: dict[str, Any] = {"budget": "4K", "workers": 0, "baseline": False, "epochs": 1, "out": tmp_path / "run"}
    first = nas.search(**given, trials=2, final_epochs=0)
    assert first.tests == 1
    assert nas.search(**given, trials=2, final_epochs=0).tests == 1  # the same one: nothing new was learned
    assert nas.search(**given, trials=2, final_epochs=2, finalists=1, final_seeds=1).tests == 2


def test_final_trainings_are_measured_at_their_last_epoch(joined: nas.Result) -> None:
    """The best epoch would have been chosen by the validation part that measures it."""
    assert all(t.value == t.curve[-1]["val_accuracy"] for t in joined.final)
