"""Which architectures can be trained together: chains of dense blocks, with or without skips from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

from nas.architecture import Architecture, Node
from nas.ops import ACTIVATIONS

NORMS = ("batchnorm", "layernorm")


@dataclass(frozen=True)
class Block:
    """Linear, normalisation, activation, dropout, skip: positions of nodes, 0 for what there is none of."""

    linear: int
    width: int
    bias: bool
    norm: int
    normed: str  # which, "" for none
    activation: str
    p: float
    skip: bool = False
    projection: int = 0  # of the block's input, where a skip needs one


@dataclass(frozen=True)
class Chain:
    """A perceptron: dropout of the input, blocks, and the layer at position `head` that gives the logits."""

    features: int
    p: float
    blocks: tuple[Block, ...]
    head: int
    classes: int

    @property
    def width(self) -> int:
        """Features of all blocks together."""
        return sum(block.width for block in self.blocks)


def chain_of(architecture: Architecture) -> Chain | None:
    """The architecture as a chain; None where it is none."""
    return _Reading(architecture).chain()


class _Reading:
    """Reads the nodes in their order."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture, self.nodes, self.at = architecture, architecture.nodes, 1

    def chain(self) -> Chain | None:
        x = self._layer("flatten", 0) or 0
        features = self.architecture.shapes[x]
        dropout = self._layer("dropout", x)
        p, x = self._p(dropout), dropout or x
        blocks: list[Block] = []
        while len(features) == 1 and (linear := self._layer("linear", x)):
            if self.at == len(self.nodes):
                bias = _biased(self.nodes[linear])
                (classes,) = self.architecture.shapes[linear]
                return Chain(features[0], p, tuple(blocks), linear, classes) if bias and blocks else None
            found = self._block(linear, x)
            if found is None:
                return None
            block, x = found
            blocks.append(block)
        return None

    def _block(self, linear: int, x: int) -> tuple[Block, int] | None:
        """The block that begins with a linear layer of node `x`, and the node that it ends with."""
        y, width = linear, self.architecture.shapes[linear][0]
        norm = self._layer(NORMS, y) or 0
        activation = self._layer(tuple(ACTIVATIONS), norm or y)
        if activation is None:
            return None
        dropout = self._layer("dropout", activation)
        y, before = dropout or activation, self.at
        projection = self._layer("linear", x) or 0
        if projection and _biased(self.nodes[projection]):
            return None
        skip = self._layer("add", y, projection or x) or 0
        if not skip:
            projection, self.at = 0, before
        bias, normed = _biased(self.nodes[linear]), self.nodes[norm].op if norm else ""
        kind = self.nodes[activation].op
        return Block(linear, width, bias, norm, normed, kind, self._p(dropout), bool(skip), projection), skip or y

    def _layer(self, ops: str | tuple[str, ...], *inputs: int) -> int | None:
        """The position of the next node, passed over, if it is one of these on just these inputs."""
        if self.at < len(self.nodes):
            node = self.nodes[self.at]
            if node.op in ((ops,) if isinstance(ops, str) else ops) and node.inputs == inputs:
                self.at += 1
                return self.at - 1
        return None

    def _p(self, dropout: int | None) -> float:
        return 0.0 if dropout is None else float(dict(self.nodes[dropout].attrs)["p"])


def _biased(linear: Node) -> bool:
    return bool(dict(linear.attrs).get("bias", True))
