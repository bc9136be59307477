"""Training one network: it learns, it repeats itself bit for bit, it keeps the best epoch, and it fails aloud."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toy import SHARED

from nas.architecture import Architecture, Sketch
from nas.dataset import Arrays, Dataset, Part
from nas.evaluate import Stopping, Training
from nas.job import Job
from nas.recipe import AVERAGES, INITIALISATIONS, OPTIMIZERS, SCHEDULES, Recipe
from nas.space import Candidate
from nas.train.loop import Fitted, NotFinite, evaluate, train
from nas.train.resident import Resident

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
RATES = dict.fromkeys(OPTIMIZERS, 5e-3) | {"sgd": 5e-2, "nesterov": 5e-2, "sam": 5e-2, "adagrad": 2e-2, "rmsprop": 1e-3}
OPTIONS: list[dict[str, Any]] = [
    *({"optimizer": word, "lr": rate} for word, rate in RATES.items()),
    *({"optimizer": word, "lr": RATES[word], "momentum": 0.0} for word in ("sgd", "nesterov", "rmsprop")),
    *({"schedule": word, "warmup": share} for word in SCHEDULES for share in (0.0, 0.25)),
    *({"initialisation": word} for word in INITIALISATIONS),
    *({"precision": word} for word in ("auto", "float32", "bfloat16")),
    *({"average": word} for word in AVERAGES),
    *({"weight_decay": 1e-2}, {"l1": 1e-4}, {"label_smoothing": 0.1}, {"clip": 0.0}, {"batch_size": 17}),
    *({"flip": True}, {"shift": 1}, {"rotate": 10.0}, {"cutout": 2}, {"mixup": 0.2}),
    {"optimizer": "sam", "lr": 5e-2, "average": "ema", "mixup": 0.2, "shift": 1, "l1": 1e-4, "schedule": "sgdr"},
    {"optimizer": "adam-sgd", "average": "swa", "label_smoothing": 0.1, "warmup": 0.1, "precision": "bfloat16"},
]


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Like the digits, and smaller: images of four kinds under noise."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 4
    return Arrays(rng.normal(size=(4, 1, 6, 6))[y] * 2 + rng.normal(size=(300, 1, 6, 6)), y, "noisy").load(0)


@pytest.fixture(scope="module")
def parts(data: Dataset) -> tuple[Resident, Resident]:
    return Resident.of(data.train, data, CPU), Resident.of(data.validation, data, CPU)


@pytest.fixture(scope="module")
def windows() -> tuple[Resident, Resident]:
    """Frames of four kinds, each kind eight frames long, seen with two neighbours either side."""
    rng = np.random.default_rng(1)
    y = np.arange(320) // 8 % 4
    x = (rng.normal(size=(4, 8))[y] + rng.normal(size=(320, 8))).astype(np.float32)
    part = Part(x, y, np.arange(320) // 32)
    frames = Dataset("frames", part, part, part, tuple("abcd"), contexts=(0, 2))
    resident = Resident.of(part, frames, CPU)
    return resident, resident


def cnn() -> Architecture:
    net = Sketch((1, 6, 6))
    x = net("relu", net("batchnorm", net("conv", net.input, out=8, kernel=3, bias=False)))
    x = net("conv", net("depthwise", x, kernel=3), out=12, kernel=1)
    return net.done(net("linear", net("flatten", net("gelu", x)), out=4))


def mlp(*layers: str, width: int = 24, inputs: tuple[int, ...] = (1, 6, 6), p: float = 0.2) -> Architecture:
    net = Sketch(inputs)
    x = net("linear", net("flatten", net.input), out=width)
    for op in layers or ("batchnorm", "relu", "dropout"):
        x = net(op, x, **({"p": p} if op == "dropout" else {}))
    return net.done(net("linear", x, out=4))


def fit(parts: Sequence[Resident], architecture: Architecture | None = None, **changed: Any) -> Fitted:
    options: dict[str, Any] = {"epochs": 3, "patience": 3, "seed": 1}
    options |= {key: changed.pop(key) for key in list(changed) if key in options}
    recipe = replace(Recipe(lr=5e-3, batch_size=64), **changed)
    return train(architecture or mlp(), recipe, *parts, **options)


def timeless(fitted: Fitted) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in fitted.curve]


@pytest.mark.parametrize("changed", OPTIONS, ids=lambda changed: ",".join(f"{k}={v}" for k, v in changed.items()))
def test_the_loss_falls_with_every_option(parts: tuple[Resident, Resident], changed: dict[str, Any]) -> None:
    fitted = fit(parts, **{"batch_size": 32, **changed}, epochs=8, patience=8)
    assert fitted.curve[-1]["train_loss"] < 0.9 * fitted.curve[0]["train_loss"]
    assert fitted.best["val_accuracy"] > 0.5  # guessing has a quarter


def test_the_loss_falls_with_masked_windows(windows: tuple[Resident, Resident]) -> None:
    plain = fit(windows, mlp(inputs=(5, 8)), epochs=4)
    masked = fit(windows, mlp(inputs=(5, 8)), epochs=4, time_mask=2, freq_mask=3)
    assert plain.curve[0]["train_loss"] > plain.curve[-1]["train_loss"] < masked.curve[-1]["train_loss"]
    assert masked.curve[-1]["train_loss"] < masked.curve[0]["train_loss"]


@pytest.mark.parametrize("optimizer", ["adamw", "sam"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_of_convolutions_learns(parts: tuple[Resident, Resident], optimizer: str, precision: str) -> None:
    recipe = {"optimizer": optimizer, "precision": precision, "lr": RATES[optimizer], "initialisation": "orthogonal"}
    fitted = fit(parts, cnn(), **recipe, epochs=6, patience=6, flip=False, batch_size=32, average="ema")
    assert fitted.best["val_accuracy"] > 0.6
    assert evaluate(fitted.network, parts[1]) == (fitted.best["val_accuracy"], fitted.best["val_loss"])


def test_a_row_of_the_curve_says_what_happened(parts: tuple[Resident, Resident]) -> None:
    curve = fit(parts, mixup=0.2, epochs=3).curve
    assert all(
        set(row)
        == {
            *("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"),
            *("lr", "grad_norm", "update_ratio", "seconds"),
        }
        for row in curve
    )
    assert [row["epoch"] for row in curve] == [1, 2, 3]
    assert all(0 < row["train_accuracy"] < 1 and 0 < row["update_ratio"] < 1 for row in curve)
    assert all(isinstance(value, float | int) and math.isfinite(value) for row in curve for value in row.values())


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": "sam", "lr": 5e-2, "mixup": 0.4},
        {"flip": True, "shift": 2, "rotate": 20.0, "cutout": 2},
        {"average": "swa", "optimizer": "adam-sgd"},
        {"average": "ema", "schedule": "plateau"},
    ],
    ids=str,
)
def test_chance_comes_from_the_seed_with_every_option(
    parts: tuple[Resident, Resident], changed: dict[str, Any]
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = fit(parts, **changed)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert timeless(one) == timeless(fit(parts, **changed)) != timeless(fit(parts, seed=2, **changed))


def test_the_same_seed_gives_the_same_bits_and_another_does_not(parts: tuple[Resident, Resident]) -> None:
    one, again, other = fit(parts), fit(parts), fit(parts, seed=2)
    assert timeless(one) == timeless(again) != timeless(other)
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])


def test_the_global_generator_of_torch_is_neither_used_nor_moved(parts: tuple[Resident, Resident]) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    one = fit(parts)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    assert timeless(fit(parts)) == timeless(one)


@pytest.mark.parametrize("seed", range(5))
def test_the_kept_weights_have_the_figures_of_the_best_row(parts: tuple[Resident, Resident], seed: int) -> None:
    fitted = fit(parts, epochs=6, patience=2, optimizer="nesterov", lr=0.2, seed=seed)
    assert evaluate(fitted.network, parts[1]) == (fitted.best["val_accuracy"], fitted.best["val_loss"])
    assert fitted.best["val_accuracy"] == max(row["val_accuracy"] for row in fitted.curve)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "sam"])
def test_a_loss_that_is_not_finite_is_said_aloud(parts: tuple[Resident, Resident], optimizer: str) -> None:
    with pytest.raises(NotFinite, match=rf"not finite after epoch 1 \({optimizer}, lr 1e\+30\)"):
        fit(parts, optimizer=optimizer, lr=1e30, schedule="constant")


def test_nan_among_the_samples_is_said_aloud(parts: tuple[Resident, Resident]) -> None:
    x = parts[0].x.clone()
    x[7, 0, 1, 1] = torch.nan
    with pytest.raises(NotFinite, match="epoch 1"):
        fit((Resident(x, parts[0].y), parts[1]))
    x = parts[1].x.clone()
    x[0] = torch.inf
    with pytest.raises(NotFinite, match="epoch 1"):
        fit((parts[0], Resident(x, parts[1].y)))


@pytest.mark.parametrize("samples", [65, 64, 66, 129, 3, 2])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_last_batch_of_one_sample_survives_batch_normalisation(
    parts: tuple[Resident, Resident], samples: int, schedule: str
) -> None:
    few = Resident(parts[0].x[:samples], parts[0].y[:samples])
    curve = fit((few, parts[1]), schedule=schedule, batch_size=64).curve
    assert len(curve) == 3
    assert all(math.isfinite(row["train_loss"]) for row in curve)


def test_a_training_part_of_one_sample_is_trained_without_batch_normalisation(
    parts: tuple[Resident, Resident],
) -> None:
    one = Resident(parts[0].x[:1], parts[0].y[:1])
    curve = fit((one, parts[1]), mlp("relu")).curve
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]


def test_the_evaluator_gives_the_best_epoch_and_writes_weights_that_beat(data: Dataset, tmp_path: Any) -> None:
    training = Training(data, Stopping(epochs=4, patience=2))
    training.prepare("cpu")
    candidate = Candidate(mlp(), Recipe(lr=5e-3, batch_size=64), ())
    job = Job(3, candidate, seed=7, weights=tmp_path / "w.safetensors")
    outcome = training(job)
    best = max(outcome.curve, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert outcome.values == (best["val_accuracy"],)
    assert outcome.metrics["best_epoch"] == best["epoch"]
    assert outcome.metrics["epochs"] == len(outcome.curve) <= 4
    assert {p.name for p in tmp_path.iterdir()} == {"w.safetensors"}
    assert training.test(candidate, tmp_path / "w.safetensors") > 0.5
    training(replace(job, weights=tmp_path / "worse.safetensors", beat=1.1))
    assert {p.name for p in tmp_path.iterdir()} == {"w.safetensors"}
    assert len(training(replace(job, candidate=replace(candidate, fidelity=0.25))).curve) == 1


@pytest.mark.skipif(not (SHARED / "fsdd-frames").is_dir(), reason="real speech is not on this machine (../shared/data)")
def test_real_speech_is_learned_far_better_than_by_guessing() -> None:
    def part(folder: str, files: int) -> tuple[np.ndarray, np.ndarray]:
        found = sorted((SHARED / "fsdd-frames" / folder / "mfcc").iterdir())[::5][:files]
        labels = [np.load(file.parent.parent / "transcript" / file.name)[1:-1] for file in found]
        return np.concatenate([np.load(file) for file in found]), np.concatenate(labels)

    (x, words), (x_dev, words_dev) = part("train-clean", 120), part("dev-clean", 30)
    names, y = np.unique(words, return_inverse=True)
    dev = Part(x_dev, np.searchsorted(names, words_dev))
    speech = Dataset("speech", Part(x, y), dev, dev, tuple(names))
    residents = Resident.of(speech.train, speech, CPU), Resident.of(dev, speech, CPU)
    architecture = Sketch((28,))
    hidden = architecture("gelu", architecture("linear", architecture.input, out=128))
    fitted = fit(residents, architecture.done(architecture("linear", hidden, out=len(names))), epochs=4)
    guessing = np.bincount(dev.y).max() / len(dev)
    assert fitted.best["val_accuracy"] > guessing + 0.2
