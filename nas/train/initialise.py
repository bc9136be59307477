"""Weight initialisation with the gain of the activation that follows.

Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2014 (orthogonal, arXiv 1312.6120).
"""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor, nn
from torch.nn import init

from nas.network import Network
from nas.ops import ACTIVATIONS, OPS, Join
from nas.recipe import INITIALISATIONS
from nas.train.weights import weight_matrices


def initialise(network: Network, scheme: str, generator: Generator) -> None:
    """Draw every weight matrix and kernel of a CPU network by `scheme` from `generator`, biases zero."""
    if scheme not in INITIALISATIONS:
        raise ValueError(f"initialisation must be one of {', '.join(INITIALISATIONS)}, got {scheme!r}")
    following = _following_activation(network)
    for position, layer in network.layers_of.items():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
            _draw(layer.weight.data, scheme, _gain(following[position]), groups, generator)
            if layer.bias is not None:
                init.zeros_(layer.bias)


def _draw(weight: Tensor, scheme: str, gain: float, groups: int, generator: Generator) -> None:
    """Fill (out, in / groups, ...). What an output sees, and what sees an input, lies within a group."""
    if scheme == "orthogonal":
        for kernel in weight.chunk(groups):
            init.orthogonal_(kernel, gain, generator)
        return
    fan_in = weight[0].numel()
    fan_out = len(weight) // groups * weight[0, 0].numel()
    std = gain * ((2 / (fan_in + fan_out)) ** 0.5 if scheme.startswith("xavier") else 1 / fan_in**0.5)
    if scheme.endswith("uniform"):
        init.uniform_(weight, -(3**0.5) * std, 3**0.5 * std, generator)
    else:
        init.normal_(weight, 0.0, std, generator)


def _following_activation(network: Network) -> list[str]:
    """Of every node, the first activation that its output meets before weights or a join, '' where there is none."""
    nodes = network.plan.architecture.nodes
    following = [""] * len(nodes)
    for position in reversed(range(1, len(nodes))):
        op = nodes[position].op
        layer = network.layers_of.get(position)
        ends = isinstance(OPS[op], Join) or (layer is not None and bool(weight_matrices(layer)))
        met = op if op in ACTIVATIONS else "" if ends else following[position]
        for i in nodes[position].inputs:
            following[i] = met or following[i]
    return following


def _gain(activation: str) -> float:
    if not activation:
        return 1.0
    name: Any = ACTIVATIONS[activation].gain  # torch types it as a list of literals
    return float(init.calculate_gain(name, 0.01 if name == "leaky_relu" else None))
