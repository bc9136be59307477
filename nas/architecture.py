"""A network as plain data: layer nodes in a directed acyclic graph, measured before any tensor exists."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import groupby
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.digest import Layer, digest, layer_name
from nas.ops import ACTIVATIONS, NOTHING, OPS, Scalar, Shape, measure
from nas.plugins import nearest

WHOLE = {"out", "kernel", "stride"}  # options of layers that are whole numbers

if TYPE_CHECKING:
    import networkx as nx

UNSPOKEN = ("input", "linear", "flatten", "globalpool", "concat")  # left out where a network is put into words
SPOKEN = {"add": "skip", "multiply": "gate"}


class Node(NamedTuple):
    """One layer: its `op` (a name in `nas.ops.OPS`), the positions of its inputs, its attributes.

    `scope` is the part of the network that it belongs to, such as `stage1.block2`: a name, of no account to equality.
    """

    op: str
    inputs: tuple[int, ...]
    attrs: tuple[tuple[str, Scalar], ...] = ()
    scope: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self[:3] == other[:3]

    def __ne__(self, other: object) -> bool:  # a tuple brings its own
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:3])


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network on samples of `input_shape`. Position 0 is the input, the last node is the output.

    Two architectures are equal when they join the same layers in the same way, however their nodes are numbered.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]

    @cached_property
    def measured(self) -> tuple[tuple[Shape, int, int], ...]:
        """Output shape, parameters and FLOPs of every node."""
        found: list[tuple[Shape, int, int]] = []
        for op, inputs, attrs, _ in self.nodes:
            found.append(measure(op, attrs, *[found[i][0] for i in inputs]) if inputs else (self.input_shape, 0, 0))
        return tuple(found)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The output shape of every node, without the batch dimension."""
        return tuple(shape for shape, _, _ in self.measured)

    @cached_property
    def layer_params(self) -> tuple[int, ...]:
        """The number of trainable parameters of every node."""
        return tuple(params for _, params, _ in self.measured)

    @cached_property
    def num_params(self) -> int:
        """The number of trainable parameters: equals `sum(p.numel() for p in module.parameters())`."""
        return sum(self.layer_params)

    @cached_property
    def flops(self) -> int:
        """FLOPs of one sample's forward pass, two per multiply-add, matrix products and convolutions only."""
        return sum(self.measured[i][2] for i in self.computed)

    @cached_property
    def computed(self) -> tuple[int, ...]:
        """The positions that lead to the output. Any others are held for their parameters alone."""
        return tuple(sorted(leading_to(self.nodes, [len(self.nodes) - 1])))

    @cached_property
    def digest(self) -> str:
        """A hexadecimal name of what is computed: blind to the numbering and to what does not lead to the output."""
        number = {old: new for new, old in enumerate(self.computed)}
        nodes = [self.nodes[i] for i in self.computed]
        inputs = [node.inputs for node in nodes]
        if len(nodes) < len(self.nodes):
            inputs = [tuple([number[i] for i in ins]) for ins in inputs]
        named = [(layer, ins, commutes) for ins, (layer, commutes) in zip(inputs, map(_layer, nodes), strict=True)]
        return digest(self.input_shape, named)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Of the hidden layers on the longest way from input to output, which leaves projections out."""
        trunk = [self.nodes[i] for i in self._trunk() if self.shapes[i][1:] != (1, 1)]  # a gate is beside the trunk
        return tuple(int(dict(node.attrs)["out"]) for node in trunk if node.op in ("linear", "conv"))[:-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        """The network in words: `1024-512, gelu, batchnorm, dropout 0.2, skip`; `3*64` are three layers of 64."""
        runs = [(width, len(list(run))) for width, run in groupby(self.widths)]
        shown = "-".join(f"{n}*{w}" if n > 2 else "-".join([str(w)] * n) for w, n in runs)
        spoken = (self.nodes[i] for i in self.computed if self.nodes[i].op not in UNSPOKEN)
        kinds = Counter([_word(node.op, node.attrs) for node in spoken])
        order = sorted(kinds, key=lambda word: (word.split()[0] not in ACTIVATIONS, word))
        return ", ".join([shown or "no hidden layer", *order])

    def _trunk(self) -> list[int]:
        """The longest way from input to output."""
        length, before = [0] * len(self.nodes), [0] * len(self.nodes)
        for position, node in enumerate(self.nodes):
            if node.inputs:
                before[position] = max(node.inputs, key=length.__getitem__)
                length[position] = length[before[position]] + 1
        way = [len(self.nodes) - 1]
        while length[way[-1]]:
            way.append(before[way[-1]])
        return way[::-1]

    def to_json(self) -> dict[str, Any]:
        nodes = [[n.op, list(n.inputs), dict(n.attrs), *([n.scope] if n.scope else [])] for n in self.nodes]
        return {"input_shape": list(self.input_shape), "nodes": nodes}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Architecture:
        nodes = tuple(
            Node(op, tuple(inputs), tuple(attrs.items()), *scope) for op, inputs, attrs, *scope in data["nodes"]
        )
        return cls(tuple(data["input_shape"]), nodes)

    def to_networkx(self) -> nx.DiGraph:
        """The graph, node attributes `op`, `shape`, `params` and the layer's own."""
        import networkx as nx  # a quarter of what a search would import before it begins

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
        self._measured = [(self.input_shape, 0, 0)]
        self._scope = ""

    def __call__(self, op: str, *inputs: int, **attrs: Scalar) -> int:
        """Append a layer on the nodes `inputs`; return its position. What computes nothing is left out."""
        if op not in OPS and op not in NOTHING:
            raise ValueError(f"there is no layer {op!r}; {nearest(op, OPS)}")
        shapes = self.shapes
        inputs = self._known(op, *inputs)
        for name in WHOLE & attrs.keys():
            if not isinstance(attrs[name], Integral):
                raise ValueError(f"{op} needs {name} as a whole number, got {attrs[name]!r}")
        if op in NOTHING and NOTHING[op](shapes[inputs[0]], **attrs):
            return inputs[0]
        pairs = tuple(attrs.items())
        try:
            self._measured.append(measure(op, pairs, *[shapes[i] for i in inputs]))
        except TypeError as error:  # an option that it has not, or one that it lacks
            raise ValueError(f"layer {op} with {attrs} on {len(inputs)} layer(s): {error}") from None
        shapes.append(self._measured[-1][0])
        self.nodes.append(Node(op, inputs, pairs, self._scope))
        return len(shapes) - 1

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """What is appended inside belongs to the part `name` of the network, such as `stage1.block2`."""
        if not is_scope(name):
            raise ValueError(f"a scope must be a Python name, or several with dots between, got {name!r}")
        outer, self._scope = self._scope, f"{self._scope}.{name}".strip(".")
        try:
            yield
        finally:
            self._scope = outer

    def _known(self, op: str, *inputs: Any) -> tuple[int, ...]:
        """The positions. Raises `ValueError` where one is no layer's."""
        if not inputs:
            raise ValueError(f"{op} is put on nothing; give a layer, or net.input")
        for i in inputs:
            if not isinstance(i, Integral) or not 0 <= int(i) < len(self.shapes):
                raise ValueError(f"{op} is put on {i!r}, which is no layer of this sketch; give what net(...) returned")
        return tuple(map(int, inputs))

    def residual(self, x: int, y: int) -> int:
        """`x + y`, with a bias-free projection of `x` where the shapes differ."""
        x, y = self._known("residual", x, y)
        before, after = self.shapes[x], self.shapes[y]
        if before != after and len(after) == 1:
            x = self("linear", x, out=after[0], bias=False)
        elif before != after:
            x = self("conv", x, out=after[0], kernel=1, stride=-(-before[1] // after[1]), bias=False)
        return self("add", y, x)

    def done(self, output: int, keep: Iterable[int] = ()) -> Architecture:
        """The architecture that ends at node `output`. Other nodes are dropped, but for those that lead to `keep`."""
        (output,) = self._known("done", output)
        kept = leading_to(self.nodes, [output, *keep])
        if len(kept) == len(self.nodes) == output + 1:
            whole = Architecture(self.input_shape, tuple(self.nodes))
            vars(whole)["measured"] = tuple(self._measured)  # what it would measure again
            return whole
        order = [*sorted(kept - {output}), output]
        number = {old: new for new, old in enumerate(order)}
        nodes = (self.nodes[old] for old in order)
        return Architecture(
            self.input_shape, tuple(Node(n.op, tuple(number[i] for i in n.inputs), n.attrs, n.scope) for n in nodes)
        )


def is_scope(name: str) -> bool:
    """Whether a part of a network may have this name: Python names with dots between, or none."""
    return not name or all(word.isidentifier() and not keyword.iskeyword(word) for word in name.split("."))


def leading_to(nodes: Sequence[Node], outputs: Iterable[int]) -> set[int]:
    """The positions from which the nodes `outputs` are computed, these and the input among them."""
    kept = {0, *outputs}
    for position in range(max(kept), 0, -1):
        if position in kept:
            kept.update(nodes[position].inputs)
    return kept


def _layer(node: Node) -> tuple[Layer, bool]:
    """What the digest says of a node by itself: the name of its layer, and whether it commutes."""
    return _known_layer(node.op, node.attrs)


@lru_cache(maxsize=2**14)
def _known_layer(op: str, attrs: tuple[tuple[str, Scalar], ...]) -> tuple[Layer, bool]:
    commutes = op in OPS and OPS[op].commutes(**dict(attrs))
    return layer_name(op, map(_plain, attrs)), commutes


def _plain(attr: tuple[str, Scalar]) -> tuple[str, Scalar]:
    """An attribute with 1.0 for 1, so that equal ones are written alike."""
    name, value = attr
    return (name, float(value)) if isinstance(value, int) and not isinstance(value, bool) else attr


@lru_cache(maxsize=2**14)
def _word(op: str, attrs: tuple[tuple[str, Scalar], ...]) -> str:
    given = dict(attrs)
    if "kernel" in given:
        return f"{op} {given['kernel']}x{given['kernel']}"
    return " ".join([SPOKEN.get(op, op), *(f"{v:g}" for v in given.values() if isinstance(v, float))])
