"""A network as plain data: layer nodes in a directed acyclic graph, measured before any tensor exists."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import networkx as nx

from nas.ops import ACTIVATIONS, NOTHING, OPS, Scalar, Shape

T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """One layer: its `op` (a name in `nas.ops.OPS`), the positions of its inputs, its attributes."""

    op: str
    inputs: tuple[int, ...]
    attrs: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network on samples of `input_shape`. Position 0 is the input, the last node is the output.

    Two architectures are equal when they compute the same thing, however their nodes are numbered.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The output shape of every node, without the batch dimension."""
        shapes: list[Shape] = []
        for node in self.nodes:
            shapes.append(self.input_shape if node.op == "input" else _shape(node, shapes))
        return tuple(shapes)

    @cached_property
    def layer_params(self) -> tuple[int, ...]:
        """The number of trainable parameters of every node."""
        return tuple(self._measure("params"))

    @cached_property
    def num_params(self) -> int:
        """The number of trainable parameters: equals `sum(p.numel() for p in module.parameters())`."""
        return sum(self.layer_params)

    @cached_property
    def flops(self) -> int:
        """FLOPs of one sample's forward pass, two per multiply-add, matrix products only."""
        return sum(self._measure("flops"))

    def _measure(self, what: str) -> Iterable[int]:
        for node in self.nodes:
            inputs = (self.shapes[i] for i in node.inputs)
            yield getattr(OPS[node.op], what)(*inputs, **dict(node.attrs)) if node.inputs else 0

    @cached_property
    def digest(self) -> str:
        """A hexadecimal name of what is computed, the same for every numbering of the nodes.

        The nodes are put into an order that does not depend on their numbers, and the network is written down in it:
        different networks never share a digest. Order: labels are refined by neighbours; of nodes still alike, one is
        singled out, that which refines to the least labels.
        """
        labels = self._refined([_hash(node.op, sorted(node.attrs)) for node in self.nodes])
        while len(set(labels)) < len(labels):
            alike = min(label for label, times in Counter(labels).items() if times > 1)
            singled = (
                [*labels[:i], _hash(label), *labels[i + 1 :]] for i, label in enumerate(labels) if label == alike
            )
            labels = min(map(self._refined, singled), key=sorted)
        order = {label: rank for rank, label in enumerate(sorted(labels))}
        ranks = [order[label] for label in labels]
        written = (
            (node.op, sorted(node.attrs), _slots(node, [ranks[i] for i in node.inputs]))
            for _, node in sorted(zip(ranks, self.nodes, strict=True), key=lambda pair: pair[0])
        )
        return _hash(self.input_shape, ranks[-1], *written)

    def _refined(self, labels: list[str]) -> list[str]:
        """Every node's label joined by those of all that leads into it and all that it leads to, until none splits."""
        classes = 0
        while classes < (classes := len(set(labels))):
            below: list[str] = []
            for label, node in zip(labels, self.nodes, strict=True):
                below.append(_hash(label, _slots(node, [below[i] for i in node.inputs])))
            consumers: list[list[tuple[str, int]]] = [[] for _ in self.nodes]
            labels = list(below)
            for position, node in reversed(list(enumerate(self.nodes))):
                labels[position] = _hash(below[position], sorted(consumers[position]))
                for slot, i in enumerate(node.inputs):
                    consumers[i].append((labels[position], 0 if _commutes(node) else slot))
        return labels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        """The network in words: `1024-512, gelu, batchnorm, dropout 0.2, skip`."""
        widths = [str(dict(n.attrs)["out"]) for n in self._trunk() if n.op == "linear"][:-1]
        kinds = Counter(_word(n) for n in self.nodes if n.op not in ("input", "linear", "flatten"))
        order = sorted(kinds, key=lambda word: (word.split()[0] not in ACTIVATIONS, word))
        return ", ".join(["-".join(widths) or "no hidden layer", *order])

    def _trunk(self) -> list[Node]:
        """The longest way from input to output, which leaves projections out."""
        longest: list[list[Node]] = []
        for node in self.nodes:
            longest.append([*max((longest[i] for i in node.inputs), key=len, default=[]), node])
        return longest[-1]

    def to_json(self) -> dict[str, Any]:
        nodes = [[n.op, list(n.inputs), dict(n.attrs)] for n in self.nodes]
        return {"input_shape": list(self.input_shape), "nodes": nodes}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Architecture:
        nodes = tuple(Node(op, tuple(inputs), tuple(attrs.items())) for op, inputs, attrs in data["nodes"])
        return cls(tuple(data["input_shape"]), nodes)

    def to_networkx(self) -> nx.DiGraph:
        """The graph, node attributes `op`, `shape`, `params` and the layer's own."""
        graph = nx.DiGraph()
        for position, node in enumerate(self.nodes):
            facts = {"op": node.op, "shape": self.shapes[position], "params": self.layer_params[position]}
            graph.add_node(position, **facts, **dict(node.attrs))
            graph.add_edges_from((i, position) for i in node.inputs)
        return graph


@dataclass
class Sketch:
    """Grows an architecture, node by node: `x = net("linear", x, out=64)`. `net.input` is where it starts."""

    input_shape: Shape
    nodes: list[Node] = field(default_factory=lambda: [Node("input", ())])
    input: int = 0

    def __post_init__(self) -> None:
        self.shapes: list[Shape] = [self.input_shape]

    def __call__(self, op: str, *inputs: int, **attrs: Scalar) -> int:
        """Append a layer on the nodes `inputs`; return its position. What computes nothing is left out."""
        if op in NOTHING and NOTHING[op](self.shapes[inputs[0]], **attrs):
            return inputs[0]
        node = Node(op, inputs, tuple(attrs.items()))
        self.shapes.append(_shape(node, self.shapes))
        self.nodes.append(node)
        return len(self.nodes) - 1

    def residual(self, x: int, y: int) -> int:
        """`x + y`, with a bias-free projection of `x` where the widths differ."""
        if self.shapes[x] != self.shapes[y]:
            x = self("linear", x, out=self.shapes[y][0], bias=False)
        return self("add", y, x)

    def done(self, output: int) -> Architecture:
        """The architecture that ends at node `output`; nodes that do not lead there are dropped."""
        keep = {output}
        for position in range(output, 0, -1):
            if position in keep:
                keep.update(self.nodes[position].inputs)
        keep.add(0)
        number = {old: new for new, old in enumerate(sorted(keep))}
        kept = [self.nodes[old] for old in sorted(keep)]
        nodes = tuple(Node(n.op, tuple(number[i] for i in n.inputs), n.attrs) for n in kept)
        return Architecture(self.input_shape, nodes)


def _shape(node: Node, shapes: list[Shape]) -> Shape:
    return OPS[node.op].shape(*(shapes[i] for i in node.inputs), **dict(node.attrs))


def _commutes(node: Node) -> bool:
    return node.op in OPS and OPS[node.op].commutes


def _slots(node: Node, inputs: list[T]) -> list[T]:
    """What stands for the inputs of a node, sorted where their order does not matter."""
    return sorted(inputs) if _commutes(node) else inputs  # type: ignore[type-var]  # labels or ranks


def _word(node: Node) -> str:
    if node.op == "add":
        return "skip"
    return " ".join([node.op, *(f"{v:g}" for k, v in node.attrs if isinstance(v, float))])


def _hash(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
