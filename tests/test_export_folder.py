"""The folder of the best network: what it holds, what it refuses, and that it predicts what was evaluated."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from exporting import alone, drawn, exported, insects, predicted

from nas.architecture import Architecture
from nas.dataset import Arrays, Dataset, Part
from nas.evaluate import Stopping, Training
from nas.folder import Facts, write_folder
from nas.job import Job
from nas.network import Network
from nas.normalise import NORMALISATIONS
from nas.recipe import Recipe
from nas.space import Candidate
from nas.train.resident import Resident
from nas.trial import Trial
from nas.weights import save_weights
from search_spaces.mlp import MLP

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return insects()


def test_the_folder_holds_four_files_and_says_what_it_is(tmp_path: Path, data: Dataset) -> None:
    architecture = drawn()[0]
    exported(tmp_path / "best", architecture, data, test=0.75)
    (tmp_path / "best" / "left over").write_text("")
    exported(tmp_path / "best", architecture, data, test=0.75)
    assert {p.name for p in (tmp_path / "best").iterdir()} == {
        "model.py",
        "weights.safetensors",
        "config.json",
        "predict.py",
        "left over",  # somebody's own file stays
    }
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    assert Architecture.from_json(config["architecture"]) == architecture
    assert config["parameters"] == architecture.num_params
    assert (config["validation_accuracy"], config["test_accuracy"], config["parameter_budget"]) == (0.875, 0.75, 50_000)
    assert Recipe.from_json(config["recipe"]) == Recipe()
    doc = ast.get_docstring(ast.parse((tmp_path / "best" / "model.py").read_text()))
    for words in ("insects", "0.8750", "0.7500", f"{architecture.num_params:,}", "(batch, 2, 4)", "trial 7"):
        assert words in str(doc)


@pytest.mark.parametrize("name", ['the "good" """one"""', r"C:\data\new.npz", "{x}", "über/π.npz"])
@pytest.mark.filterwarnings("error")
def test_any_name_of_the_data_can_stand_in_the_source(tmp_path: Path, data: Dataset, name: str) -> None:
    x, y = np.random.default_rng(0).normal(size=(30, 2, 4)), np.arange(30) % 3
    exported(tmp_path / "best", drawn()[0], Arrays(x, y, name).load(0))
    text = (tmp_path / "best" / "model.py").read_text(encoding="utf-8")
    assert name in str(ast.get_docstring(ast.parse(text)))


DAMAGE = """
sys.path[:0] = ["best"]
import model
whole = open("best/weights.safetensors", "rb").read()
model.load("best/weights.safetensors")
for length in [0, 4, 8, 60, len(whole) // 2, len(whole) - 4, len(whole) - 1]:
    open("cut.safetensors", "wb").write(whole[:length])
    for path in ["cut.safetensors", "other.safetensors", "nowhere.safetensors"]:
        try:
            model.load(path)
        except Exception as error:
            print(path, length, type(error).__name__)
        else:
            raise SystemExit(f"{path} of {length} bytes was loaded")
"""


def test_weights_that_are_cut_or_of_another_network_are_refused(tmp_path: Path, data: Dataset) -> None:
    one, other = drawn()[:2]
    exported(tmp_path / "best", one, data)
    save_weights(Network(other).state_dict(), tmp_path / "other.safetensors")
    assert len(alone(DAMAGE, cwd=tmp_path).splitlines()) == 21


def test_predict_gives_raw_samples_the_classes_of_the_evaluation(tmp_path: Path, data: Dataset) -> None:
    training = Training(data, Stopping(8, 8))
    training.prepare("cpu")
    network = MLP((2, 4), 3, max_depth=2, max_width=64).default().architecture
    candidate = Candidate(network, Recipe(lr=5e-3, batch_size=16), ())
    weights = tmp_path / "trial.safetensors"
    outcome = training(Job(0, candidate, 0, weights))
    write_folder(Trial(0, candidate, 0, outcome.values), weights, data, tmp_path / "best", Facts(50_000))
    np.save(tmp_path / "samples.npy", data.test.x)
    np.save(tmp_path / "turned.npy", data.test.x.reshape(len(data.test), 4, 2))
    script = """
sys.path[:0] = ["best"]
sys.argv[1:] = ["samples.npy"]
runpy.run_path("best/predict.py", run_name="__main__")
sys.argv[1:] = ["turned.npy"]
try:
    runpy.run_path("best/predict.py", run_name="__main__")
except SystemExit as refusal:
    print(refusal)
"""
    *classes, refusal = alone(script, cwd=tmp_path).splitlines()
    right = np.mean([name == data.classes[y] for name, y in zip(classes, data.test.y, strict=True)])
    assert right == pytest.approx(training.test(candidate, weights))
    assert right > 0.6
    assert refusal == "error: turned.npy: samples must have shape (n, 2, 4), got (24, 4, 2)"


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_predict_gives_the_frames_of_an_utterance_the_classes_of_the_evaluation(tmp_path: Path, normalise: str) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(9), 14)
    part = Part(rng.normal(4, 3, (126, 5)).astype(np.float32), (groups % 3).astype(np.int64), groups)
    spoken = Dataset("spoken", part, part, part, ("oh", "one", "two"), (3,), normalise)
    space = MLP((5,), 3, max_depth=1, max_width=64).on(contexts=(3,))  # deep random networks hardly look at it
    network = exported(tmp_path / "best", space.default().architecture, spoken)
    utterance = part.x[groups == 2]
    np.save(tmp_path / "utterance.npy", utterance)
    classes = predicted(tmp_path, "utterance.npy")
    resident = Resident.of(part, spoken, torch.device("cpu"))
    with torch.inference_mode():
        wanted = network(resident.samples(torch.from_numpy(np.flatnonzero(groups == 2)), (7, 5))).argmax(1)
    assert classes == [spoken.classes[i] for i in wanted.tolist()]
    assert normalise == "minmax" or len(set(classes)) > 1  # numbers in 0..1 move a random network little


def test_predict_takes_the_bytes_of_images(tmp_path: Path, data: Dataset) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 2, 4, 1), np.uint8)
    part = Part((pixels / 255).astype(np.float32), np.arange(60) % 3)
    images = Dataset("images", part, part, part, ("ant", "bee", "cat"), pixels=True)
    space = MLP((2, 4, 1), 3, max_depth=2, max_width=64)
    network = exported(tmp_path / "best", space.sample(np.random.default_rng(1)).architecture, images)
    np.save(tmp_path / "samples.npy", pixels)
    with torch.inference_mode():
        wanted = network(Resident.of(part, images, torch.device("cpu")).x).argmax(1)
    assert predicted(tmp_path, "samples.npy") == [images.classes[i] for i in wanted.tolist()]
