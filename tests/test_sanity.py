"""What is tried before the first trial: sound data pass in silence, contradictory labels and wild scales do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import nas
from nas.dataset import Arrays, Dataset
from nas.evaluate import Stopping, Training
from nas.train.resident import Resident
from nas.train.sanity import check_training
from search_spaces.mlp import MLP

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")


def blobs(samples: int = 200) -> Dataset:
    y = np.arange(samples) % 4
    return Arrays(RNG.normal(size=(samples, 6)) + 2 * np.eye(6)[y], y).load(0)


def test_sound_data_raise_no_warning() -> None:
    data = blobs()
    assert check_training(Resident.of(data.train, data, CPU), (6,), 4) == []


def test_labels_that_contradict_each_other_cannot_be_learned_by_heart() -> None:
    x, y = torch.zeros(100, 6), torch.arange(100) % 4
    (warning,) = check_training(Resident(x, y), (6,), 4)
    assert "25 %" in warning or "26 %" in warning or "27 %" in warning or "28 %" in warning
    assert "batch of 64" in warning


def test_data_of_a_wild_scale_start_far_from_guessing() -> None:
    data = blobs()
    wild = Resident(Resident.of(data.train, data, CPU).x * 1000, torch.from_numpy(data.train.y))
    warnings = check_training(wild, (6,), 4)
    assert any("1.39" in warning and "normalise" in warning for warning in warnings)


def test_the_check_leaves_the_global_generator_alone() -> None:
    data = blobs()
    resident = Resident.of(data.train, data, CPU)
    before = torch.get_rng_state()
    check_training(resident, (6,), 4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("contexts", [(), (0, 2, 5)])
def test_the_evaluator_checks_samples_and_windows(contexts: tuple[int, ...]) -> None:
    data = blobs()
    training = Training(Dataset("d", data.train, data.validation, data.test, data.classes, contexts), Stopping(1, 1))
    training.prepare("cpu")
    space = MLP((6,), 4, max_depth=1).on(contexts)
    assert training.check(space.sample(np.random.default_rng(0))) == []


@pytest.mark.parametrize(("knob", "value"), [("flip", True), ("shift", 2), ("time_mask", 3), ("precision", "float16")])
def test_a_recipe_that_these_data_cannot_have_is_refused_before_the_first_trial(
    tmp_path: Path, knob: str, value: object
) -> None:
    y = np.arange(60) % 3
    data = RNG.normal(size=(60, 4)), y
    with pytest.raises(ValueError, match=f"{knob}.*got|{knob}.*needs"):
        nas.search(
            "mlp", "5K", data, trials=2, epochs=1, fix={knob: value}, device="cpu", workers=0, out=tmp_path / "r"
        )
