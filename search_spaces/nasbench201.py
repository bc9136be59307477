"""NAS-Bench-201 (arXiv 2001.00326): 15,625 cells of four nodes and six edges, in the skeleton of that benchmark.

A node is the sum of its edges. An edge from nothing carries nothing, as the authors count it. Convolutions of which
nothing reaches the output are held by the module, so that it has the benchmark's number of parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from nas.architecture import Architecture, Sketch
from nas.budget import Budget, Choose
from nas.ops import Scalar, Shape
from nas.space import SearchSpace

EDGES = ("edge01", "edge02", "edge12", "edge03", "edge13", "edge23")  # `edge13`: from node 1 to node 3
OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "avgpool3x3")  # in the order of the digits of `ops`
STAGES = 3


def choices(ops: str) -> dict[str, Scalar]:
    """The choices of a cell of the benchmark: `choices("333132")` has a digit for each of `EDGES`."""
    if len(ops) != len(EDGES) or not set(ops) <= set("01234"):
        raise ValueError(f"a cell is six digits 0..4, one for each of {', '.join(EDGES)}; got {ops!r}")
    return {edge: OPERATIONS[int(digit)] for edge, digit in zip(EDGES, ops, strict=True)}


class NASBench201(SearchSpace):
    """One cell in three stages of `cells` cells, of `channels`, 2 x and 4 x as many channels."""

    defaults = {"edge": "conv3x3"}

    def __init__(
        self, input_shape: Shape, classes: int, budget: Budget | None = None, *, cells: int = 5, channels: int = 16
    ) -> None:
        super().__init__(input_shape, classes, budget)
        if len(self.input_shape) != 3 or any(size % 4 for size in self.input_shape[1:]):
            raise ValueError(
                f"nasbench201 needs images (channels, height, width), height and width multiples of 4; "
                f"got samples of shape {self.input_shape}"
            )
        if cells < 1 or channels < 1:
            raise ValueError(f"cells and channels must be at least 1, got {cells} and {channels}")
        self.cells, self.channels = cells, channels

    def describe(self, choose: Choose) -> Architecture:
        cell = {edge: str(choose(edge, OPERATIONS)) for edge in EDGES}
        return self.network(cell)

    def network(self, cell: Mapping[str, str]) -> Architecture:
        """The network of a cell, an operation for each of `EDGES`."""
        net, held = Sketch(self.input_shape), list[int]()
        with net.scope("stem"):
            x = net("batchnorm", net("conv", net.input, out=self.channels, kernel=3, bias=False))
        for stage in range(STAGES):
            if stage:
                with net.scope(f"reduction{stage}"):
                    x = _reduction(net, x, self.channels * 2**stage)
            for number in range(stage * self.cells + 1, (stage + 1) * self.cells + 1):
                with net.scope(f"cell{number}"):
                    x, convolutions = _cell(net, x, cell)
                    held += convolutions
        with net.scope("head"):
            x = net("flatten", net("globalpool", net("relu", net("batchnorm", x))))
            return net.done(net("linear", x, out=self.classes), keep=held)

    def params(self, conv1x1: int, conv3x3: int) -> int:
        """Parameters of a network whose cell has so many convolutions, wherever they lie."""
        widths: list[int] = [self.channels * 2**stage for stage in range(STAGES)]
        square, total = sum(w * w for w in widths), sum(widths)
        stem = self.input_shape[0] * 9 * widths[0] + 2 * widths[0]
        reductions = sum(a * b * 9 + b * b * 9 + 4 * b + a * b for a, b in pairwise(widths))
        head = 2 * widths[-1] + (widths[-1] + 1) * self.classes
        each = [self.cells * (square * kernel * kernel + 2 * total) for kernel in (1, 3)]
        return stem + reductions + head + conv1x1 * each[0] + conv3x3 * each[1]

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        """Exact, so that a draw is uniform over the cells that fit."""
        if self.budget is None or name not in EDGES:
            return (1.0,) * len(options)
        found = Counter(str(value) for edge, value in taken.items() if edge in EDGES)
        later = [self._kinds(edge) for edge in EDGES[EDGES.index(name) + 1 :]]
        ways = _ways(tuple(later))
        counts = []
        for option in options:
            one, three = (found[kind] + (option == kind) for kind in ("conv1x1", "conv3x3"))
            fitting = (n for (a, b), n in ways if self.params(one + a, three + b) in self.budget)
            counts.append(float(sum(fitting)))
        return counts

    def _kinds(self, edge: str) -> tuple[int, int, int]:
        """Of the operations left open at an edge: those without parameters, 1x1 and 3x3 convolutions."""
        left = self.offered(edge, OPERATIONS)
        convolutions = (int("conv1x1" in left), int("conv3x3" in left))
        return (len(left) - sum(convolutions), *convolutions)


@lru_cache(maxsize=1024)
def _ways(kinds: tuple[tuple[int, int, int], ...]) -> list[tuple[tuple[int, int], int]]:
    """Pairs of numbers of 1x1 and 3x3 convolutions on edges of these kinds, with in how many ways each comes about."""
    ways = Counter({(0, 0): 1})
    for free, one, three in kinds:
        after: Counter[tuple[int, int]] = Counter()
        for (a, b), n in ways.items():
            after[a, b] += n * free
            after[a + 1, b] += n * one
            after[a, b + 1] += n * three
        ways = after
    return [(pair, n) for pair, n in ways.items() if n]


def _reduction(net: Sketch, x: int, out: int) -> int:
    """A residual block of stride 2, its shortcut an average of 2x2 and a 1x1 convolution."""
    with net.scope("main"):
        y = net("batchnorm", net("conv", net("relu", x), out=out, kernel=3, stride=2, bias=False))
        y = net("batchnorm", net("conv", net("relu", y), out=out, kernel=3, bias=False))
    with net.scope("shortcut"):
        x = net("conv", net("avgpool", x, kernel=2, stride=2), out=out, kernel=1, bias=False)
    return net("add", x, y)


def _cell(net: Sketch, x: int, cell: Mapping[str, str]) -> tuple[int, list[int]]:
    """The output of a cell on node `x`, and all of its convolutions, whether or not they lead to the output.

    A node is a list of terms, none where it is nothing: a skip hands them on, so that a sum of sums is one sum.
    """
    nodes: list[list[int]] = [[x]]
    sums = {0: x}
    pooled: dict[int, int] = {}  # a pool has no weights, so that two of one sum are one
    convolutions: list[int] = []
    for node in (1, 2, 3):
        terms: list[int] = []
        for start in range(node):
            edge, before = f"edge{start}{node}", nodes[start]
            operation = cell[edge]
            if operation == "skip":
                terms += before
            elif operation.startswith("conv") or (operation != "none" and before):
                if start not in sums:
                    sums[start] = _sum(net, before, x)
                term = pooled.get(sums[start]) if operation == "avgpool3x3" else None
                if term is None:
                    with net.scope(edge):
                        term = _layers(net, sums[start], operation)
                if operation == "avgpool3x3":
                    pooled[sums[start]] = term
                terms += [term] if before else []  # of nothing, it has weights to hold, but nothing to weigh
                convolutions += [term] if operation.startswith("conv") else []
        nodes.append(terms)
    return (_sum(net, nodes[3], x) if nodes[3] else net("zero", x)), convolutions


def _sum(net: Sketch, terms: Sequence[int], otherwise: int) -> int:
    return net("add", *terms) if len(terms) > 1 else terms[0] if terms else otherwise


def _layers(net: Sketch, x: int, operation: str) -> int:
    """A convolution or a pool of node `x`."""
    if operation == "avgpool3x3":
        return net("avgpool", x, kernel=3, stride=1, padding=1)
    conv = net("conv", net("relu", x), out=net.shapes[x][0], kernel=int(operation[-1]), bias=False)
    return net("batchnorm", conv)
