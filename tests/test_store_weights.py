"""The weights of the best trial, and they alone, stay; config.yaml is a file for `--config`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from searching import Search
from toy import Line, Toy, line

import nas
from nas.configfile import read_yaml
from nas.dataset import Arrays, Dataset
from nas.evaluate import Stopping, Training
from nas.executors.inline import Inline
from nas.network import Network
from nas.options import Options
from nas.provenance import config, identity
from nas.run import Problem
from nas.store import KeepBestWeights, RunDirectory
from nas.train.loop import Resident, evaluate
from nas.trial import Trial, best_first

pytest_plugins = ("fixtures_run",)


@dataclass
class Shelf:
    """The folder of the weights, and trials that come in as in a search: those that beat the best write theirs."""

    folder: Path
    told: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keep = KeepBestWeights(self)
        self.keep.started([])

    def __call__(self, number: int) -> Path:
        return self.folder / f"{number}.w"

    def tell(self, trial: Trial) -> None:
        best = max((t.value for t in self.told if t.values), default=-np.inf)
        if trial.values and trial.copy_of is None and trial.value >= best:
            self(trial.number).write_text("")
        self.told.append(trial)
        self.keep.told(trial)

    def resume(self, crash: str) -> None:
        self(self.told[-1].number).with_suffix(".partial").write_text(crash)
        self.keep = KeepBestWeights(self)
        self.keep.started(self.told)

    @property
    def left(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir())


def trials_of(values: Sequence[float | None], numbers: Sequence[int]) -> list[Trial]:
    """Trials of these values, told in this order; two of one value are two different networks."""
    networks = list(line())
    return [
        Trial(number, networks[number], 0, *([((value,))] if value is not None else []), error=None if value else "no")
        for value, number in zip(values, numbers, strict=True)
    ]


values = st.lists(st.sampled_from([None, 0.1, 0.5, 0.9]), min_size=1, max_size=8)


@given(values=values, data=st.data())
def test_of_all_weights_those_of_the_best_trial_stay(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], data: st.DataObject
) -> None:
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    resumed = data.draw(st.integers(0, len(values)))
    for trial in trials_of(values, data.draw(st.permutations(range(len(values))))):
        shelf.tell(trial)
        best = best_first(shelf.told)
        assert shelf.left == [f"{t.number}.w" for t in best[:1]]
        if len(shelf.told) == resumed:
            shelf.resume("half a file")
            assert shelf.left == [f"{t.number}.w" for t in best[:1]]


@pytest.mark.parametrize("number", [2, 9], ids=["an earlier number", "a later number"])
def test_a_copy_of_the_best_trial_does_not_throw_its_weights_away(tmp_path: Path, number: int) -> None:
    """After a cut a missing number is asked again, and may be a copy of a later one."""
    shelf = Shelf(tmp_path)
    original = trials_of([0.5], [5])[0]
    shelf.tell(original)
    shelf.tell(Trial(number, original.candidate, 1, original.values, copy_of=5))
    assert shelf.left == ["5.w"]
    shelf.resume("half a file")
    assert shelf.left == ["5.w"]
    assert best_first(shelf.told)[0].copy_of is None  # so its weights are where its number says


def test_a_search_leaves_the_weights_of_its_best_trial(search: Search, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "here", {}, {})
    weights_of = directory.weights_of("search")
    for trials in (4, 9, 20):
        toy = Toy()
        keep = KeepBestWeights(weights_of)
        told = search(trials=trials, executor=Inline(toy), monitors=(keep,), weights_of=weights_of)
        assert [p.read_text() for p in weights_of(0).parent.iterdir()] == [str(best_first(told)[0].number)]
    directory.close()


class Few(Line):
    """Eight candidates, so that a search and its baseline meet."""

    def describe(self, choose: Any) -> Any:
        return super().describe(lambda name, options: choose(name, options[:1] if name == "depth" else options))


@pytest.fixture(scope="module")
def blobs() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    return rng.normal(size=(150, 6)) + y[:, None], y


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", range(12))
def test_the_exported_network_has_the_accuracy_that_is_said_of_it(
    tmp_path: Path, blobs: tuple[Any, Any], seed: int
) -> None:
    result = nas.search(
        Few, "1K", blobs, "evolution:population=2,sample=1", trials=12, epochs=2, workers=0, seed=seed, out=tmp_path
    )
    dataset = Arrays(*blobs).load(seed)
    network = Network(result.best.candidate.architecture)
    training = Training(dataset, Stopping(1, 1))
    training.prepare("cpu")
    facts = json.loads((tmp_path / "best" / "config.json").read_text())
    assert training.test(result.best.candidate, tmp_path / "best" / "weights.safetensors") == facts["test_accuracy"]
    from safetensors.torch import load_file

    network.load_state_dict(load_file(tmp_path / "best" / "weights.safetensors"))
    validation = Resident.of(dataset.validation, dataset, torch.device("cpu"))
    assert evaluate(network, validation)[0] == result.best.value == facts["validation_accuracy"]


def dataset() -> Dataset:
    return Arrays(np.random.default_rng(0).normal(size=(30, 6)), np.arange(30) % 3, "thirty").load(0)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"space": "mlp:max_depth=3,max_width=64", "strategy": "evolution:population=4,sample=2"},
        {"time": "1h30m", "fill": 0.25, "workers": 2, "device": "cpu", "baseline": False},
        {"time": 0.5, "trials": 7, "epochs": 3, "patience": 2, "seed": 11, "fill": 1, "baseline": True, "workers": 0},
        {"space": "toy:Line", "strategy": "strategies.random:Random"},
    ],
)
def test_config_yaml_can_be_given_to_config_again(tmp_path: Path, given: dict[str, Any]) -> None:
    options = Options.of({"budget": "50K", "out": str(tmp_path / "here"), **given})
    RunDirectory(tmp_path / "here", config(options, dataset(), 60), identity(options, dataset())).close()
    again = Options.of(read_yaml(str(tmp_path / "here" / "config.yaml")))
    assert again == options
    assert identity(again, dataset()) == identity(options, dataset())
    RunDirectory(tmp_path / "here", config(again, dataset(), 60), identity(again, dataset())).close()


def test_a_password_in_a_monitors_address_is_left_out_of_config_yaml_and_of_nothing_else() -> None:
    options = Options.of({"budget": "50K", "monitors": {"mlflow": "https://me:PASSWORD@host:5000/x", "nni": "8080"}})
    assert config(options, dataset(), 60)["monitors"] == {"mlflow": "https://host:5000/x", "nni": "8080"}
    assert options.monitors["mlflow"] == "https://me:PASSWORD@host:5000/x"


def test_a_class_stands_in_config_yaml_by_a_name_that_finds_it(tmp_path: Path) -> None:
    options = Options.of({"space": Line, "budget": "50K", "strategy": nas.Strategy})
    RunDirectory(tmp_path, config(options, dataset(), 60), identity(options, dataset())).close()
    again = read_yaml(str(tmp_path / "config.yaml"))
    assert (again["space"], again["strategy"]) == ("toy:Line", "nas.strategy:Strategy")
    problem = Problem.of(Options.of({**again, "data": "digits", "strategy": "random"}))
    assert isinstance(problem.space, Line)
