"""What `python -m nas.export` refuses: one sentence with the remedy each, and nothing is left half written."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from exporting import MISSING, NO_ONNX, best_trial, exported, insects, searched
from toy import assert_refused

from nas import plugins
from nas.export import FOLDER, export, main
from nas.network import Network
from nas.space import SearchSpace
from nas.weights import save_weights

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched("mlp", tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("name", sorted({*plugins.names(FOLDER)} - {"source", "optuna"}))
def test_a_trial_whose_weights_were_not_kept_is_refused(name: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"weights of trial {1 - best_trial(run)} were not kept.*--format source"):
        export(run, name, trial=1 - best_trial(run), out=tmp_path / "it")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}/nowhere", "--format", "source"], "'{run}/nowhere' does not exist; give a run directory"),
        (["{run}/nowhere", "--format", "optuna"], "'{run}/nowhere' does not exist; give a run directory"),
        (["{run}/weights", "--format", "onnx"], "holds no config.json and no best/config.json; give a run directory"),
        (["{run}", "--format", "onxn"], "there is no format 'onxn'; did you mean 'onnx'?"),
        (["{run}", "--format", "torch.exprt"], "there is no format 'torch_exprt'; did you mean 'torch_export'?"),
        (["{run}", "--format", "x"], "there is no format 'x'; known: onnx, optuna, safetensors, source, state_dict, t"),
        (["{run}", "--format", "nas.budget:Budget"], "'nas.budget:Budget' is not a subclass of nas.format.Format"),
        (["{run}"], "Missing option '--format'"),
        (["{run}", "--format", "source", "--trial", "7"], "trial 7 is not in {run}/trials.jsonl, which holds trials 0"),
        (["{run}/best", "--format", "source", "--trial", "0"], "--trial needs a run directory, and {run}/best has no"),
        (["{run}/best", "--format", "optuna"], "'{run}/best' is no run directory (it has no config.yaml); give the"),
        (["{run}", "--format", "optuna", "--trial", "0"], "takes the whole search, not trial 0; leave --trial out"),
        (["{run}", "--format", "source", "--out", "{run}/no/a.py"], "'{run}/no' is no folder; make it, or give anoth"),
        (["{run}", "--format", "source", "--out", "{run}"], "'{run}' is a folder; give a file in it as --out"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_remedy_and_status_two(
    run: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([argument.format(run=run) for argument in arguments])
    assert_refused(status, capsys.readouterr(), said.format(run=run))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_not_replaced(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """/dev/stdout would be lost to every other program."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    status = main([str(run), "--format", "source", "--out", str(pipe)])
    assert_refused(status, capsys.readouterr(), f"'{pipe}' is no file that can be replaced; give another --out")
    assert pipe.is_fifo()


def test_weights_that_are_damaged_missing_or_of_another_network_are_refused(tmp_path: Path) -> None:
    space: SearchSpace = plugins.make("search_spaces", "mlp:max_depth=3,max_width=64", SearchSpace, (2, 4), 3)
    one, other = (space.sample(np.random.default_rng(seed)).architecture for seed in (1, 2))
    exported(tmp_path / "best", one, insects())
    weights, out = tmp_path / "best" / "weights.safetensors", tmp_path / "there.pt"
    out.write_text("an earlier file")
    whole = weights.read_bytes()
    before = {file.name for file in tmp_path.iterdir()}
    other_number = bytes([*whole[:-1], whole[-1] ^ 0x40])
    for damaged in (*(whole[:length] for length in (0, 4, 60, len(whole) // 2, len(whole) - 1)), other_number):
        weights.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"weights\.safetensors is damaged, or of another network; run the search's comm"
        ):
            export(tmp_path, "state_dict", out=out)
    save_weights(Network(other).state_dict(), weights)
    with pytest.raises(ValueError, match="of another network"):
        export(tmp_path, "state_dict", out=out)
    weights.unlink()
    with pytest.raises(ValueError, match=r"weights\.safetensors is missing; run the search's command again"):
        export(tmp_path, "state_dict", out=out)
    assert out.read_text() == "an earlier file"
    assert {file.name for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("scope", ["a = 1; import os", "class", "a..b"])
def test_a_config_json_cannot_bring_code_of_its_own_into_the_source(scope: str, tmp_path: Path) -> None:
    space: SearchSpace = plugins.make("search_spaces", "mlp", SearchSpace, (2, 4), 3)
    exported(tmp_path / "best", space.sample(np.random.default_rng(1)).architecture, insects())
    file = tmp_path / "best" / "config.json"
    config = json.loads(file.read_text())
    config["architecture"]["nodes"][-1].append(scope)
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json holds no architecture"):
        export(tmp_path, "source")


@pytest.mark.parametrize(
    "facts", [{"data": 3}, {"data": {"name": "x"}}, {"test_accuracy": "high"}, {"parameter_budget": "4K"}]
)
def test_a_config_json_whose_facts_are_none_is_refused(facts: dict[str, object], run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "best" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **facts}))
    with pytest.raises(ValueError, match=r"config\.json is damaged; run the search's command again"):
        export(tmp_path, "source")


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "no trial of the search in .* has ended; wait for the first"),
        ('{"number": 0, "choi', "no trial of the search in .* has ended"),
        ('{"number": 0}\n', r"trials\.jsonl is damaged; restore the file"),
        ('{"number": "first"}\n', r"trials\.jsonl is damaged; restore the file"),
    ],
)
def test_a_log_without_trials_or_damaged_makes_no_study(log: str, said: str, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed; pip install 'nas-search[export]'")
    (tmp_path / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    (tmp_path / "trials.jsonl").write_text(log)
    with pytest.raises(ValueError, match=said):
        export(tmp_path, "optuna")
    assert not (tmp_path / "optuna.db").exists()


@pytest.mark.parametrize(("name", "library"), [("onnx", "onnxscript"), ("onnx", "onnx"), ("optuna", "optuna")])
def test_a_library_that_is_missing_is_named_with_the_remedy(
    name: str, library: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "onnx" and MISSING:
        pytest.skip(NO_ONNX)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf"needs {library}, .* pip install 'nas-search\[export\]'"):
        export(run, name)


def test_a_network_too_large_for_an_onnx_file_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.formats.onnx.MOST", 100)
    with pytest.raises(ValueError, match=r"at most 2 GB, too little for [\d,]+ parameters; take --format torch_export"):
        export(run, "onnx")
