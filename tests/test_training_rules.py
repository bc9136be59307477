"""The rules of training: evaluation, weight decay, initialisation, precision, the order of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from nas.architecture import Architecture, Sketch
from nas.network import Network
from nas.ops import ACTIVATIONS
from nas.recipe import ADAM_RATES, SGD_RATES, Recipe, choose_recipe
from nas.train import loop
from nas.train.initialise import initialise
from nas.train.loop import CHUNK, Resident, evaluate, train
from nas.train.optim import make_optimizer, make_schedule
from nas.train.precision import use_bfloat16

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
INITIALISATIONS = ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal")
CPU = torch.device("cpu")


def net(*ops: str, width: int = 400, inputs: int = 300) -> Architecture:
    """A hidden layer, these operations, an output layer."""
    sketch = Sketch((inputs,))
    x = sketch("linear", sketch.input, out=width)
    for op in ops:
        x = sketch(op, x, **({"p": 0.5} if op == "dropout" else {}))
    return sketch.done(sketch("linear", x, out=3))


def samples(n: int, inputs: int = 300, seed: int = 0) -> Resident:
    generator = Generator().manual_seed(seed)
    return Resident(torch.randn(n, inputs, generator=generator), torch.randint(3, (n,), generator=generator))


def linears(network: Network) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scheme", INITIALISATIONS)
def test_the_deviation_of_a_layer_suits_the_activation_that_follows_it(activation: str, scheme: str) -> None:
    network = Network(net("batchnorm", activation, "dropout"))
    initialise(network, scheme, Generator().manual_seed(0))
    hidden, output = linears(network)
    name: Any = {"tanh": "tanh", "sigmoid": "sigmoid", "leakyrelu": "leaky_relu"}.get(activation, "relu")
    gain = nn.init.calculate_gain(name, 0.01 if activation == "leakyrelu" else None)
    for layer, wanted in ((hidden, gain), (output, 1.0)):
        outputs, inputs = layer.weight.shape
        fan = inputs if scheme.startswith("kaiming") else (inputs + outputs) / 2
        std = wanted / fan**0.5
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
        assert abs(layer.weight.mean().item()) < std * 0.1
        if scheme.endswith("uniform"):
            assert layer.weight.abs().max().item() == pytest.approx(3**0.5 * std, rel=0.01)
        else:
            assert layer.weight.abs().max().item() > 2.2 * std
        assert layer.bias is None or not layer.bias.any()


def test_a_projection_beside_the_activation_is_initialised_for_none() -> None:
    sketch = Sketch((300,))
    x = sketch("relu", sketch("linear", sketch.input, out=200))
    y = sketch("relu", sketch("linear", x, out=400))
    joined = sketch("relu", sketch.residual(x, y))  # what follows the sum is not what follows the projection
    network = Network(sketch.done(sketch("linear", joined, out=3)))
    initialise(network, "kaiming_normal", Generator().manual_seed(0))
    projection = next(layer for layer in linears(network) if layer.bias is None)
    assert projection.weight.std().item() == pytest.approx(1 / 200**0.5, rel=0.05)


def test_initialisation_depends_on_the_generator_alone() -> None:
    def weights(seed: int) -> Tensor:
        network = Network(net("relu"))
        initialise(network, "xavier_normal", Generator().manual_seed(seed))
        return linears(network)[0].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_an_unknown_word_of_a_recipe_is_refused_with_the_word() -> None:
    network = Network(net("relu"))
    optimizer = make_optimizer(network, Recipe())
    with pytest.raises(ValueError, match="'orthogonal'"):
        initialise(network, "orthogonal", Generator())
    with pytest.raises(ValueError, match="'rmsprop'"):
        make_optimizer(network, Recipe(optimizer="rmsprop"))
    with pytest.raises(ValueError, match="'step'"):
        make_schedule(optimizer, Recipe(schedule="step"), 10)


@pytest.mark.parametrize("norm", ["none", "batchnorm", "layernorm"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_weight_decay_spares_biases_and_normalisation(optimizer: str, norm: str) -> None:
    network = Network(net(norm, "relu"))
    groups = make_optimizer(network, Recipe(optimizer=optimizer, weight_decay=0.01)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    matrices = {id(layer.weight) for layer in linears(network)}
    assert {id(p) for p in network.parameters()} == set(decay)
    assert all(decay[id(p)] == (0.01 if id(p) in matrices else 0.0) for p in network.parameters())


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_a_schedule_never_exceeds_the_rate_of_the_recipe(schedule: str, steps: int) -> None:
    recipe = Recipe(optimizer="sgd", lr=0.1, schedule=schedule)
    optimizer = make_optimizer(Network(net("relu")), recipe)
    course = make_schedule(optimizer, recipe, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        course.step()
    assert max(rates) <= 0.1 + 1e-9
    assert min(rates) >= 0
    ends = {"constant": 0.1, "cosine": 0.0, "onecycle": 0.1 * 0.1}
    if steps == 50:
        assert rates[-1] <= ends[schedule] + 1e-3
        assert max(rates) >= 0.098


def test_every_recipe_of_the_search_can_be_made() -> None:
    asked: dict[str, Sequence[Any]] = {}

    def first(name: str, options: Sequence[Any]) -> Any:
        asked[name] = options
        return options[0]

    assert choose_recipe(first) == Recipe("adamw", ADAM_RATES[0], 0.0, 64, "constant", "xavier_uniform")
    assert tuple(asked["initialisation"]) == INITIALISATIONS
    for optimizer in asked["optimizer"]:
        made = choose_recipe(lambda name, options, o=optimizer: o if name == "optimizer" else options[-1])  # type: ignore[misc]
        assert made.lr == (SGD_RATES if optimizer == "sgd" else ADAM_RATES)[-1]
        assert Recipe.from_json(made.to_json()) == made


def test_dropout_is_off_in_an_evaluation() -> None:
    network, data = Network(net("dropout")), samples(100)
    network.train()
    assert not torch.equal(network(data.x), network(data.x))
    assert evaluate(network, data) == evaluate(network, data)


def test_an_evaluation_counts_every_sample_once_whatever_the_chunks() -> None:
    network, data = Network(net("relu", width=20, inputs=8)), samples(2 * CHUNK + 17, 8)
    logits = network.eval()(data.x)
    accuracy, loss = evaluate(network, data)
    assert accuracy == (logits.argmax(1) == data.y).double().mean().item()
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, data.y).item(), rel=1e-5)


class Watching(nn.Module):
    """A network that writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()
        self.seen.append(x)
        return x[:, :3]


