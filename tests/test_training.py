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
from nas.evaluate import Job, Training
from nas.network import Network
from nas.recipe import Recipe
from nas.space import Candidate
from nas.train import loop
from nas.train.loop import Fitted, NotFinite, Resident, evaluate, train

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
RATES = {"adam": 5e-3, "adamw": 5e-3, "sgd": 5e-2}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Like the digits, and smaller: images of four kinds under noise."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 4
    return Arrays(rng.normal(size=(4, 1, 6, 6))[y] * 2 + rng.normal(size=(300, 1, 6, 6)), y, "noisy").load(0)


@pytest.fixture(scope="module")
def parts(data: Dataset) -> tuple[Resident, Resident]:
    return Resident.of(data.train, data, CPU), Resident.of(data.validation, data, CPU)


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


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
@pytest.mark.parametrize("initialisation", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"])
def test_the_loss_falls_with_every_recipe(
    parts: tuple[Resident, Resident], optimizer: str, schedule: str, initialisation: str
) -> None:
    recipe = {"optimizer": optimizer, "schedule": schedule, "initialisation": initialisation, "lr": RATES[optimizer]}
    curve = fit(parts, **recipe, epochs=4, weight_decay=1e-4).curve
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]
    assert min(row["val_loss"] for row in curve) < math.log(4)  # what guessing costs
    assert max(row["lr"] for row in curve) <= RATES[optimizer] * (1 + 1e-6)


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


def scripted(monkeypatch: pytest.MonkeyPatch, accuracies: Sequence[float]) -> None:
    """Let an evaluation say these accuracies, epoch by epoch."""
    answers = iter(accuracies)
    monkeypatch.setattr(loop, "evaluate", lambda network, data: (next(answers), 1.0))


@pytest.mark.parametrize(
    ("accuracies", "patience", "epochs", "best"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.5), 1, 5, 5),
        ((0.5, 0.4, 0.3, 0.2, 0.1), 1, 2, 1),
        ((0.5, 0.4, 0.3, 0.2, 0.1), 3, 4, 1),
        ((0.5, 0.4, 0.6, 0.3, 0.3), 2, 5, 3),
        ((0.5, 0.5, 0.5, 0.5, 0.5), 3, 4, 1),  # the same again is no improvement
    ],
)
def test_a_training_stops_after_patience_epochs_without_improvement(
    parts: tuple[Resident, Resident],
    monkeypatch: pytest.MonkeyPatch,
    accuracies: tuple[float, ...],
    patience: int,
    epochs: int,
    best: int,
) -> None:
    scripted(monkeypatch, accuracies)
    fitted = fit(parts, epochs=5, patience=patience)
    assert (len(fitted.curve), fitted.best_epoch, fitted.best["epoch"]) == (epochs, best, best)


def test_of_equal_accuracies_the_lower_loss_is_the_better_epoch(
    parts: tuple[Resident, Resident], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([(0.5, 1.0), (0.5, 0.7), (0.5, 0.8)])
    monkeypatch.setattr(loop, "evaluate", lambda network, data: next(answers))
    assert fit(parts).best_epoch == 2


def test_the_weights_kept_are_those_of_the_best_epoch(
    parts: tuple[Resident, Resident], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    accuracies = iter([0.2, 0.9, 0.3, 0.4])

    def look(network: Network, data: Resident) -> tuple[float, float]:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(accuracies), 1.0

    monkeypatch.setattr(loop, "evaluate", look)
    kept = fit(parts, epochs=4).network.state_dict()
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)


@pytest.mark.parametrize("seed", range(5))
def test_the_kept_weights_have_the_figures_of_the_best_row(parts: tuple[Resident, Resident], seed: int) -> None:
    fitted = fit(parts, epochs=6, patience=2, optimizer="sgd", lr=0.2, seed=seed)
    assert evaluate(fitted.network, parts[1]) == (fitted.best["val_accuracy"], fitted.best["val_loss"])
    assert fitted.best["val_accuracy"] == max(row["val_accuracy"] for row in fitted.curve)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
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
    training = Training(data, epochs=4, patience=2)
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
