"""What a picture shows: an architecture as boxes of layers and arrows between them, parts that repeat only once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from nas.architecture import Architecture
from nas.drawing import words
from nas.drawing.parts import Chain, Member, Parts, called

Stack = tuple[int, ...]  # nodes shown as one, each from another of several parts alike


@dataclass(frozen=True)
class Row:
    """A layer, or several alike: what it is, output shape, parameters, share of all parameters."""

    words: str
    shape: str = ""
    params: str = ""
    share: str = ""
    kind: str = ""
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Box:
    """Rows one below the other. `style`: layers, held, part, port. A part may have its own chart `inside`."""

    rows: tuple[Row, ...]
    caption: str = ""
    style: str = "layers"
    output: str = ""  # the shape, where it stands beside the caption
    inside: Chart | None = None


@dataclass(frozen=True)
class Arrow:
    """From a box to a box, by their positions; `entry` is which of its inputs."""

    source: int
    target: int
    entry: int = 0


@dataclass(frozen=True)
class Chart:
    """Boxes and arrows; the first `inputs` boxes are where values come in, the last one is where the value leaves."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    inputs: int = 1


@dataclass(frozen=True)
class _Unit:
    """What becomes a box: chains of layers alike, or parts alike."""

    chains: tuple[Chain, ...] = ()
    parts: tuple[Member, ...] = ()

    @classmethod
    def of(cls, piece: Member | Chain) -> _Unit:
        return cls(parts=(piece,)) if isinstance(piece, Member) else cls((piece,))

    @property
    def nodes(self) -> tuple[int, ...]:
        return (*chain(*self.chains), *chain(*(m.nodes for m in self.parts)))


