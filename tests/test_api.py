"""The Python door: arrays in, a result out; spaces, strategies and data of one's own; a seed is the whole search."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import Diverging, Line, Ring, line, rows, timeless

import nas
from nas import plugins
from nas.dataset import Source
from nas.events import Monitor
from nas.trial import Trial

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread", "here")


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    return rng.normal(size=(150, 6)) + 2 * np.eye(6)[y], [("ant", "bee", "cat")[i] for i in y]


def search(blobs: Any, **options: Any) -> nas.Result:
    defaults: dict[str, Any] = {"space": "mlp", "budget": "50K", "data": blobs, "trials": 4, "epochs": 2, "workers": 0}
    return nas.search(**{**defaults, **options})


def test_a_search_on_arrays_gives_a_result(blobs: Any, tmp_path: Path) -> None:
    result = search(blobs, strategy="evolution", out=tmp_path / "out")
    assert sorted(t.number for t in result.trials) == [0, 1, 2, 3] == sorted(t.number for t in result.baseline)
    assert not result.interrupted
    assert {len(finalist.trials) for finalist in result.finalists} == {3}
    assert result.best is result.finalists[0].best
    assert result.finalists[0].mean == max(finalist.mean for finalist in result.finalists)
    longer = {t.candidate.architecture.digest for t in result.final}
    assert longer <= {t.candidate.architecture.digest for t in [*result.trials, *result.baseline]}
    assert result.best.params <= 50_000
    assert 0 <= (result.test_accuracy or -1) <= 1
    assert result.path == tmp_path / "out"
    assert timeless(rows(tmp_path / "out" / "trials.jsonl")) == timeless(result.trials)


def test_the_best_network_can_be_exported_elsewhere(blobs: Any, tmp_path: Path) -> None:
    result = search(blobs, strategy="random", out=tmp_path / "out")
    path = result.export(tmp_path / "mine" / "network")
    assert path == tmp_path / "mine" / "network"
    files = {p.name: p.read_bytes() for p in path.iterdir()}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "out" / "best").iterdir()}
    config = json.loads(files["config.json"])
    assert config["classes"] == ["ant", "bee", "cat"]
    assert config["validation_accuracy"] == result.best.value
    result.export(tmp_path / "mine" / "network")


def test_where_nothing_was_found_the_result_says_so(blobs: Any, tmp_path: Path) -> None:
    result = search(blobs, space=Diverging, strategy="random", out=tmp_path / "out")
    assert [bool(t.error) for t in result.trials] == [True] * 4
    with pytest.raises(ValueError, match=r"no trial in .*out has a result; see errors\.log there"):
        _ = result.best
    with pytest.raises(ValueError, match=r"no trial in .*out has a result"):
        result.export(tmp_path / "mine")
    with pytest.raises(ValueError, match="interrupted before the first network was trained"):
        _ = nas.Result(tmp_path, [], [], [], None, interrupted=True).best
    assert not (tmp_path / "mine").exists()


class Cycle(nas.Strategy):
    """The candidates of the space one after another."""

    def __init__(self, space: nas.SearchSpace) -> None:
        super().__init__(space)
        self.told: list[Trial] = []

    def ask(self, rng: np.random.Generator, pending: Sequence[nas.Candidate]) -> nas.Candidate:
        assert isinstance(rng, np.random.Generator)
        everything = list(self.space)
        return everything[(len(self.told) + len(pending)) % len(everything)]

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)


def test_a_space_and_a_strategy_of_ones_own_are_accepted(blobs: Any) -> None:
    result = search(blobs, space=Line, strategy=Cycle, baseline=False)
    assert [t.candidate for t in result.trials] == list(line())[:4]
    again = search(blobs, space=Line, strategy=Cycle, baseline=False)
    assert again.path == result.path  # and so nothing was trained again
    assert timeless(again.trials) == timeless(result.trials)
    assert [t.metrics["seconds"] for t in again.trials] == [t.metrics["seconds"] for t in result.trials]


def test_what_a_plug_in_must_return_is_said_where_it_returns_nothing(
    blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cycle, "ask", lambda *_: None)
    with pytest.raises(ValueError, match=r"Cycle.ask\(\) must return a candidate, .* got None"):
        search(blobs, space=Line, strategy=Cycle)
    for verb, wanted in {"load": "a nas.dataset.Dataset", "task": "a shape and a number of classes"}.items():
        monkeypatch.setattr(Ring, verb, lambda *_: None)
        with pytest.raises(ValueError, match=rf"Ring.{verb}\(\) must return {wanted}, .*got None"):
            search(Ring(), space=Line, strategy="random", out=verb)


def test_data_of_ones_own_are_accepted_as_they_are_and_by_name() -> None:
    one = search(Ring(), space="toy:Line", strategy="random", out="one")
    other = search("toy:Ring", space="toy:Line", strategy="random", out="other")
    assert timeless(one.trials) == timeless(other.trials)
    assert one.best.value > 0.4


def test_the_same_data_by_another_path_go_on_and_other_data_by_the_same_are_said_to_have_changed(
    blobs: Any, tmp_path: Path
) -> None:
    def table(last: str) -> str:
        rows = (f"{','.join(f'{value:.4f}' for value in row)},{label}" for row, label in zip(*blobs, strict=True))
        (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d,e,f,y", *rows, last]))
        return f"csv:{tmp_path}/t.csv,target=y"

    first = search(table("0,0,0,0,0,0,ant"), out="out", final_epochs=0)
    log = first.path.absolute() / "trials.jsonl"
    before = log.read_bytes()
    os.chdir(tmp_path)
    search("csv:t.csv,target=y", out=log.parent, final_epochs=0)
    assert log.read_bytes() == before
    with pytest.raises(ValueError, match="other data of this name, which has changed; give another --out"):
        search(table("0,0,0,0,0,1,ant") and "csv:t.csv,target=y", out=log.parent, final_epochs=0)
    with pytest.raises(ValueError, match=r"holds another search \(data is 't\.csv' there and"):
        search(table("0,0,0,0,0,1,ant"), out=log.parent, final_epochs=0)
    with pytest.raises(ValueError, match=r"--data t\.csv: which kind is it\? Give csv:t\.csv,target=COLUMN"):
        search("t.csv")


def test_a_kind_of_data_may_come_from_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's three groups: nas.search_spaces, nas.strategies, nas.data."""
    points = [
        EntryPoint("ring", "toy:Ring", "nas.data"),
        EntryPoint("line", "toy:Line", "nas.search_spaces"),
        EntryPoint("anything", "strategies.random:Random", "nas.strategies"),
    ]
    monkeypatch.setattr(plugins, "installed", lambda: EntryPoints(points))
    assert plugins.find("search_spaces", "line", nas.SearchSpace) is Line
    assert "anything" in plugins.names("strategies")
    assert plugins.find("nas.data", "ring", Source) is Ring