def test_an_evaluation_is_in_float32_and_in_the_order_of_the_data() -> None:
    data, watching = samples(CHUNK + 5, 8), Watching()
    evaluate(watching, data)
    assert all(x.dtype == torch.float32 for x in watching.seen)
    assert torch.equal(torch.cat(watching.seen), data.x)


def test_a_training_shuffles_the_training_part_and_never_the_validation_part(monkeypatch: pytest.MonkeyPatch) -> None:
    data, validation = samples(64, 8), samples(40, 8, seed=1)
    orders: list[Tensor] = []
    forward = Network.forward

    def look(self: Network, x: Tensor) -> Tensor:
        orders.append(x.clone())
        return forward(self, x)

    monkeypatch.setattr(Network, "forward", look)
    train(net("relu", width=8, inputs=8), Recipe(batch_size=64), data, validation, epochs=3, patience=3, seed=0)
    trained, evaluated = orders[0::2], orders[1::2]
    assert all(torch.equal(x, validation.x) for x in evaluated)
    assert len({x.numpy().tobytes() for x in [data.x, *trained]}) == 4
    assert all(torch.equal(x.sum(1).sort().values, data.x.sum(1).sort().values) for x in trained)


@pytest.mark.parametrize(
    ("width", "batch", "wanted"),
    [(512, 64, True), (511, 64, False), (256, 256, True), (256, 255, False), (255, 512, False), (4096, 64, True)],
)
@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_is_a_matter_of_width_batch_and_hardware_alone(
    monkeypatch: pytest.MonkeyPatch, width: int, batch: int, wanted: bool, supported: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported, raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    architecture = net("relu", width=width, inputs=16)
    for device in ("cpu", "cuda"):
        assert use_bfloat16(architecture, batch, torch.device(device)) is (wanted and supported)
        assert use_bfloat16(architecture, batch, torch.device(device)) is (wanted and supported)


def test_a_torch_that_does_not_know_of_bfloat16_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not use_bfloat16(net("relu", width=4096, inputs=16), 512, CPU)


def test_a_training_in_bfloat16_keeps_float32_weights_and_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "use_bfloat16", lambda *facts: True)
    data = samples(128, 32)
    options: dict[str, Any] = {"epochs": 2, "patience": 2, "seed": 0}
    one, again = (train(net("relu", width=64, inputs=32), Recipe(), data, data, **options) for _ in range(2))
    assert {p.dtype for p in one.network.parameters()} == {torch.float32}
    assert [row["val_loss"] for row in one.curve] == [row["val_loss"] for row in again.curve]
    monkeypatch.setattr(loop, "use_bfloat16", lambda *facts: False)
    exact = train(net("relu", width=64, inputs=32), Recipe(), data, data, **options)
    assert one.curve[-1]["train_loss"] != exact.curve[-1]["train_loss"]
    assert one.curve[-1]["train_loss"] == pytest.approx(exact.curve[-1]["train_loss"], rel=0.05)