class Content:
    """The charts of an architecture: `main`, and `details`, the inside of each kind of part."""

    def __init__(self, architecture: Architecture, full: bool = False) -> None:
        self.architecture, self.nodes, self.full = architecture, architecture.nodes, full
        self.parts = Parts(architecture)
        self.uses = Counter(j for i in self.parts.computed for j in self.nodes[i].inputs)

    @cached_property
    def main(self) -> Chart:
        """The whole network."""
        units: list[_Unit] = []
        for unit in map(_Unit.of, self.parts.pieces):
            if units and not self.full and self._repeats(units[-1], unit):
                units[-1] = _Unit(units[-1].chains + unit.chains, units[-1].parts + unit.parts)
            else:
                units.append(unit)
        begin = Box((Row("input", words.shape([self.architecture.input_shape]), nodes=(0,)),), style="port")
        boxes = (begin, *(self._box(unit, {}) for unit in units))
        return Chart("", boxes, tuple(self._arrows(units, (0,))))

    @cached_property
    def details(self) -> list[Chart]:
        """The inside of each kind of part; with `full` it stands in the main chart."""
        return [] if self.full else [self._inside(members, letter) for letter, members in self.parts.kinds]

    def _repeats(self, before: _Unit, unit: _Unit) -> bool:
        """Whether `unit` goes on from `before` and repeats its last part or chain."""
        if before.parts and unit.parts:
            return self.parts.repeats(before.parts[-1], unit.parts[0])
        if not before.chains or not unit.chains:
            return False
        last, chained = before.chains[-1], unit.chains[0]
        reads = self.nodes[chained[0]].inputs
        same = len(last) == len(chained) and all(map(self._same, last, chained))
        return same and reads == (last[-1],) and self.uses[last[-1]] == 1

    def _same(self, one: int, other: int) -> bool:
        """Whether two nodes are the same layer of different inputs."""
        shapes, params = self.architecture.shapes, self.architecture.layer_params
        facts = [(self.nodes[i].op, self.nodes[i].attrs, shapes[i], params[i]) for i in (one, other)]
        return facts[0] == facts[1]

    def _inside(self, members: Sequence[Member], letter: str) -> Chart:
        """The chart of parts alike."""
        first = members[0]
        stacks = {i: tuple(m.nodes[n] for m in members) for n, i in enumerate(first.nodes)}
        units = [_Unit((c,)) for c in self.parts.inside(first)]
        ports = [Box((Row(port),), style="port") for port in self.parts.ports(members)]
        boxes = (*ports, *(self._box(unit, stacks) for unit in units), Box((Row("output"),), style="port"))
        arrows = list(self._arrows(units, first.reads))
        output = next(n for n, unit in enumerate(units, len(ports)) if first.part.output in unit.nodes)
        arrows.append(Arrow(output, len(boxes) - 1))
        return Chart(self.parts.title(members, letter), boxes, tuple(arrows), len(ports))

    def _arrows(self, units: Sequence[_Unit], reads: Sequence[int]) -> list[Arrow]:
        """Between the boxes of the inputs `reads` and then of `units`."""
        owner = {i: n for n, i in enumerate(reads)}
        for n, unit in enumerate(units, len(reads)):
            owner.update(dict.fromkeys(unit.nodes, n))
        arrows = []
        for n, unit in enumerate(units, len(reads)):
            taken = [j for c in unit.chains for j in self.nodes[c[0]].inputs]
            taken += dict.fromkeys(j for m in unit.parts for j in m.reads)
            arrows += [Arrow(owner[j], n, entry) for entry, j in enumerate(taken) if owner[j] != n]
        return arrows

    def _box(self, unit: _Unit, stacks: Mapping[int, Stack]) -> Box:
        """`stacks`: inside parts, the nodes of all parts alike by the node of the first."""
        if unit.parts and self.full:
            return Box((), style="part", inside=self._inside(unit.parts, ""))
        if unit.parts:
            return Box((self._part_row(unit.parts),), style="part")
        first, times = unit.chains[0], len(unit.chains)
        rows = [self._row(stacks.get(i, tuple(c[n] for c in unit.chains))) for n, i in enumerate(first)]
        held = first[0] not in self.parts.computed
        if rows[0].kind == "join" and not held:
            return Box(tuple(rows))
        scopes = [self.nodes[c[0]].scope for c in unit.chains]
        name = words.names([scope.partition(".")[2] if stacks else scope for scope in scopes])
        notes = (f"({times} ×)" if times > 1 else "", "(held, not computed)" if held else "")
        caption = " ".join(filter(None, (name, *notes)))
        rows, output = _shaped(rows, bool(caption))
        return Box(tuple(rows), caption, "held" if held else "layers", output)

    def _part_row(self, members: Sequence[Member]) -> Row:
        params = [self.parts.params(m) for m in members]
        return Row(
            f"{self.parts.letter(members[0])}  {called(members)}",
            words.shape([self.architecture.shapes[m.part.output] for m in members]),
            words.spread(params),
            words.share(sum(params), self.architecture.num_params),
            "part",
            tuple(chain(*(m.nodes for m in members))),
        )

    def _row(self, stack: Stack) -> Row:
        params = [self.architecture.layer_params[i] for i in stack]
        attrs: list[dict[str, Any]] = [dict(self.nodes[i].attrs) for i in stack]
        return Row(
            words.layer(self.nodes[stack[0]].op, attrs),
            words.shape([self.architecture.shapes[i] for i in stack]),
            words.spread(params) if any(params) else "",
            words.share(sum(params), self.architecture.num_params),
            self.parts.kind(stack[0]),
            stack,
        )


def _shaped(rows: list[Row], captioned: bool) -> tuple[list[Row], str]:
    """Rows that state a shape where it changes; one that never does can stand beside the caption.

    What an activation or the like before the weights gives is what it was given, so that it is not stated.
    """
    kinds = [row.kind for row in rows]
    begin = kinds.index("weights") if "weights" in kinds and "shape" not in kinds else 0
    shapes = [row.shape for row in rows]
    if captioned and len(set(shapes[begin:])) == 1:
        return [replace(row, shape="") for row in rows], shapes[-1]
    stated = [n == begin or (n > begin and shapes[n] != shapes[n - 1]) for n in range(len(rows))]
    return [row if said else replace(row, shape="") for row, said in zip(rows, stated, strict=True)], ""
