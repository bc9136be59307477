"""NASNet-style networks (arXiv 1707.07012): a normal and a reduction cell are found, and stacked.

Each node of a cell takes two of what is there before it, an operation on each, and adds the results; what no node takes
is concatenated. The channels of the cells are solved, so that a network uses its budget as far as `max_flops` lets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from nas.architecture import Architecture, Sketch
from nas.budget import UNLIMITED, Budget, Choose
from nas.ops import Scalar, Shape
from nas.widths import solve
from search_spaces._convolutions import RECIPE, WIDTHS, check_images, head, measured
from search_spaces._ways import Formed, Way

OPERATIONS = ("sep3x3", "sep5x5", "dil3x3", "conv1x1", "conv3x3", "maxpool3x3", "avgpool3x3", "identity")
MOST_NODES = 9  # of a cell: a fork is named by one digit each for node and slot
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
LIGHT: dict[str, Scalar] = {"normal_op": "identity", "reduction_op": "maxpool3x3", "stem": 2}
WAYS: tuple[dict[str, Scalar], ...] = (  # to answer the forks still open; nodes in a row leave one loose end
    {**LIGHT, "normal_input": 99, "reduction_input": 99},
    {**LIGHT, "reduction_op": "conv3x3"},
    {**LIGHT, "reduction_op": "conv3x3", "normal_op": "conv3x3"},
)
Edge = tuple[int, str]  # 0: the cell before last, 1: the last cell, 2...: the nodes; and the operation
Cell = tuple[tuple[Edge, Edge], ...]  # two edges for each node


@dataclass(frozen=True)
class Form:
    """A network but for its channels, which are solved where `width` is 0."""

    stride: int  # of the stem
    repeats: int
    normal: Cell
    reduction: Cell
    width: int = 0
    dropout: float = 0.0

    def cells(self, reductions: int) -> Iterator[tuple[str, Cell, int]]:
        """Name, cell and channels, as a multiple of the first's, of every cell in order."""
        for stage in range(reductions + 1):
            if stage:
                yield f"reduction{stage}", self.reduction, 2**stage
            for number in range(stage * self.repeats + 1, (stage + 1) * self.repeats + 1):
                yield f"cell{number}", self.normal, 2**stage


