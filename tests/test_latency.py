"""Latency as an objective: networks are timed before the search, and a model of their layers says it of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exporting import SPACES
from rich.console import Console
from toy import Line, Toy, assert_refused

import nas
from nas import plugins
from nas.architecture import Architecture
from nas.budget import Budget, parse_size
from nas.cli import main
from nas.evaluate import Training
from nas.executors.inline import Inline
from nas.latency import NETWORKS, Latency, costs, of_run
from nas.network import Network
from nas.options import Options
from nas.report import write_report
from nas.space import SearchSpace
from nas.summary import print_result
from nas.train import latency
from search_spaces.mlp import MLP

pytestmark = pytest.mark.usefixtures("one_thread")
pytest_plugins = ("fixtures_run",)
CPU = torch.device("cpu")


def drawn(space: SearchSpace, number: int = NETWORKS) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.sample(rng).architecture for _ in range(number)]


def planted(architecture: Architecture) -> float:
    """As if each layer took 20 us, and each FLOP of a linear one 1 ns."""
    found = costs(architecture)
    layers = sum(amount for name, amount in found.items() if not name.endswith(("params", "flops")))
    return 0.02 * layers + 1e-6 * found["linear flops"]


def test_a_model_finds_the_times_that_layers_have() -> None:
    seen, others = drawn(MLP((64,), 10, Budget(200_000)), 2 * NETWORKS)[::2], drawn(MLP((64,), 10, Budget(50_000)), 20)
    model = Latency.fit(seen, [planted(architecture) for architecture in seen])
    assert max(model.error) < 0.01
    for architecture in others:
        assert model(architecture) == pytest.approx(planted(architecture), rel=0.05)
    assert all(milliseconds > 0 for milliseconds in model.milliseconds.values())


def test_noise_is_said_and_makes_no_layer_cheaper_than_nothing() -> None:
    rng, seen = np.random.default_rng(0), drawn(MLP((64,), 10, Budget(200_000)))
    noisy = Latency.fit(seen, [planted(architecture) * rng.uniform(0.5, 2.0) for architecture in seen])
    assert 0.1 < noisy.error[0] < noisy.error[1]
    assert all(milliseconds > 0 for milliseconds in noisy.milliseconds.values())
    assert f"within {noisy.error[0]:.0%} of it" in str(noisy)


def test_a_deep_network_takes_longer_than_a_shallow_one_and_threads_are_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.2)
    space = MLP((64,), 10, max_depth=20)
    values = {"shape": "cylinder", "width": 32, "skip": False}
    networks = [space.nearest({**values, "depth": depth}).architecture for depth in (1, 20)]
    torch.set_num_threads(2)
    try:
        shallow, deep = latency.milliseconds(networks, CPU)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert 0 < 3 * shallow < deep


def test_networks_share_their_memory_and_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Network] = []
    monkeypatch.setattr(latency, "_seconds", lambda network, x: made.append(network) or float(network(x).shape[1]))  # type: ignore[func-returns-value]
    networks = drawn(MLP((64,), 10, Budget(50_000)), 5)
    assert latency.milliseconds(networks, CPU) == [10_000.0] * 5
    for network, architecture in zip(made[:: latency.PASSES], networks, strict=False):
        parameters = [*network.parameters()]
        assert sum(p.numel() for p in parameters) == architecture.num_params
        assert len({p.untyped_storage().data_ptr() for p in parameters}) == 1


@pytest.mark.parametrize("name", SPACES)
def test_networks_of_every_space_can_be_timed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "ROUNDS", (1, 1))
    spec, budget, shape = SPACES[name]
    space: SearchSpace = plugins.make("search_spaces", spec, SearchSpace, shape, 3, Budget(parse_size(budget)))
    architectures = drawn(space, 8)
    model = Latency.fit(architectures, latency.milliseconds(architectures, CPU))
    assert all(model(architecture) > 0 for architecture in architectures)


def search(out: Path, **options: Any) -> nas.Result:
    given = {"objective": "accuracy,-params,-latency", "strategy": "nsga2:population=4", "budget": "20K", "space": Line}
    return nas.search(out=out, **given, **{"epochs": 1, "workers": 0, "final_epochs": 0, "trials": 5, **options})


def test_a_search_for_latency_has_it_of_every_network_and_goes_on_with_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.2)
    search(tmp_path / "run", trials=3, baseline=False)
    monkeypatch.setattr(latency, "milliseconds", lambda *_: pytest.fail("timed twice"))
    result = search(tmp_path / "run")
    known = json.loads((tmp_path / "run" / "latency.json").read_text())
    model = Latency(known["milliseconds"], known["error"])
    for trial in [*result.trials, *result.baseline]:
        network = trial.candidate.architecture
        assert trial.values[1:] == (-network.num_params, -model(network))
        assert trial.metrics["latency"] == model(network) > 0
    console = Console(record=True, width=200)
    print_result(result, Options.of({"budget": "20K", "objective": "accuracy,-params,-latency"}), console, quiet=False)
    shown, page = console.export_text(), write_report(result.path).read_text(encoding="utf-8")
    for text in (shown, page):
        assert "latency, ms" in text
        assert f"{result.front[0].metrics['latency']:.3g}" in text
        assert "half of them are within" in " ".join(text.split())


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"milliseconds": 3, "error": []}', '{"milliseconds": {"relu": "x"}}']
)
def test_a_damaged_model_is_refused_for_trials_have_values_by_it(tmp_path: Path, damage: str) -> None:
    (tmp_path / "latency.json").write_text(damage)
    with pytest.raises(ValueError, match=r"latency.json is damaged; restore the file or begin with another --out"):
        of_run(tmp_path / "latency.json", MLP((4,), 2), 0, lambda: pytest.fail("timed"), Training.latencies)


class Broken(Toy):
    def latencies(self, architectures: list[Architecture]) -> list[float]:
        raise RuntimeError("no clock")


def test_networks_that_cannot_be_timed_end_the_search_before_it_begins(tmp_path: Path) -> None:
    space = MLP((4,), 2, Budget(1000))
    with pytest.raises(ValueError, match=r"networks could not be timed \(RuntimeError: no clock\); leave it out"):
        of_run(tmp_path / "latency.json", space, 0, lambda: Inline(Broken(failing=False)), Broken.latencies)
    assert not (tmp_path / "latency.json").exists()


def test_a_strategy_of_one_objective_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--budget", "20K", "--objective", "accuracy,-latency", "--strategy", "local"])
    assert_refused(status, capsys.readouterr(), "accuracy,-latency is too much for strategy local,")
