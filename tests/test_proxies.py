"""Each proxy against a small computation of its own; none leaves a trace; all spaces can be measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, nn

from nas import plugins
from nas.architecture import Architecture, Sketch
from nas.budget import Budget
from nas.dataset import Dataset, Part
from nas.network import Network
from nas.proxies import COUNTED, KEPT, MEASURED, Proxies
from nas.space import Candidate, SearchSpace
from nas.train.initialise import initialise
from nas.train.zero_cost import PROXIES, SAMPLES, Batch, NotMeasured
from search_spaces.mlp import MLP
from search_spaces.nasbench201 import NASBench201, choices

EVERY = "+".join([*MEASURED, *COUNTED])
each_measured = pytest.mark.parametrize("name", MEASURED)


def perceptron(*widths: int, inputs: int = 5, classes: int = 3, between: tuple[str, ...] = ("relu",)) -> Architecture:
    net = Sketch((inputs,))
    x = net.input
    for width in widths:
        x = net("linear", x, out=width)
        for op in between:
            x = net(op, x, **({"p": 0.5} if op == "dropout" else {}))
    return net.done(net("linear", x, out=classes))


def begun(architecture: Architecture) -> Network:
    network = Network(architecture)
    initialise(network, "kaiming_normal", Generator().manual_seed(3))
    return network


def drawn(shape: tuple[int, ...], classes: int, samples: int = 8) -> Batch:
    rng = Generator().manual_seed(4)
    return torch.randn(samples, *shape, generator=rng), torch.randint(classes, (samples,), generator=rng)


def weights(network: Network) -> list[np.ndarray]:
    return [layer.weight.detach().numpy() for layer in network.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("between", [("relu",), ("batchnorm", "gelu"), ("layernorm", "sigmoid", "dropout")])
def test_synflow_is_the_sum_of_the_products_over_all_paths_once_for_each_layer(between: tuple[str, ...]) -> None:
    network = begun(perceptron(4, 2, between=between))
    matrices = [np.abs(matrix) for matrix in weights(network)]
    paths = product(range(5), range(4), range(2), range(3))
    total = sum(np.prod([m[b, a] for m, (a, b) in zip(matrices, pairwise(path), strict=True)]) for path in paths)
    assert PROXIES["synflow"](network, drawn((5,), 3)) == pytest.approx(np.log(3 * total), rel=1e-6)


@pytest.mark.parametrize("ops", ["333132", "210444", "012301"])
def test_synflow_is_what_the_output_grows_by_when_all_weights_grow(ops: str) -> None:
    """Euler: sum of theta dR/dtheta = dR(t theta)/dt at t = 1, of torch's own modules without what is gone around."""
    network = begun(NASBench201((3, 8, 8), 10, cells=2, channels=4).network(choices(ops)))
    found = PROXIES["synflow"](network, drawn((3, 8, 8), 10))
    network.double()
    for name, layer in [*network.named_modules()]:
        if isinstance(layer, nn.BatchNorm2d | nn.ReLU):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, nn.Identity())
    originals = {p: p.detach().abs() for p in network.parameters()}

    def flow(times: float) -> float:
        with torch.no_grad():
            for parameter, original in originals.items():
                parameter.copy_(times * original)
            return float(network(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum())

    assert found == pytest.approx(np.log((flow(1 + 1e-5) - flow(1 - 1e-5)) / 2e-5), rel=1e-6)


def test_nwot_is_the_determinant_of_how_many_units_two_samples_switch_alike() -> None:
    network, (x, y) = begun(perceptron(6, 4)), drawn((5,), 3)
    first, second, _ = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        hidden = first(x)
        codes = torch.cat([hidden > 0, second(hidden.relu()) > 0], 1).numpy()
    alike = np.array([[float((a == b).sum()) for b in codes] for a in codes])
    expected = np.linalg.slogdet(alike + np.eye(len(x)))[1]
    assert PROXIES["nwot"](network, (x, y)) == pytest.approx(expected, rel=1e-9)


def test_jacov_is_of_the_spectrum_of_the_correlations_of_jacobians() -> None:
    network, (x, y) = begun(perceptron(6, 4, inputs=20, between=("tanh",))), drawn((20,), 3)
    rows = [torch.autograd.functional.jacobian(lambda row: network(row[None]).sum(), row).numpy() for row in x]
    spectrum = np.linalg.eigvalsh(np.corrcoef(np.array(rows, dtype=np.float64)))
    expected = -np.sum(np.log(spectrum + 1e-5) + 1 / (spectrum + 1e-5))
    assert PROXIES["jacov"](network, (x, y)) == pytest.approx(expected, rel=1e-3)


def test_grad_norm_of_a_linear_model_is_that_of_logistic_regression() -> None:
    network, (x, y) = begun(perceptron()), drawn((5,), 3)
    with torch.no_grad():
        error = network(x).softmax(1).numpy() - np.eye(3)[y]
    expected = np.linalg.norm(error.T @ x.numpy() / len(x))
    assert PROXIES["grad_norm"](network, (x, y)) == pytest.approx(expected, rel=1e-5)


def test_grad_norm_adds_up_over_weight_matrices() -> None:
    network, (x, y) = begun(perceptron(6, 4, between=("layernorm", "relu"))), drawn((5,), 3)
    nn.functional.cross_entropy(network(x), y).backward()
    norms = [float(layer.weight.grad.norm()) for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert PROXIES["grad_norm"](network, (x, y)) == pytest.approx(sum(norms), rel=1e-6)


def test_parameters_and_flops_are_those_of_the_architecture() -> None:
    candidate = MLP((64,), 10, Budget(20_000)).sample(np.random.default_rng(0))
    architecture = candidate.architecture
    assert Proxies("params+flops")(candidate) == (architecture.num_params, architecture.flops)


@each_measured
def test_a_proxy_leaves_no_trace_and_is_the_same_again(name: str) -> None:
    network = begun(perceptron(6, 4, between=("batchnorm", "relu", "dropout"))).train()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    chance = torch.get_rng_state()
    batch = drawn((5,), 3)
    found = PROXIES[name](network, batch)
    assert PROXIES[name](network, batch) == found
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert all(layer.training for layer in network.modules())
    assert torch.equal(torch.get_rng_state(), chance)
    assert not batch[0].requires_grad


@pytest.mark.parametrize("name", ["synflow", "jacov"])
def test_a_network_whose_output_nothing_reaches_is_refused(name: str) -> None:
    space = NASBench201((3, 8, 8), 10, cells=1, channels=4)
    with pytest.raises(NotMeasured, match=name):
        PROXIES[name](begun(space.network(choices("000000"))), drawn((3, 8, 8), 10))
    assert Proxies(name)(space.replay({**choices("000000"), **recipe(space)})) == (-np.inf,)


def test_where_the_memory_does_not_suffice_there_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(network: Network, batch: Batch) -> float:
        torch.empty(2**60)
        return 0.0

    monkeypatch.setitem(PROXIES, "nwot", full)
    assert Proxies("nwot")(MLP((8,), 3).default()) == (-np.inf,)


def recipe(space: SearchSpace) -> dict[str, Any]:
    """Any choices of training."""
    return {k: v for k, v in space.default().values.items() if not k.startswith("edge")}


def mlps() -> list[Candidate]:
    space = MLP((12,), 3, Budget(2000))
    return [space.sample(np.random.default_rng(seed)) for seed in range(6)]


def test_a_candidate_has_the_same_values_whatever_was_measured_before_and_whoever_else_draws() -> None:
    candidates, proxies = mlps(), Proxies(EVERY)
    found = [proxies(candidate) for candidate in candidates]
    torch.manual_seed(99)
    chance = torch.get_rng_state()
    assert [Proxies(EVERY)(candidate) for candidate in reversed(candidates)] == found[::-1]
    assert torch.equal(torch.get_rng_state(), chance)
    assert len(set(found)) == len(found)


def test_the_recipe_is_not_judged() -> None:
    candidate = mlps()[0]
    other = replace(candidate, recipe=replace(candidate.recipe, initialisation="orthogonal", lr=7.0))
    assert Proxies(EVERY)(candidate) == Proxies(EVERY)(other)


def test_threads_are_as_many_afterwards_and_change_no_value() -> None:
    candidate, threads = mlps()[0], torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        found = Proxies(EVERY)(candidate)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert Proxies(EVERY)(candidate) == found


def test_a_network_is_measured_once() -> None:
    candidate, proxies = mlps()[0], Proxies("nwot")
    proxies(candidate), proxies(replace(candidate, fidelity=0.5))
    assert proxies._measured.cache_info()[:3] == (1, 1, KEPT)  # hits, misses, the most that are remembered


INPUTS = {"mlp": (64,)}


@pytest.mark.parametrize("name", plugins.names("search_spaces"))
def test_every_space_can_be_measured(name: str) -> None:
    space = plugins.make("search_spaces", name, SearchSpace, INPUTS.get(name, (3, 8, 8)), 10, Budget(200_000))
    proxies = Proxies(EVERY)
    for candidate in (space.default(), *(space.sample(np.random.default_rng(seed)) for seed in range(2))):
        found, nodes = np.array(proxies(candidate)), candidate.architecture.nodes
        nothing = any(nodes[i].op == "zero" for i in candidate.architecture.computed)
        assert np.isfinite(found).all() or (nothing and not np.isnan(found).any()), candidate.values


def test_narrow_networks_with_fewer_codes_than_samples_have_a_finite_nwot_and_more_units_a_higher_one() -> None:
    x, y = drawn((5,), 3, SAMPLES)
    found = [PROXIES["nwot"](begun(perceptron(width)), (x, y)) for width in (1, 4, 16, 64)]
    assert np.isfinite(found).all()
    assert found == sorted(found)


def digits_like(offset: float, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    parts = (Part(offset + rng.standard_normal((200, 12)).astype(np.float32), np.arange(200) % 3) for _ in range(3))
    return Dataset("made up", *parts, classes=("a", "b", "c"))


def speech() -> Dataset:
    rng = np.random.default_rng(0)

    def part(utterances: int) -> Part:
        groups = np.repeat(np.arange(utterances), 30)
        x = rng.standard_normal((len(groups), 4)).astype(np.float32)
        return Part(x, np.arange(len(groups)) % 3, groups)

    return Dataset("speech", part(100), part(2), part(2), ("a", "b", "c"), contexts=(0, 2, 5), normalise="utterance")


def seen(proxies: Proxies, candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """The batch that a candidate is measured on."""
    batches: list[Batch] = []

    def note(network: Network, batch: Batch) -> float:
        batches.append(batch)
        return 0.0

    monkeypatch.setitem(PROXIES, "nwot", note)
    proxies(candidate)
    return batches[0]


def test_the_batch_is_of_the_training_part_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies, data = Proxies("nwot"), digits_like(1000.0)
    proxies.look(data)
    x, y = seen(proxies, mlps()[0], monkeypatch)
    assert x.shape == (SAMPLES, 12)
    assert float(x.mean().abs()) < 0.2
    normal = (data.train.x - data.train.x.mean(0)) / data.train.x.std(0)
    at = [int(np.abs(normal - row.numpy()).sum(1).argmin()) for row in x]
    assert np.abs(normal[at] - x.numpy()).max() < 1e-3
    assert data.train.y[at].tolist() == y.tolist()


def test_without_data_the_batch_is_normal_noise_of_the_input_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = seen(Proxies("nwot"), mlps()[0], monkeypatch)
    assert x.shape == (SAMPLES, 12)
    assert abs(float(x.std()) - 1) < 0.1
    assert set(y.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("context", [0, 2, 5])
def test_the_batch_fits_the_context_that_a_candidate_sees(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = speech()
    space = MLP((4,), 3, Budget(5000)).on(data.contexts)
    candidate = space.nearest({"context": context})
    for looked in (None, data):
        proxies = Proxies("nwot")
        proxies.look(looked)
        x, _ = seen(proxies, candidate, monkeypatch)
        assert x.shape == (SAMPLES, 2 * context + 1, 4)


def test_other_data_have_other_values_and_what_was_measured_on_the_first_is_forgotten() -> None:
    candidate, proxies = mlps()[0], Proxies("nwot+synflow")
    found = []
    for data in (None, digits_like(0.0), digits_like(0.0, seed=1), None):
        proxies.look(data)
        found.append(proxies(candidate))
    assert found[0] == found[3]
    assert len({nwot for nwot, _ in found}) == 3
    assert len({synflow for _, synflow in found}) == 1


@pytest.mark.parametrize(("names", "said"), [("synflw", "synflow"), ("", "params"), ("nwot+norm", "norm")])
def test_an_unknown_proxy_is_refused_with_the_nearest_name(names: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Proxies(names)