def test_a_seed_is_the_whole_search(blobs: Any) -> None:
    one, again = (search(blobs, seed=3, out=name, strategy="reinforce", trials=6) for name in ("one", "again"))
    other = search(blobs, seed=4, out="other", strategy="reinforce", trials=6)
    assert timeless(one.trials) == timeless(again.trials)
    assert timeless(one.baseline) == timeless(again.baseline)
    assert one.test_accuracy == again.test_accuracy
    assert Path("one/best/weights.safetensors").read_bytes() == Path("again/best/weights.safetensors").read_bytes()
    assert {t.candidate.key for t in one.trials} != {t.candidate.key for t in other.trials}


@pytest.mark.slow
def test_a_search_in_this_process_is_that_of_one_worker(blobs: Any) -> None:
    options: dict[str, Any] = {"trials": 6, "strategy": "evolution:population=2,sample=2", "device": "cpu"}
    options["fused"] = False  # a worker would train several together, which are then asked for together
    here, there = search(blobs, out="here", **options), search(blobs, out="there", workers=1, **options)
    assert timeless(here.trials) == timeless(there.trials)
    assert timeless(here.baseline) == timeless(there.baseline)


def test_the_baseline_costs_no_more_than_the_search_and_trains_no_network_again(blobs: Any) -> None:
    result = search(blobs, strategy="evolution:start=random", trials=6)  # all six are drawn at random
    assert [t.copy_of for t in result.baseline] == list(range(6))
    assert search(blobs, strategy="random", trials=6, out="random").baseline == []
    assert search(blobs, strategy="evolution", trials=6, baseline=False, out="without").baseline == []


def test_more_trials_go_on_from_those_that_are_there(blobs: Any) -> None:
    few = search(blobs, trials=3, out="out", baseline=False)
    more = search(blobs, trials=5, out="out", baseline=False)
    assert timeless(more.trials)[:3] == timeless(few.trials)
    assert timeless(more.trials) == timeless(search(blobs, trials=5, out="at once", baseline=False).trials)


def test_weights_that_were_deleted_are_trained_again_to_the_same_bits(blobs: Any) -> None:
    search(blobs, out="out", strategy="random")
    before = Path("out/best/weights.safetensors").read_bytes()
    for file in Path("out/weights/search").iterdir():
        file.unlink()
    search(blobs, out="out", strategy="random")
    assert Path("out/best/weights.safetensors").read_bytes() == before


def test_monitors_of_ones_own_are_told(blobs: Any) -> None:
    class Counting(Monitor):
        def __init__(self) -> None:
            self.phases: list[str] = []
            self.told_of: dict[str, int] = {}
            self.results: list[Path] = []

        def entered(self, phase: str) -> None:
            self.phases.append(phase)

        def told(self, trial: Trial) -> None:
            self.told_of[self.phases[-1]] = self.told_of.get(self.phases[-1], 0) + 1

        def closed(self, path: Path) -> None:
            self.results.append(path / "best")

    counting = Counting()
    result = search(blobs, monitors=[counting], finalists=2, final_seeds=2)
    assert counting.phases == ["search", "random", "final", "test"]
    assert counting.told_of == {"search": 4, "random": 4, "final": len(result.final)}
    assert counting.results == [result.path / "best"]


def test_nothing_is_printed_by_default(blobs: Any, capfd: pytest.CaptureFixture[str]) -> None:
    search(blobs)
    assert capfd.readouterr() == ("", "")
