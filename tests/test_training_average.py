"""Averages of the weights against averages by hand, and that they are what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from nas.architecture import Architecture, Sketch
from nas.network import Network
from nas.recipe import Recipe
from nas.train import loop
from nas.train.average import DECAY, Exponential, Raw, make_average, warming_decay
from nas.train.loop import Fitted, evaluate, train
from nas.train.resident import Resident

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
State = dict[str, Tensor]


def architecture(norm: str = "batchnorm") -> Architecture:
    sketch = Sketch((6,))
    x = sketch("relu", sketch(norm, sketch("linear", sketch.input, out=8)))
    return sketch.done(sketch("linear", x, out=3))


def part(n: int = 60, seed: int = 0) -> Resident:
    generator = Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    return Resident(torch.randn(n, 6, generator=generator) + torch.eye(3, 6)[y] * 2, y)


def fit(epochs: int = 8, norm: str = "batchnorm", **changed: Any) -> Fitted:
    recipe = Recipe(**{"batch_size": 20, "lr": 1e-2, **changed})
    return train(architecture(norm), recipe, part(), part(40, 1), epochs=epochs, patience=epochs, seed=3)


def copied(network: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def evaluations(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> tuple[list[State], Fitted]:
    """What was evaluated after every epoch."""
    seen: list[State] = []

    def look(network: Network, data: Resident) -> tuple[float, float]:
        seen.append(copied(network))
        return evaluate(network, data)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", look)
        fitted = fit(**changed)
    return seen, fitted


def never() -> Iterator[Tensor]:
    raise AssertionError("the data is of no account here")


def test_the_exponential_average_is_its_recursion_over_the_steps_buffers_too() -> None:
    network = Network(architecture())
    average = make_average("ema", network, epochs=2)
    assert isinstance(average, Exponential)
    wanted: State = {}
    for step in range(30):
        torch.manual_seed(step)
        for tensor in network.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) * 10)
        average.step()
        decay = min(0.999, (1 + step) / (10 + step)) if step else 0.0
        now = copied(network)
        wanted = {k: decay * wanted[k] + (1 - decay) * now[k] if step else now[k] for k in now}
    found = average.evaluated(1, never).state_dict()
    for name, tensor in found.items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, wanted[name], rtol=1e-4), name
    assert {"running_mean", "running_var"} <= {name.split(".")[-1] for name in found}
    assert average.evaluated(1, never) is not network


def test_the_memory_of_the_exponential_average_is_short_at_first_and_long_at_last() -> None:
    assert warming_decay(1) == pytest.approx(2 / 11)
    assert warming_decay(90) == 0.91
    assert warming_decay(10**6) == DECAY
    assert all(warming_decay(n) <= warming_decay(n + 1) for n in range(1, 20_000, 7))


def test_stochastic_averaging_is_the_mean_of_the_last_quarter_of_the_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, _ = evaluations(monkeypatch, norm="layernorm")
    seen, _ = evaluations(monkeypatch, norm="layernorm", average="swa")
    for epoch in range(6):
        assert all(torch.equal(seen[epoch][name], raw[epoch][name]) for name in raw[epoch])
    for name in raw[0]:
        assert torch.equal(seen[6][name], raw[6][name])
        assert torch.allclose(seen[7][name], (raw[6][name] + raw[7][name]) / 2, atol=1e-6)
        assert not torch.equal(raw[6][name], raw[7][name])


def test_statistics_of_the_stochastic_average_are_those_of_the_training_part_under_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, fitted = evaluations(monkeypatch, average="swa")
    last = Network(architecture())
    last.load_state_dict(seen[-1])
    linear, norm = (next(m for m in last.modules() if isinstance(m, kind)) for kind in (nn.Linear, nn.BatchNorm1d))
    batches = linear(part().x).split(20)
    assert torch.allclose(norm.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, torch.stack([b.var(0) for b in batches]).mean(0), atol=1e-5)
    assert next(m for m in fitted.network.modules() if isinstance(m, nn.BatchNorm1d)).momentum == 0.1


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_what_is_averaged_is_evaluated_and_kept_and_the_training_goes_on_without_it(
    monkeypatch: pytest.MonkeyPatch, average: str
) -> None:
    raw, plain = evaluations(monkeypatch)
    seen, fitted = evaluations(monkeypatch, average=average)
    assert [row["train_loss"] for row in fitted.curve] == [row["train_loss"] for row in plain.curve]
    kept = fitted.network.state_dict()
    assert all(torch.equal(kept[name], seen[fitted.best_epoch - 1][name]) for name in kept)
    assert any(not torch.equal(seen[-1][name], raw[-1][name]) for name in kept)
    assert evaluate(fitted.network, part(40, 1)) == (fitted.best["val_accuracy"], fitted.best["val_loss"])


@pytest.mark.parametrize(("epochs", "first"), [(1, 1), (3, 3), (4, 4), (8, 7), (20, 16)])
def test_a_quarter_of_the_epochs_is_at_least_one(epochs: int, first: int) -> None:
    network = Network(architecture("none"))
    average = make_average("swa", network, epochs)
    averaged = [epoch for epoch in range(1, epochs + 1) if average.evaluated(epoch, lambda: iter(())) is not network]
    assert averaged == list(range(first, epochs + 1))


def test_no_average_is_the_network_itself_and_an_unknown_one_is_refused() -> None:
    network = Network(architecture())
    average = make_average("none", network, 4)
    average.step()
    assert type(average) is Raw
    assert average.evaluated(4, never) is network
    with pytest.raises(ValueError, match="average must be one of none, ema, swa, got 'polyak'"):
        make_average("polyak", network, 4)
