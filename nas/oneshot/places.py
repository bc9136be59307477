"""Which weights two networks have in common: every layer has a place, which has the same name in all networks.

A place is a part of the network (the scope in which a layer was drawn) and the way of weighted layers that leads to it
from where the part begins, kernels and strides of the way included; widths are not of the name. Of a place that is
wider in one network than in another, both have the first rows and columns in common. The last layer is a place for
each way that leads to it, so that networks of different depths have heads of their own.

The columns of a layer after a concatenation are named for who fills them, so that no channel means two things. A window
of frames, which grows at both ends, has its middle in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import prod
from typing import NamedTuple

from nas.architecture import Architecture, Node
from nas.ops import OPS, Join, Shape

WEIGHTED = ("linear", "conv", "depthwise")
FREE, USUAL = ("out", "bias"), (("stride", 1), ("dilation", 1), ("groups", 1))  # attributes that no name tells of


class Run(NamedTuple):
    """Channels of a value that lie beside each other: who has filled them, and how many there are."""

    source: str
    size: int
    centred: bool = False


Runs = tuple[Run, ...]


class Place(NamedTuple):
    """A layer's name, and its channels on either side."""

    name: str
    outputs: Runs
    inputs: Runs


def places(architecture: Architecture) -> dict[int, Place]:
    """The place of every node, by position, whose layer may have parameters."""
    return _Walk(architecture).found


class _Walk:
    def __init__(self, architecture: Architecture) -> None:
        self.architecture, self.nodes = architecture, architecture.nodes
        self.found: dict[int, Place] = {}
        self.ways: list[tuple[str, ...]] = [()]
        self.runs: list[Runs] = [(Run("", architecture.input_shape[0]),)]
        self.names: list[str] = [""]
        self.used: Counter[str] = Counter()
        for position in range(1, len(self.nodes)):
            self._visit(position, self.nodes[position])

    def _visit(self, position: int, node: Node) -> None:
        first = node.inputs[0]
        shape, inputs = self.architecture.shapes[first], self.runs[first]
        way = self.ways[first] if self.nodes[first].scope == node.scope else ()
        if node.op in WEIGHTED:
            way = (*way, _word(node))
        self.ways.append(way)
        last = "head" if position == len(self.nodes) - 1 else ""
        own = node.op if node.op not in WEIGHTED else ""
        if isinstance(OPS[node.op], Join):
            self.names.append(self._named(node.scope, (), own))
            self.runs.append(self._joined(node))
            return
        self.names.append(self._named(node.scope, way, own, last))
        outputs = inputs
        if node.op in ("linear", "conv"):
            outputs = (Run("", self.architecture.shapes[position][0]),)
        elif node.op == "flatten":
            outputs = tuple(_flattened(inputs, shape, first == 0))
        self.runs.append(outputs)
        self.found[position] = Place(self.names[-1], outputs, inputs)

    def _named(self, scope: str, way: Sequence[str], *words: str) -> str:
        """A name that no other layer of this network has: of layers with one way, the later ones are numbered."""
        said = [f"{word}*{n}" if n > 1 else word for word, n in ((w, len(list(g))) for w, g in groupby(way))]
        name = "/".join(filter(None, [scope, ">".join(said), *words]))
        self.used[name] += 1
        return name if self.used[name] == 1 else f"{name}#{self.used[name]}"

    def _joined(self, node: Node) -> Runs:
        if node.op != "concat":
            return max((self.runs[i] for i in node.inputs), key=len)
        named = ((self.names[i], run) for i in node.inputs for run in self.runs[i])
        return tuple(run._replace(source=f"{name}|{run.source}" if run.source else name) for name, run in named)


def _word(node: Node) -> str:
    """A weighted layer, but for its width."""
    attrs = {name: value for name, value in node.attrs if name not in FREE and (name, value) not in USUAL}
    return f"{node.op}{attrs.pop('kernel', '')}" + "".join(f",{name}={value}" for name, value in attrs.items())


def _flattened(runs: Runs, shape: Shape, whole: bool) -> Iterator[Run]:
    if whole and len(shape) == 2:  # a window of frames
        yield Run("", prod(shape), centred=True)
        return
    each = prod(shape[1:])
    for run in runs:
        at = "@" + "x".join(map(str, shape[1:])) if each > 1 else ""
        yield Run(f"{run.source}{at}", run.size * each)
