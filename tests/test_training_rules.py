"""The rules of training: evaluation, initialisation, precision, the order of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from nas.architecture import Architecture, Sketch
from nas.dataset import Dataset, Part
from nas.network import Network
from nas.ops import ACTIVATIONS
from nas.recipe import Recipe
from nas.train import loop
from nas.train.initialise import initialise
from nas.train.loop import CHUNK, evaluate, train
from nas.train.precision import autocast_type, memory_format, use_bfloat16
from nas.train.resident import Resident

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


def convolutions(*ops: str, channels: int = 32, groups: int = 1) -> Architecture:
    """A convolution, these operations, a depthwise convolution, an output layer."""
    sketch = Sketch((48, 6, 6))
    x = sketch("conv", sketch.input, out=channels, kernel=3, groups=groups)
    for op in ops:
        x = sketch(op, x, **({"kernel": 2, "stride": 2} if op == "maxpool" else {}))
    x = sketch("flatten", sketch("depthwise", x, kernel=3))
    return sketch.done(sketch("linear", x, out=3))


@pytest.mark.parametrize("scheme", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_kernel_is_drawn_for_what_an_output_sees(scheme: str, groups: int) -> None:
    network = Network(convolutions("batchnorm", "maxpool", "relu", channels=320, groups=groups))
    initialise(network, scheme, Generator().manual_seed(0))
    conv, depthwise = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    for layer, gain, fans in ((conv, 2**0.5, (48 / groups * 9, 320 / groups * 9)), (depthwise, 1.0, (9, 9))):
        fan = fans[0] if scheme.startswith("kaiming") else sum(fans) / 2
        assert layer.weight.std().item() == pytest.approx(gain / fan**0.5, rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize("groups", [1, 4])
def test_an_orthogonal_kernel_keeps_lengths_within_its_group(groups: int) -> None:
    network = Network(convolutions("relu", channels=40, groups=groups))
    initialise(network, "orthogonal", Generator().manual_seed(0))
    conv, depthwise = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    for kernel in conv.weight.flatten(1).chunk(groups):
        assert torch.allclose(kernel @ kernel.T, 2 * torch.eye(len(kernel)), atol=1e-4)  # relu's gain, squared
    assert torch.allclose(depthwise.weight.flatten(1).norm(dim=1), torch.ones(40))
    (linear,) = linears(network)
    assert torch.allclose(linear.weight @ linear.weight.T, torch.eye(3), atol=1e-5)


@pytest.mark.parametrize("join", ["add", "multiply", "concat"])
def test_what_follows_a_join_is_not_what_follows_its_inputs(join: str) -> None:
    sketch = Sketch((300,))
    joined = sketch(join, *(sketch("linear", sketch.input, out=400) for _ in range(2)))
    network = Network(sketch.done(sketch("linear", sketch("relu", joined), out=3)))
    initialise(network, "kaiming_normal", Generator().manual_seed(0))
    assert [layer.weight.std().item() for layer in linears(network)[:2]] == pytest.approx([1 / 300**0.5] * 2, rel=0.05)


def test_an_unknown_initialisation_is_refused_with_the_word() -> None:
    with pytest.raises(ValueError, match=r"initialisation must be one of .* got 'lecun'"):
        initialise(Network(net("relu")), "lecun", Generator())


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


class Watching(Network):
    """A network that writes down what it is given."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()
        self.seen.append(x)
        return super().forward(x)


def test_an_evaluation_is_in_float32_and_in_the_order_of_the_data() -> None:
    data, watching = samples(CHUNK + 5, 8), Watching(net("relu", width=4, inputs=8))
    evaluate(watching, data)
    assert all(x.dtype == torch.float32 for x in watching.seen)
    assert torch.equal(torch.cat(watching.seen), data.x)


