"""What the tests of the export share: networks to export, and a Python in which `nas` cannot be imported."""

from __future__ import annotations

import io
import json
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import nas
from nas.architecture import Architecture
from nas.budget import Budget
from nas.dataset import Arrays, Dataset
from nas.folder import Facts, write_folder
from nas.network import Network
from nas.ops import ACTIVATIONS
from nas.recipe import Recipe
from nas.space import Candidate
from nas.trial import Trial
from nas.weights import save_weights
from search_spaces.mlp import MLP

NETWORKS = 48
CLASSES = ["ant", "bee", "cat"]
SPACES = {  # small: the space, its budget, the shape of a sample
    "mlp": ("mlp:max_depth=3,max_width=64", "4K", (2, 4)),
    "cnn": ("cnn:max_stages=2,max_blocks=1,max_width=32", "20K", (1, 8, 8)),
    "cell": ("cell:nodes=1,max_repeats=1,max_width=16", "20K", (1, 8, 8)),
    "nasbench201": ("nasbench201:cells=1,channels=4", "50K", (1, 8, 8)),
}
MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
NO_ONNX = f"{', '.join(MISSING)} not installed; pip install 'nas-search[export]'"
ALONE = """
import importlib, json, runpy, sys, warnings
warnings.simplefilter("error")
for name in ("nas", "search_spaces", "strategies"):
    sys.modules[name] = None  # whether it is installed or not, it cannot be imported
try:
    import nas
except ImportError:
    pass
else:
    raise SystemExit("nas can be imported here, so the test shows nothing")
import numpy, torch
torch.set_num_threads(1)
"""


def alone(script: str, *arguments: str, cwd: Path) -> str:
    """Run a script that cannot import `nas`; what it prints."""
    command = [sys.executable, "-I", "-c", ALONE + script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def predicted(folder: Path, *files: str) -> list[str]:
    """What predict.py prints, in this process: another takes seconds to import torch."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(folder)
        patch.syspath_prepend(str(folder / "best"))
        patch.setattr(sys, "argv", ["predict.py", *files])
        patch.delitem(sys.modules, "model", raising=False)
        try:
            runpy.run_path("best/predict.py", run_name="__main__")
        except SystemExit as refusal:
            print(refusal)
        sys.modules.pop("model", None)
    return said.getvalue().splitlines()


def insects() -> Dataset:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = rng.normal(size=(3, 2, 4))[y] * 3 + rng.normal(5.0, 2.0, (120, 2, 4))
    return Arrays(x, np.array(["ant", "bee", "cat"])[y], "insects").load(0)


def exported(folder: Path, architecture: Architecture, data: Dataset, test: float | None = None) -> Network:
    """Write the folder of a network with random weights and running statistics; return the network."""
    generator = torch.Generator().manual_seed(0)
    network = Network(architecture).eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.25)
    for parameter in network.parameters():
        parameter.data -= 0.75
    save_weights(network.state_dict(), folder.parent / f"{folder.name}.safetensors")
    trial = Trial(7, Candidate(architecture, Recipe(), ()), 0, (0.875,))
    write_folder(trial, folder.parent / f"{folder.name}.safetensors", data, folder, Facts(50_000, test))
    return network


def drawn() -> list[Architecture]:
    """Networks of the MLP space, every macro shape, normalisation and activation among them."""
    space = MLP((2, 4), 3, Budget(4000), max_depth=5, min_width=4, max_width=64)
    rng = np.random.default_rng(1)
    found = [space.sample(rng) for _ in range(NETWORKS)]
    for fork, least in {"shape": 6, "norm": 3, "skip": 2, "activation": len(ACTIVATIONS), "dropout": 6}.items():
        assert len({c.values[fork] for c in found if fork in c.values}) == least
    return [c.architecture for c in found]


def searched(space: str, folder: Path) -> Path:
    """The run directory of a tiny search, made in `folder`."""
    spec, budget, shape = SPACES[space]
    y = np.arange(60) % 3
    x = np.random.default_rng(0).normal(size=(60, *shape)) + y.reshape(-1, *[1] * len(shape))
    limits = {"trials": 2, "epochs": 1, "final_epochs": 0, "baseline": False, "workers": 0}
    return nas.search(spec, budget, (x, np.array(CLASSES)[y]), "random", out=folder / space, **limits).path


def best_trial(run: Path) -> int:
    number: int = json.loads((run / "best" / "config.json").read_text())["trial"]
    return number
