"""Every format of a network is read again where `nas` cannot be imported, and computes what the module computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exporting import CLASSES, MISSING, SPACES, alone, best_trial, exported, insects, searched
from safetensors import safe_open

import nas
from nas import plugins
from nas.budget import Budget
from nas.export import FOLDER, export, main
from nas.format import Format
from nas.space import SearchSpace
from nas.wanted import Wanted

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")

BATCHES = (1, 7)
WRITTEN = sorted({*plugins.names(FOLDER)} - {"optuna"} - ({"onnx"} if MISSING else set()))
QUICK = ("mlp", "nasbench201")  # of the other spaces slow tests export eight networks each

LOAD = """
import os, pathlib
warnings.filterwarnings("ignore", r"`torch\\.jit\\.load` is", DeprecationWarning)  # torch advises torch.export instead

def onnx():
    import onnxruntime
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(["logits"], {"x": x.numpy()})[0])

def restored(tensors):
    network = importlib.import_module("model").Network()
    network.load_state_dict(tensors)
    return network.eval()

def source():
    return importlib.import_module("model").load("weights.safetensors")

def state_dict():
    return restored(torch.load("model.pt", weights_only=True))

def safetensors():
    from safetensors.torch import load_file
    return restored(load_file("model.safetensors"))

def torchscript():
    return torch.jit.load("model.ts")

def torch_export():
    return torch.export.load("model.pt2").module()

sys.path[:0] = [""]
for folder in sys.argv[2:]:
    os.chdir(folder)
    importlib.invalidate_caches()
    sys.modules.pop("model", None)
    for name in sys.argv[1].split(","):
        network = globals()[name]()
        for file in pathlib.Path().glob("x*.npy"):
            with torch.inference_mode():
                numpy.save(f"{name}-{file.name}", network(torch.from_numpy(numpy.load(file))).numpy())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The search in the MLP space, for what does not depend on the space."""
    return searched("mlp", tmp_path_factory.mktemp("run"))


def check_every_format(folders: Sequence[Path]) -> None:
    """Write every format into these best/ folders; another process computes with each what the module computes."""
    for best in folders:
        for name in WRITTEN:
            export(best, name)
        shape = Wanted(best).architecture.input_shape
        for size in BATCHES:
            x = torch.randn(size, *shape, generator=torch.Generator().manual_seed(size))
            np.save(best / f"x{size}.npy", x.numpy())
    alone(LOAD, ",".join(WRITTEN), *map(str, folders), cwd=Path.cwd())
    for best, size in product(folders, BATCHES):
        with torch.inference_mode():
            wanted = Wanted(best).network()(torch.from_numpy(np.load(best / f"x{size}.npy"))).numpy()
        files = [*best.glob(f"*-x{size}.npy")]
        assert len(files) == len(WRITTEN)
        for file in files:
            logits = np.load(file)
            assert logits.shape == wanted.shape
            assert np.abs(logits - wanted).max() < 1e-5 * max(1, np.abs(wanted).max()), file


@pytest.mark.parametrize("space", [pytest.param(s, marks=() if s in QUICK else pytest.mark.slow) for s in SPACES])
def test_what_a_search_hands_over_computes_the_same_in_every_format_without_nas(space: str, tmp_path: Path) -> None:
    check_every_format([searched(space, tmp_path) / "best"])


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_any_network_of_a_space_can_be_written_in_every_format(space: str, tmp_path: Path) -> None:
    spec, budget, shape = SPACES[space]
    made: SearchSpace = plugins.make("search_spaces", spec, SearchSpace, shape, 3, Budget(int(budget[:-1]) * 1000))
    folders = [tmp_path / f"n{number}" for number in range(8)]
    for number, best in enumerate(folders):
        exported(best, made.sample(np.random.default_rng(number)).architecture, insects())
    check_every_format(folders)


def test_a_file_goes_beside_the_networks_other_files_or_where_it_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for what in (run, run / "best", run / "best" / "config.json"):
        assert main([str(what), "--format", "state_dict"]) == 0
        assert capsys.readouterr().out.strip() == str(run / "best" / "model.pt")
    assert main([str(run), "--format", "state-dict", "--out", str(tmp_path / "a.pth")]) == 0
    assert (tmp_path / "a.pth").read_bytes() == (run / "best" / "model.pt").read_bytes()
    assert main([str(run), "--format", "source", "--trial", "0"]) == 0
    assert (run / "model_trial0.py").is_file()


def test_the_source_of_the_best_network_is_the_model_py_of_the_search(run: Path, tmp_path: Path) -> None:
    first = (run / "best" / "model.py").read_text()
    assert export(run, "source", out=tmp_path / "model.py").read_text() == first
    other = export(run, "source", out=tmp_path / "network.py").read_text()
    assert other == first.replace("from model import load", "from network import load")
    assert export(run, "source", out=tmp_path / 'my """net""".py').read_text() == first


@pytest.mark.parametrize("number", [0, 1])
def test_the_source_of_any_trial_is_the_network_that_was_trained(number: int, run: Path, tmp_path: Path) -> None:
    names: dict[str, object] = {}
    text = export(run, "source", trial=number, out=tmp_path / "model.py").read_text()
    exec(compile(text, "model.py", "exec"), {"__name__": "model", "__file__": "model.py"} | names, names := {})
    row = json.loads((run / "trials.jsonl").read_text().splitlines()[number])
    assert names["PARAMETERS"] == row["params"]
    assert f"validation accuracy {row['values'][0]:.4f}, trial {number}." in text


def test_a_trial_of_random_search_is_had_by_its_name(tmp_path: Path) -> None:
    told: dict[str, Any] = {"trials": 3, "epochs": 1, "final_epochs": 0, "baseline": True, "workers": 0}
    run = nas.search(budget="20K", data="digits", strategy="evolution", out=tmp_path / "run", **told).path
    rows = [json.loads(line) for line in (run / "baseline.jsonl").read_text().splitlines()]
    for row in rows:
        assert main([str(run), "--format", "source", "--trial", f"random {row['number']}"]) == 0
        text = (run / f"model_random{row['number']}.py").read_text()
        assert f"PARAMETERS = {row['params']:_}\n" in text
        assert f"trial random {row['number']}" in text
        assert Wanted(run, f"random{row['number']}").facts["trial"] == f"random {row['number']}"


def test_trials_of_a_search_that_was_narrowed_can_be_had(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(900, 4)), np.arange(900) % 3
    np.savez(tmp_path / "data.npz", X=x, y=y)
    told: dict[str, Any] = {"only": "width,depth", "trials": 2, "epochs": 1, "final_epochs": 0, "baseline": False}
    nas.search(budget="20K", data=f"npz:{tmp_path}/data.npz", workers=0, out=tmp_path / "run", **told)
    for number in range(2):
        assert export(tmp_path / "run", "source", trial=number, out=tmp_path / "model.py").is_file()


def test_a_trial_whose_weights_were_kept_has_every_format(run: Path, tmp_path: Path) -> None:
    kept = export(run, "state_dict", trial=best_trial(run), out=tmp_path / "kept.pt")
    best = export(run, "state_dict", out=tmp_path / "best.pt")
    tensors, others = (torch.load(file, weights_only=True) for file in (kept, best))  # no final training: the same
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_the_files_say_what_the_network_is(run: Path, tmp_path: Path) -> None:
    facts = Wanted(run).facts
    with safe_open(export(run, "safetensors", out=tmp_path / "a.safetensors"), "pt") as file:
        words = file.metadata()
    assert words["format"] == "pt"
    assert json.loads(words["classes"]) == CLASSES
    assert json.loads(words["parameters"]) == facts["parameters"]
    assert json.loads(words["architecture"]) == facts["architecture"]
    extra = {"config.json": ""}
    torch.export.load(export(run, "torch.export", out=tmp_path / "a.pt2"), extra_files=extra)
    assert json.loads(extra["config.json"]) == facts
    if not MISSING:
        import onnx

        made = onnx.load(export(run, "onnx", out=tmp_path / "a.onnx"))
        assert {p.key: json.loads(p.value) for p in made.metadata_props if p.key != "format"}["classes"] == CLASSES
        for value in (made.graph.input[0], made.graph.output[0]):
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


class Words(Format):
    """A format of one's own."""

    ENDING = ".txt"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        return f"{name}: {wanted.architecture}".encode()