def frames(context: int) -> tuple[Resident, Tensor]:
    """Three utterances of four frames, and the windows of every frame, zeros beyond the utterance."""
    rng = np.random.default_rng(0)
    part = Part(rng.normal(size=(12, 2)).astype(np.float32), rng.integers(3, size=12), np.arange(12) // 4)
    data = Resident.of(part, Dataset("f", part, part, part, tuple("abc"), (2, 0), "none"), CPU)
    padded = np.pad(part.x.reshape(3, 4, 2), ((0, 0), (context, context), (0, 0)))
    windows = [padded[i // 4, i % 4 : i % 4 + 2 * context + 1] for i in range(12)]
    return data, torch.from_numpy(np.stack(windows))


@pytest.mark.parametrize("context", [0, 1, 2])
def test_windows_are_evaluated_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch, context: int) -> None:
    monkeypatch.setattr(loop, "CHUNK", 5)
    data, windows = frames(context)
    sketch = Sketch((2 * context + 1, 2))
    watching = Watching(sketch.done(sketch("linear", sketch("flatten", sketch.input), out=3)))
    accuracy, _ = evaluate(watching, data)
    assert [len(x) for x in watching.seen] == [5, 5, 2]
    assert torch.equal(torch.cat(watching.seen), windows)
    assert accuracy == (watching.layers(windows).argmax(1) == data.y).double().mean().item()


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
    network = Network(net("relu", width=width, inputs=16))
    for device in ("cpu", "cuda"):
        assert use_bfloat16(network, batch, torch.device(device)) is (wanted and supported)
        assert use_bfloat16(network, batch, torch.device(device)) is (wanted and supported)


@pytest.mark.parametrize(("channels", "wanted"), [(15, torch.float32), (16, torch.bfloat16), (64, torch.bfloat16)])
def test_convolutions_of_sixteen_channels_are_trained_in_bfloat16_and_depthwise_ones_on_a_cpu_are_not(
    monkeypatch: pytest.MonkeyPatch, channels: int, wanted: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    sketch = Sketch((3, 6, 6))
    x = sketch("flatten", sketch("conv", sketch.input, out=channels, kernel=3))
    network = Network(sketch.done(sketch("linear", x, out=3)))
    depthwise = Network(convolutions("relu", channels=channels))
    assert autocast_type(depthwise, Recipe(batch_size=1), CPU) == torch.float32
    assert autocast_type(depthwise, Recipe(batch_size=1), torch.device("cuda")) == wanted
    assert autocast_type(network, Recipe(batch_size=1), CPU) == wanted
    assert autocast_type(network, Recipe(precision="float32"), CPU) == torch.float32
    assert memory_format(network) == torch.channels_last
    assert memory_format(Network(net("relu"))) == torch.contiguous_format


def test_float16_is_refused_without_a_gpu_and_the_remedy_is_said() -> None:
    data = samples(20)
    with pytest.raises(ValueError, match=r"^precision float16 needs a CUDA device, got cpu; use auto or bfloat16$"):
        train(net("relu"), Recipe(precision="float16"), data, data, epochs=1, patience=1, seed=0)
    with pytest.raises(ValueError, match=r"precision must be one of .* got 'float8'"):
        autocast_type(Network(net("relu")), Recipe(precision="float8"), CPU)


def test_a_network_of_convolutions_is_trained_and_evaluated_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    layouts: list[bool] = []
    forward = Network.forward

    def look(self: Network, x: Tensor) -> Tensor:
        weights = [layer.weight for layer in self.modules() if isinstance(layer, nn.Conv2d) and layer.groups == 1]
        layouts.extend(t.is_contiguous(memory_format=torch.channels_last) for t in (x, *weights))
        return forward(self, x)

    monkeypatch.setattr(Network, "forward", look)
    generator = Generator().manual_seed(0)
    data = Resident(torch.randn(40, 48, 6, 6, generator=generator), torch.randint(3, (40,), generator=generator))
    train(convolutions("relu"), Recipe(batch_size=20, average="ema"), data, data, epochs=1, patience=1, seed=0)
    evaluate(Network(convolutions("relu")), data)
    assert len(layouts) == 8
    assert all(layouts)


def test_a_torch_that_does_not_know_of_bfloat16_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not use_bfloat16(Network(net("relu", width=4096, inputs=16)), 512, CPU)


def test_a_training_in_bfloat16_keeps_float32_weights_and_repeats_itself() -> None:
    data = samples(128, 32)
    options: dict[str, Any] = {"epochs": 2, "patience": 2, "seed": 0}
    recipe = Recipe(precision="bfloat16")
    one, again = (train(net("relu", width=64, inputs=32), recipe, data, data, **options) for _ in range(2))
    assert {p.dtype for p in one.network.parameters()} == {torch.float32}
    assert [row["val_loss"] for row in one.curve] == [row["val_loss"] for row in again.curve]
    exact = train(net("relu", width=64, inputs=32), Recipe(precision="float32"), data, data, **options)
    assert one.curve[-1]["train_loss"] != exact.curve[-1]["train_loss"]
    assert one.curve[-1]["train_loss"] == pytest.approx(exact.curve[-1]["train_loss"], rel=0.05)


def test_a_training_in_float16_keeps_small_gradients_by_a_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "autocast_type", lambda *facts: torch.float16)  # a CPU can, slowly
    data = samples(96, 32)
    for optimizer, lr in (("adamw", 1e-2), ("sam", 5e-2)):
        recipe = Recipe(optimizer=optimizer, lr=lr, batch_size=32)
        curve = train(net("relu", width=32, inputs=32), recipe, data, data, epochs=4, patience=4, seed=0).curve
        assert curve[-1]["train_loss"] < curve[0]["train_loss"]
        assert all(np.isfinite(list(row.values())).all() for row in curve)
