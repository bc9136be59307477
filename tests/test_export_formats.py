"""Every format of a network is read again where `nas` cannot be imported, and computes what the module computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from exporting import alone, exported, insects
from safetensors import safe_open

import nas
from nas import plugins
from nas.budget import Budget
from nas.evaluate import save_weights
from nas.export import FOLDER, export, main
from nas.format import Format
from nas.network import Network
from nas.space import SearchSpace
from nas.wanted import Wanted

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")

SPACES = {
    "mlp": ("mlp:max_depth=3,max_width=64", "4K", (2, 4)),
    "cnn": ("cnn:max_stages=2,max_blocks=1,max_width=32", "20K", (1, 8, 8)),
    "cell": ("cell:nodes=1,max_repeats=1,max_width=16", "20K", (1, 8, 8)),
    "nasbench201": ("nasbench201:cells=1,channels=4", "50K", (1, 8, 8)),
}
BATCHES = (1, 7)
CLASSES = ["ant", "bee", "cat"]
WEIGHTLESS = {"source", "optuna"}
COMPUTED = sorted(set(plugins.names(FOLDER)) - {"optuna"})
MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
NO_ONNX = f"{', '.join(MISSING)} not installed; pip install 'nas-search[export]'"

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


@dataclass
class Searched:
    """A run of a tiny search, with all its formats in `best`."""

    path: Path
    shape: tuple[int, ...]

    @property
    def best(self) -> int:
        number: int = json.loads((self.path / "best" / "config.json").read_text())["trial"]
        return number


def searched(space: str, folder: Path) -> Searched:
    spec, budget, shape = SPACES[space]
    y = np.arange(60) % 3
    x = np.random.default_rng(0).normal(size=(60, *shape)) + y.reshape(-1, *[1] * len(shape))
    limits = {"trials": 2, "epochs": 1, "final_epochs": 0, "baseline": False, "workers": 0}
    result = nas.search(spec, budget, (x, np.array(CLASSES)[y]), "random", out=folder / space, **limits)
    return Searched(result.path, shape)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """The search in the MLP space, for what does not depend on the space."""
    return searched("mlp", tmp_path_factory.mktemp("run"))


def write_and_read(folders: Iterable[Path]) -> None:
    """Write every format into these best/ folders, and beside them what another process computes with each."""
    written = [name for name in COMPUTED if name != "onnx" or not MISSING]
    for best in folders:
        for name in written:
            export(best, name)
        shape = Wanted(best).architecture.input_shape
        for size in BATCHES:
            x = torch.randn(size, *shape, generator=torch.Generator().manual_seed(size))
            np.save(best / f"x{size}.npy", x.numpy())
    alone(LOAD, ",".join(written), *map(str, folders), cwd=Path.cwd())


@pytest.fixture(scope="module")
def read_again(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By space, the best/ folder of a search with every format, and what was computed with each of them."""
    folder = tmp_path_factory.mktemp("runs")
    found = {space: searched(space, folder).path / "best" for space in SPACES}
    write_and_read(found.values())
    return found


def computed(best: Path, size: int) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        logits: npt.NDArray[np.float32] = (
            Wanted(best).network()(torch.from_numpy(np.load(best / f"x{size}.npy"))).numpy()
        )
    return logits


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("space", SPACES)
def test_a_format_read_without_nas_computes_what_the_module_computes(
    space: str, name: str, read_again: dict[str, Path]
) -> None:
    if name == "onnx" and MISSING:
        pytest.skip(NO_ONNX)
    for size in BATCHES:
        logits = np.load(read_again[space] / f"{name}-x{size}.npy")
        assert logits.shape == (size, len(CLASSES))
        assert np.abs(logits - computed(read_again[space], size)).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_any_network_of_a_space_can_be_written_in_every_format(space: str, tmp_path: Path) -> None:
    spec, budget, shape = SPACES[space]
    made: SearchSpace = plugins.make("search_spaces", spec, SearchSpace, shape, 3, Budget(int(budget[:-1]) * 1000))
    folders = [tmp_path / f"n{number}" for number in range(8)]
    for number, best in enumerate(folders):
        exported(best, made.sample(np.random.default_rng(number)).architecture, insects())
    write_and_read(folders)
    for best in folders:
        for size in BATCHES:
            wanted = computed(best, size)
            for file in best.glob(f"*-x{size}.npy"):
                off = np.abs(np.load(file) - wanted).max()
                assert off < 1e-5 * max(1, np.abs(wanted).max()), file


