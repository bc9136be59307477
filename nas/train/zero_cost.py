"""Zero-cost proxies that are measured on a network before it is trained (arXiv 2101.08134 compares them).

Each is a function of a network at initialisation and of a batch, samples (n, *input_shape) and class numbers (n,). It
uses no chance, and leaves the network as it was. It raises `NotMeasured` where there is no finite number to tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nas.architecture import Architecture
from nas.dataset import Dataset
from nas.network import Network
from nas.ops import ACTIVATIONS, OPS, Join, Shape
from nas.resample import sampled
from nas.train.initialise import initialise
from nas.train.precision import memory_format
from nas.train.resident import Resident
from nas.train.threads import one_thread
from nas.train.weights import weight_matrices

Batch = tuple[Tensor, Tensor]
SAMPLES, SEEN = 64, 2048  # of a batch; of the training part, what it is drawn from and normalised by
STRAIGHT = {*ACTIVATIONS, "batchnorm", "layernorm", "groupnorm", "dropout"}  # what a linearised network goes around
K = 1e-5  # of jacov, as its authors have it


class NotMeasured(ArithmeticError):
    """A proxy has no finite value for a network: nothing reaches its output, say."""


def synflow(network: Network, batch: Batch) -> float:
    """The logarithm of the synaptic saliency of all weights (arXiv 2006.05467, eq. 1 and 2). Needs no data.

    The network is linearised: activations and normalisations are left out, a gate is open. In float64, for R multiplies
    over layers.
    """
    plan = network.plan.architecture
    weights: dict[int, Tensor] = {}
    values = {0: torch.ones(1, *plan.input_shape, dtype=torch.float64)}
    for i in plan.computed[1:]:
        op, inputs = plan.nodes[i].op, [values[j] for j in plan.nodes[i].inputs]
        if op in STRAIGHT or op == "multiply":
            values[i] = inputs[0]
        elif isinstance(join := OPS[op], Join):
            values[i] = join.apply(*inputs)
        elif matrices := weight_matrices(network.layers_of[i]):
            (weight,) = matrices
            weights[i] = weight.detach().double().abs().requires_grad_()
            absolute = {name: p.detach().double().abs() for name, p in network.layers_of[i].named_parameters()}
            values[i] = functional_call(network.layers_of[i], {**absolute, "weight": weights[i]}, inputs[0])
        else:
            values[i] = network.layers_of[i](inputs[0])
    flow = values[len(plan.nodes) - 1].sum()  # R = 1' (prod_l |theta_l|) 1
    slopes = torch.autograd.grad(flow, [*weights.values()], allow_unused=True, materialize_grads=True)
    saliency = sum(float((w.detach() * s).sum()) for w, s in zip(weights.values(), slopes, strict=True))
    return _finite("synflow", math.log(saliency) if saliency > 0 else -math.inf)


def nwot(network: Network, batch: Batch) -> float:
    """How differently the samples switch the units on: log |K| of their codes (arXiv 2006.04647, eq. 2).

    Of activations other than ReLU the sign of what they are given counts. One more unit of each sample's own, K + I,
    keeps the determinant above zero where a small network has fewer codes than samples.
    """
    x, _ = batch
    kernel = torch.eye(len(x), dtype=torch.float64)

    def count(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        on = (inputs[0] > 0).flatten(1).float()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)  # N_A - d_H(c_i, c_j)

    plan = network.plan.architecture
    with _still(network), torch.no_grad(), ExitStack() as stack:
        for i in plan.computed:
            if plan.nodes[i].op in ACTIVATIONS:
                stack.enter_context(network.layers_of[i].register_forward_pre_hook(count))
        network(x)
    return _finite("nwot", float(torch.linalg.slogdet(kernel).logabsdet))


def jacov(network: Network, batch: Batch) -> float:
    """How little the Jacobians of the samples correlate (arXiv 2006.04647 in its first version, section 3)."""
    x = batch[0].detach().requires_grad_()
    with _still(network):
        (jacobian,) = torch.autograd.grad(network(x).sum(), x)
    correlation = torch.corrcoef(jacobian.flatten(1).double())
    _finite("the correlation of jacov", float(correlation.sum()))  # of a constant one there is none
    spectrum = torch.linalg.eigvalsh(correlation)
    return _finite("jacov", -float((torch.log(spectrum + K) + 1 / (spectrum + K)).sum()))


def grad_norm(network: Network, batch: Batch) -> float:
    """The Euclidean norms of the loss's gradient, a weight matrix each, added up (arXiv 2101.08134, section 3.1)."""
    x, y = batch
    with _still(network):
        loss = cross_entropy(network(x), y)
        slopes = torch.autograd.grad(loss, weight_matrices(network), allow_unused=True, materialize_grads=True)
    return _finite("grad_norm", sum(float(slope.norm()) for slope in slopes))


PROXIES: dict[str, Callable[[Network, Batch], float]] = {
    proxy.__name__: proxy for proxy in (synflow, nwot, jacov, grad_norm)
}


class Measuring:
    """Proxies of architectures, all initialised from the same seed, on one batch of `dataset`, or of noise without."""

    def __init__(self, dataset: Dataset | None) -> None:
        self._dataset = dataset

    def __call__(self, name: str, architecture: Architecture) -> float:
        """Minus infinity where it has none, or the memory does not suffice."""
        with one_thread():
            network = _initialised(architecture)
            batch = self._batch(architecture.input_shape, architecture.shapes[-1][0])
            try:
                return PROXIES[name](network, batch)
            except (NotMeasured, RuntimeError):  # torch's own are of memory
                return -math.inf

    def _batch(self, shape: Shape, classes: int) -> Batch:
        generator = Generator().manual_seed(0)
        if self._resident is None:
            x = torch.randn(SAMPLES, *shape, generator=generator)
            return x, torch.randint(classes, (SAMPLES,), generator=generator)
        rows = torch.randperm(len(self._resident), generator=generator)[:SAMPLES]
        return self._resident.samples(rows, shape), self._resident.y[rows]

    @cached_property
    def _resident(self) -> Resident | None:
        if self._dataset is None:
            return None
        share = max(SEEN, len(self._dataset.classes)) / len(self._dataset.train)
        part = replace(sampled(self._dataset, min(1.0, share), 0), fitted_on=None)
        return Resident.of(part.train, part, torch.device("cpu"))


def _initialised(architecture: Architecture) -> Network:
    """The network as its training would begin it; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        network = Network(architecture)
    initialise(network, "kaiming_normal", Generator().manual_seed(0))
    network.to(memory_format=memory_format(network))  # type: ignore[call-overload]  # typed for 4-D alone
    return network


@contextmanager
def _still(network: Network) -> Iterator[None]:
    """BatchNorm has the statistics of the batch and remembers none; nothing is dropped out."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    training = network.training
    network.eval()
    for layer in layers:
        layer.training, layer.track_running_stats = True, False
    try:
        yield
    finally:
        network.train(training)
        for layer in layers:
            layer.track_running_stats = True


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise NotMeasured(f"{name} of this network is {value}")
    return value