class Cells(Formed[Form]):
    """Stem, stages of `repeats` normal cells with a reduction cell between them, head."""

    defaults = {
        "stem": 2, "repeats": 1, "width": 16, "dropout": 0.0, **RECIPE,
        "normal_op": "conv3x3", "normal_input": 1, "reduction_op": "maxpool3x3", "reduction_input": 1,
        **{f"normal_op{node}2": "identity" for node in range(1, MOST_NODES + 1)},
        **{f"normal_input{node}2": 0 for node in range(1, MOST_NODES + 1)},
        **{f"reduction_op{node}2": "conv3x3" for node in range(1, MOST_NODES + 1)},
    }  # fmt: skip
    costless = frozenset(("dropout",))
    regularising = frozenset(("dropout",))

    def __init__(
        self,
        input_shape: Shape,
        classes: int,
        budget: Budget | None = None,
        *,
        nodes: int = 4,
        max_repeats: int = 3,
        min_width: int = 8,
        max_width: int = 256,
        max_flops: float = 150e6,
    ) -> None:
        super().__init__(input_shape, classes, budget)
        check_images("cell", self.input_shape)
        if not 1 <= nodes <= MOST_NODES:
            raise ValueError(f"nodes must be in 1..{MOST_NODES}, got {nodes}")
        if max_repeats < 1:
            raise ValueError(f"max_repeats must be at least 1, got {max_repeats}")
        if not 1 <= min_width <= max_width:
            raise ValueError(f"widths must be 1 or more, min_width at most max_width; got {min_width} and {max_width}")
        self.nodes, self.max_repeats, self.max_flops = nodes, max_repeats, max_flops
        self.min_width, self.max_width = min_width, max_width
        self.size = min(self.input_shape[1:])
        self.reductions = min(2, max(0, self.size.bit_length() - 2))  # the last cells see 2x2 at least
        self.widths = tuple(w for w in sorted({*WIDTHS, min_width, max_width}) if min_width <= w <= max_width)
        if not (flops := self.smallest().flops) <= max_flops:
            raise ValueError(f"max_flops must be at least {flops:,} for such images, got {max_flops:,.0f}")

    def form(self, choose: Choose) -> Form:
        stride = int(choose("stem", tuple(s for s in (1, 2) if s == 1 or self.size // s >= 16)))
        repeats = int(choose("repeats", range(1, self.max_repeats + 1)))
        normal = self._cell(choose, "normal")
        reduction = self._cell(choose, "reduction") if self.reductions else ()
        width = 0 if self.budget else int(choose("width", self.widths))
        return Form(stride, repeats, normal, reduction, width, float(choose("dropout", DROPOUTS)))

    def _cell(self, choose: Choose, kind: str) -> Cell:
        def edge(node: int, slot: int) -> Edge:
            first = node == slot == 1  # takes the last cell, so that no cell is built in vain
            before = 1 if first else int(choose(f"{kind}_input{node}{slot}", range(node + 1)))
            return before, str(choose(f"{kind}_op{node}{slot}", OPERATIONS))

        return tuple((edge(node, 1), edge(node, 2)) for node in range(1, self.nodes + 1))

    def built(self, form: Form) -> Architecture:
        width = form.width or self._solve(form) or self.min_width
        net = Sketch(self.input_shape)
        before = last = _stem(net, net.input, width, form.stride)
        for name, cell, times in form.cells(self.reductions):
            with net.scope(name):
                before, last = last, _cell(net, before, last, cell, width * times, name.startswith("reduction"))
        x = _head(net, last, self.classes, form.dropout)
        return net.done(x)

    @cached_property
    def _solved(self) -> dict[tuple[Form, Budget], int]:
        return {}

    def _solve(self, form: Form) -> int:
        """The channels that bring the network nearest below the budget; 0 where none fits."""
        key = form, self.budget or Budget(UNLIMITED)
        if key not in self._solved:
            params, flops = self._quadratics(form)
            self._solved[key], _ = solve(
                lambda width, grain: (_at(params, width), _at(flops, width)),
                key[1], self.max_flops, self.min_width, self.max_width,
            )  # fmt: skip
        return self._solved[key]

    def _quadratics(self, form: Form) -> tuple[tuple[int, int, int], ...]:
        """Parameters and FLOPs as polynomials of the width, exactly: every layer has a multiple of it as channels."""
        points = [self._cost(form, width) for width in (1, 2, 3)]
        return tuple(_differences(*values) for values in zip(*points, strict=True))

    def _cost(self, form: Form, width: int) -> tuple[int, int]:
        shape, params, flops = measured(_stem, self.input_shape, width, form.stride)
        before = shape
        for name, cell, times in form.cells(self.reductions):
            after, more_params, more_flops = _cell_cost(
                before, shape, cell, width * times, name.startswith("reduction")
            )
            before, shape, params, flops = shape, after, params + more_params, flops + more_flops
        _, more_params, more_flops = measured(_head, shape, self.classes, 0.0)
        return params + more_params, flops + more_flops

    def ways(self, taken: Mapping[str, Scalar]) -> Iterable[Way]:
        """The lightest alone, for a width is found where the least one fits; with a fill, ways to use parameters."""
        return WAYS[:1] if self.budget is None or self.budget.fill is None else WAYS

    def fits(self, form: Form, taken: Mapping[str, Scalar]) -> bool:
        if self.budget is not None and self.budget.fill is not None:
            return self._solve(form) > 0
        params, flops = self._cost(form, form.width or self.min_width)
        return flops <= self.max_flops and (self.budget is None or params <= self.budget.most)


def _stem(net: Sketch, x: int, out: int, stride: int) -> int:
    with net.scope("stem"):
        y = net("batchnorm", net("conv", x, out=out, kernel=3, bias=False))
        return net("maxpool", y, kernel=stride, stride=stride) if stride > 1 else y


def _head(net: Sketch, x: int, classes: int, dropout: float) -> int:
    with net.scope("head"):
        x = net("relu", x)
    return head(net, x, 0, classes, "relu", dropout)


def _cell(net: Sketch, before: int, last: int, cell: Cell, out: int, reduces: bool) -> int:
    """A cell on the outputs of the two cells before it; of each number of its nodes that none takes, all channels."""
    size = net.shapes[last][1:]
    values: list[int] = []
    for i, x in enumerate((before, last)):
        with net.scope(f"input{i + 1}"):
            values.append(_convolution(net, x, out, 1, 1 if net.shapes[x][1:] == size else 2))
    made: dict[tuple[int, str], int] = {}  # pools have no weights, so that two of one input are one
    for node, edges in enumerate(cell, 1):
        terms = []
        for slot, (i, operation) in enumerate(edges, 1):
            key, stride = (values[i], operation), 2 if reduces and i < 2 else 1
            if key not in made or "pool" not in operation:
                with net.scope(f"node{node}_{slot}"):
                    made[key] = _operation(net, values[i], operation, stride)
            terms.append(made[key])
        values.append(net("add", *terms))
    taken = {i for edges in cell for i, _ in edges}
    loose = [value for i, value in enumerate(values) if i > 1 and i not in taken]
    return net("concat", *loose, ordered=False) if len(loose) > 1 else loose[0]


def _operation(net: Sketch, x: int, operation: str, stride: int) -> int:
    if operation == "identity":
        return x if stride == 1 else _convolution(net, x, net.shapes[x][0], 1, stride)
    kernel = int(operation[-1])
    if operation.startswith("conv"):
        return _convolution(net, x, net.shapes[x][0], kernel, stride)
    if operation.startswith("dil"):
        return _separable(net, x, kernel, stride, dilation=2)
    if operation.startswith("sep"):
        return _separable(net, _separable(net, x, kernel, stride), kernel, 1)
    return net(operation[:7], x, kernel=kernel, stride=stride, padding=1)


def _convolution(net: Sketch, x: int, out: int, kernel: int, stride: int) -> int:
    return net("batchnorm", net("conv", net("relu", x), out=out, kernel=kernel, stride=stride, bias=False))


def _separable(net: Sketch, x: int, kernel: int, stride: int, dilation: int = 1) -> int:
    y = net("depthwise", net("relu", x), kernel=kernel, stride=stride, dilation=dilation, bias=False)
    return net("batchnorm", net("conv", y, out=net.shapes[x][0], kernel=1, bias=False))


@lru_cache(maxsize=2**16)
def _cell_cost(before: Shape, last: Shape, cell: Cell, out: int, reduces: bool) -> tuple[Shape, int, int]:
    """Output shape, parameters and FLOPs of a cell, edge by edge."""
    params = flops = 0

    def add(build: object, shape: Shape, *arguments: object) -> Shape:
        nonlocal params, flops
        shape, more_params, more_flops = measured(build, shape, *arguments)
        params, flops = params + more_params, flops + more_flops
        return shape

    for i in {i for edges in cell for i, _ in edges if i < 2}:
        x = (before, last)[i]
        add(_convolution, x, out, 1, 1 if x[1:] == last[1:] else 2)
    inside: Shape = (out, *last[1:])
    halved: Shape = (out, *(-(-size // 2) for size in last[1:])) if reduces else inside
    for edges in cell:
        for i, operation in edges:
            add(_operation, inside if i < 2 else halved, operation, 2 if reduces and i < 2 else 1)
    loose = len(cell) - len({i for edges in cell for i, _ in edges if i > 1})
    return (out * loose, *halved[1:]), params, flops


def _differences(one: int, two: int, three: int) -> tuple[int, int, int]:
    """A quadratic by its values at 1, 2 and 3: the first, and its differences (Newton)."""
    return one, two - one, three - 2 * two + one


def _at(quadratic: Sequence[int], x: int) -> int:
    first, step, bend = quadratic
    return first + (x - 1) * step + (x - 1) * (x - 2) // 2 * bend