def test_a_format_of_ones_own_is_named_by_module_and_class(run: Path) -> None:
    file = export(run, f"{__name__}:Words")
    assert file == run / "best" / "model.txt"
    assert file.read_text() == f"model: {Wanted(run).architecture}"


@pytest.mark.parametrize("module", ["search", "export", "report", "draw", "monitor"])
def test_the_help_of_every_command_is_printed_without_a_warning(module: str) -> None:
    command = [sys.executable, "-W", "error", "-m", f"nas.{module}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(nas.__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert module != "export" or all(name in done.stdout for name in plugins.names(FOLDER))


@pytest.mark.parametrize("name", ["source", "optuna"])
def test_what_needs_no_weights_needs_no_torch(name: str, run: Path, tmp_path: Path) -> None:
    script = f"import sys; from nas.export import export; export({str(run)!r}, {name!r}, out='it')"
    script += "; sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    paths = {**os.environ, "PYTHONPATH": str(Path(nas.__file__).parents[1])}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=paths, check=False)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["it"]


def test_the_trials_of_a_search_are_a_study_that_optuna_loads(run: Path, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="optuna is not installed; pip install 'nas-search[export]'")
    rows = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    copy = tmp_path / "run"
    copy.mkdir()
    failed = {**rows[0], "number": 2, "values": [], "error": "RuntimeError: no", "curve": [], "metrics": {}}
    lines = [json.dumps(row) + "\n" for row in (rows[1], failed, rows[0])]  # as they may end
    (copy / "trials.jsonl").write_text("".join(lines) + '{"number": 3, "choi')
    for name in ("config.yaml", "space.json"):
        (copy / name).write_bytes((run / name).read_bytes())
    file = export(copy, "optuna")
    assert file == copy / "optuna.db"
    assert export(copy, "optuna") == file  # over the first
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    study = optuna.load_study(study_name="run", storage=storage)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "FAIL"]
    forks = json.loads((copy / "space.json").read_text())
    for trial, row in zip(study.trials, [*rows, failed], strict=True):
        assert trial.params == row["choices"]
        assert trial.values == (row["values"] or None)
        assert trial.user_attrs["parameters"] == row["params"]
        assert trial.user_attrs["network"] == row["network"]
        assert trial.user_attrs.get("error") == row["error"]
        assert list(trial.intermediate_values.values()) == [epoch["val_accuracy"] for epoch in row["curve"]]
        for fork, distribution in trial.distributions.items():
            assert set(forks.get(fork, ())) <= set(distribution.choices)
    assert study.best_value == max(row["values"][0] for row in rows)
    assert study.best_trial.duration.total_seconds() == pytest.approx(
        rows[study.best_trial.number]["metrics"]["seconds"]
    )
    storage.remove_session()
    storage.engine.dispose()