def test_a_file_goes_beside_the_networks_other_files_or_where_it_is_told(
    run: Searched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for what in (run.path, run.path / "best", run.path / "best" / "config.json"):
        assert main([str(what), "--format", "state_dict"]) == 0
        assert capsys.readouterr().out.strip() == str(run.path / "best" / "model.pt")
    assert main([str(run.path), "--format", "state-dict", "--out", str(tmp_path / "a.pth")]) == 0
    assert (tmp_path / "a.pth").read_bytes() == (run.path / "best" / "model.pt").read_bytes()
    assert main([str(run.path), "--format", "source", "--trial", "0"]) == 0
    assert (run.path / "model_trial0.py").is_file()


def test_the_source_of_the_best_network_is_the_model_py_of_the_search(run: Searched, tmp_path: Path) -> None:
    first = (run.path / "best" / "model.py").read_text()
    assert export(run.path, "source", out=tmp_path / "model.py").read_text() == first
    other = export(run.path, "source", out=tmp_path / "network.py").read_text()
    assert other == first.replace("from model import load", "from network import load")


@pytest.mark.parametrize("number", [0, 1])
def test_the_source_of_any_trial_is_the_network_that_was_trained(number: int, run: Searched, tmp_path: Path) -> None:
    names: dict[str, object] = {}
    text = export(run.path, "source", trial=number, out=tmp_path / "model.py").read_text()
    exec(compile(text, "model.py", "exec"), {"__name__": "model", "__file__": "model.py"} | names, names := {})
    row = json.loads((run.path / "trials.jsonl").read_text().splitlines()[number])
    assert names["PARAMETERS"] == row["params"]
    assert f"validation accuracy {row['values'][0]:.4f}, trial {number}." in text


def test_a_trial_whose_weights_were_kept_has_every_format(run: Searched, tmp_path: Path) -> None:
    kept = export(run.path, "state_dict", trial=run.best, out=tmp_path / "kept.pt")
    best = export(run.path, "state_dict", out=tmp_path / "best.pt")
    tensors, others = (torch.load(file, weights_only=True) for file in (kept, best))  # no final training: the same
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


@pytest.mark.parametrize("name", sorted({*COMPUTED} - WEIGHTLESS))
def test_a_trial_whose_weights_were_not_kept_is_refused(name: str, run: Searched, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"weights of trial {1 - run.best} were not kept.*--format source"):
        export(run.path, name, trial=1 - run.best, out=tmp_path / "it")
    assert not list(tmp_path.iterdir())


def test_the_files_say_what_the_network_is(run: Searched, tmp_path: Path) -> None:
    facts = Wanted(run.path).facts
    with safe_open(export(run.path, "safetensors", out=tmp_path / "a.safetensors"), "pt") as file:
        words = file.metadata()
    assert words["format"] == "pt"
    assert json.loads(words["classes"]) == CLASSES
    assert json.loads(words["parameters"]) == facts["parameters"]
    assert json.loads(words["architecture"]) == facts["architecture"]
    extra = {"config.json": ""}
    torch.export.load(export(run.path, "torch.export", out=tmp_path / "a.pt2"), extra_files=extra)
    assert json.loads(extra["config.json"]) == facts
    if not MISSING:
        import onnx

        made = onnx.load(export(run.path, "onnx", out=tmp_path / "a.onnx"))
        assert {p.key: json.loads(p.value) for p in made.metadata_props if p.key != "format"}["classes"] == CLASSES
        for value in (made.graph.input[0], made.graph.output[0]):
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


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
    run: Searched, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(run=run.path) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said.format(run=run.path) in captured.err
    assert captured.err.count("\n") == 1


def test_weights_that_are_damaged_missing_or_of_another_network_are_refused(tmp_path: Path) -> None:
    space: SearchSpace = plugins.make("search_spaces", "mlp:max_depth=3,max_width=64", SearchSpace, (2, 4), 3)
    one, other = (space.sample(np.random.default_rng(seed)).architecture for seed in (1, 2))
    exported(tmp_path / "best", one, insects())
    weights, out = tmp_path / "best" / "weights.safetensors", tmp_path / "there.pt"
    out.write_text("an earlier file")
    whole = weights.read_bytes()
    before = {file.name for file in tmp_path.iterdir()}
    for length in (0, 4, 60, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:length])
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


@pytest.mark.parametrize(("name", "library"), [("onnx", "onnxscript"), ("onnx", "onnx"), ("optuna", "optuna")])
def test_a_library_that_is_missing_is_named_with_the_remedy(
    name: str, library: str, run: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "onnx" and MISSING:
        pytest.skip(NO_ONNX)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf"needs {library}, .* pip install 'nas-search\[export\]'"):
        export(run.path, name)


def test_a_network_too_large_for_an_onnx_file_is_refused(run: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.formats.onnx.MOST", 100)
    with pytest.raises(ValueError, match=r"at most 2 GB, too little for [\d,]+ parameters; take --format torch_export"):
        export(run.path, "onnx")


class Words(Format):
    """A format of one's own."""

    ENDING = ".txt"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        return f"{name}: {wanted.architecture}".encode()


def test_a_format_of_ones_own_is_named_by_module_and_class(run: Searched) -> None:
    file = export(run.path, f"{__name__}:Words")
    assert file == run.path / "best" / "model.txt"
    assert file.read_text() == f"model: {Wanted(run.path).architecture}"


def test_the_help_is_printed_without_a_warning() -> None:
    command = [sys.executable, "-W", "error", "-m", "nas.export", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(nas.__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in plugins.names(FOLDER))


@pytest.mark.parametrize("name", ["source", "optuna"])
def test_what_needs_no_weights_needs_no_torch(name: str, run: Searched, tmp_path: Path) -> None:
    script = f"import sys; from nas.export import export; export({str(run.path)!r}, {name!r}, out='it')"
    script += "; sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    paths = {**os.environ, "PYTHONPATH": str(Path(nas.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=paths)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["it"]


def test_the_trials_of_a_search_are_a_study_that_optuna_loads(run: Searched, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="optuna is not installed; pip install 'nas-search[export]'")
    rows = [json.loads(line) for line in (run.path / "trials.jsonl").read_text().splitlines()]
    copy = tmp_path / "run"
    copy.mkdir()
    failed = {**rows[0], "number": 2, "values": [], "error": "RuntimeError: no", "curve": [], "metrics": {}}
    lines = [json.dumps(row) + "\n" for row in (rows[1], failed, rows[0])]  # as they may end
    (copy / "trials.jsonl").write_text("".join(lines) + '{"number": 3, "choi')
    for name in ("config.yaml", "space.json"):
        (copy / name).write_bytes((run.path / name).read_bytes())
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
