"""Weight initialisation with the gain of the activation that follows (Glorot & Bengio 2010; He et al. 2015)."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor, nn
from torch.nn import init

from nas.architecture import Architecture
from nas.network import Network
from nas.ops import ACTIVATIONS


def initialise(network: Network, scheme: str, generator: Generator) -> None:
    """Draw every weight matrix of a CPU network by `scheme` from `generator`, biases zero."""
    following = _following_activation(network.plan.architecture)
    for position, layer in network.layers_of.items():
        if isinstance(layer, nn.Linear):
            gain = _gain(following[position])
            _draw(layer.weight.data, scheme, gain, generator)
            if layer.bias is not None:
                init.zeros_(layer.bias)


def _draw(weight: Tensor, scheme: str, gain: float, generator: Generator) -> None:
    if scheme == "xavier_uniform":
        init.xavier_uniform_(weight, gain, generator)
    elif scheme == "xavier_normal":
        init.xavier_normal_(weight, gain, generator)
    else:  # Kaiming: std = gain / sqrt(inputs); torch's own takes a name in place of the gain
        std = gain / weight[0].numel() ** 0.5
        if scheme == "kaiming_uniform":
            init.uniform_(weight, -(3**0.5) * std, 3**0.5 * std, generator)
        elif scheme == "kaiming_normal":
            init.normal_(weight, 0.0, std, generator)
        else:
            raise ValueError(f"unknown initialisation {scheme!r}")


def _following_activation(architecture: Architecture) -> list[str]:
    """Of every node, the first activation that its output meets, '' where there is none."""
    following = [""] * len(architecture.nodes)
    for position in reversed(range(1, len(architecture.nodes))):
        node = architecture.nodes[position]
        met = node.op if node.op in ACTIVATIONS else "" if node.op in ("linear", "add") else following[position]
        for i in node.inputs:
            following[i] = met or following[i]
    return following


def _gain(activation: str) -> float:
    if not activation:
        return 1.0
    name: Any = ACTIVATIONS[activation].gain  # torch types it as a list of literals
    return float(init.calculate_gain(name, 0.01 if name == "leaky_relu" else None))
