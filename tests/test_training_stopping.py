"""When a training stops and which epoch is kept: rules about what an evaluation says, which is a script here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Generator

from nas.architecture import Sketch
from nas.network import Network
from nas.recipe import Recipe
from nas.train import loop
from nas.train.loop import Fitted, train
from nas.train.resident import Resident

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def part() -> Resident:
    return Resident(torch.randn(40, 6, generator=Generator().manual_seed(0)), torch.arange(40) % 4)


def fit(part: Resident, epochs: int = 3, patience: int = 3, schedule: str = "cosine", **rules: Any) -> Fitted:
    net = Sketch((6,))
    x = net("relu", net("linear", net.input, out=8))
    recipe = Recipe(lr=5e-3, schedule=schedule)
    architecture = net.done(net("linear", x, out=4))
    return train(architecture, recipe, part, part, epochs=epochs, patience=patience, seed=1, **rules)


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
    part: Resident,
    monkeypatch: pytest.MonkeyPatch,
    accuracies: tuple[float, ...],
    patience: int,
    epochs: int,
    best: int,
) -> None:
    scripted(monkeypatch, accuracies)
    fitted = fit(part, epochs=5, patience=patience)
    assert (len(fitted.curve), fitted.best_epoch, fitted.best["epoch"]) == (epochs, best, best)


@pytest.mark.parametrize(
    ("accuracies", "rules", "epochs", "best"),
    [
        ((0.50, 0.51, 0.52, 0.53, 0.54), {"min_change": 0.1}, 3, 3),  # too little, though the last is kept
        ((0.50, 0.51, 0.52, 0.63, 0.64), {"min_change": 0.015}, 5, 5),
        ((0.50, 0.55, 0.61, 0.62, 0.63), {"min_change": 0.1}, 5, 5),  # by little steps above that of the first epoch
        ((0.5, 0.4, 0.4, 0.4, 0.4), {"patience_from": 4}, 4, 1),
        ((0.5, 0.4, 0.4, 0.6, 0.4), {"patience_from": 4}, 5, 4),
        ((0.5, 0.4, 0.4, 0.4, 0.4), {"patience_from": 9}, 5, 1),
        ((0.5, 0.6, 0.4, 0.4, 0.4), {"patience_from": 2}, 4, 2),
    ],
)
def test_a_stop_waits_for_its_epoch_and_counts_only_what_is_more_than_the_least_change(
    part: Resident,
    monkeypatch: pytest.MonkeyPatch,
    accuracies: tuple[float, ...],
    rules: dict[str, float],
    epochs: int,
    best: int,
) -> None:
    scripted(monkeypatch, accuracies)
    fitted = fit(part, epochs=5, patience=2, **rules)
    assert (len(fitted.curve), fitted.best_epoch) == (epochs, best)


def test_a_lower_loss_alone_does_not_put_off_the_stop(part: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(0.5, 1.0), (0.5, 0.9), (0.5, 0.8), (0.5, 0.7)])
    monkeypatch.setattr(loop, "evaluate", lambda network, data: next(answers))
    fitted = fit(part, epochs=4, patience=2)
    assert (len(fitted.curve), fitted.best_epoch) == (3, 3)


def test_of_equal_accuracies_the_lower_loss_is_the_better_epoch(
    part: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([(0.5, 1.0), (0.5, 0.7), (0.5, 0.8)])
    monkeypatch.setattr(loop, "evaluate", lambda network, data: next(answers))
    assert fit(part).best_epoch == 2


def test_plateau_lowers_the_rate_by_the_validation_loss(part: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.5, 1.1), (0.5, 1.2)])
    monkeypatch.setattr(loop, "evaluate", lambda network, data: next(answers))
    rates = [row["lr"] for row in fit(part, epochs=5, patience=9, schedule="plateau").curve]
    assert rates == pytest.approx([5e-3] * 4 + [1e-3])


def test_the_weights_kept_are_those_of_the_best_epoch(part: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    accuracies = iter([0.2, 0.9, 0.3, 0.4])

    def look(network: Network, data: Resident) -> tuple[float, float]:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(accuracies), 1.0

    monkeypatch.setattr(loop, "evaluate", look)
    kept = fit(part, epochs=4).network.state_dict()
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)
