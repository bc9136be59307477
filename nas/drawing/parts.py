"""The parts of a network that a picture may draw once: which are alike, what they are called, what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from string import ascii_uppercase
from typing import Any

from nas.architecture import Architecture
from nas.drawing import words
from nas.ops import ACTIVATIONS
from nas.plan import Block, Part, Step, plan, written

VARYING = frozenset(("out", "groups", "stride", "kernel", "padding"))  # in which parts of one drawing may differ
LONG = 6  # layers of a chain that stay together
Chain = tuple[int, ...]


@dataclass(frozen=True)
class Member:
    """A part with all of its nodes, the nodes that it reads, and its place among the pieces of the network."""

    part: Part
    nodes: tuple[int, ...]
    reads: tuple[int, ...]
    place: int


class Parts:
    """An architecture cut into parts, and into chains of layers outside them and inside."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture, self.nodes = architecture, architecture.nodes
        self.plan = plan(architecture)
        self.computed = set(architecture.computed)
        shown = chain(*(step.nodes if isinstance(step, Block) else (step,) for step in self._all_steps()))
        self.left = set(range(1, len(self.nodes))) - set(shown)  # of no account to the module

    def _all_steps(self) -> Iterator[Step]:
        yield from self.plan.steps
        yield from self.plan.held
        for piece in self.plan.pieces:
            yield from piece.held if isinstance(piece, Part) else ()

    @cached_property
    def pieces(self) -> list[Member | Chain]:
        """Parts and chains in order of computation; what is not computed comes last."""
        found: list[Member | Chain] = []
        for place, piece in enumerate(self.plan.pieces):
            found += [self._member(piece, place)] if isinstance(piece, Part) else self.chains((piece,))
        inside = {i for piece in found if isinstance(piece, Member) for i in piece.nodes}
        return [*found, *self.chains(self.plan.held), *((i,) for i in sorted(self.left - inside))]

    @cached_property
    def kinds(self) -> list[tuple[str, list[Member]]]:
        """Parts that share a drawing, with the letter that they are called by."""
        kinds: dict[Any, tuple[str, list[Member]]] = {}
        for piece in self.pieces:
            if isinstance(piece, Member):
                letter = ascii_uppercase[len(kinds) % 26] * (len(kinds) // 26 + 1)
                kinds.setdefault(self._form(piece, VARYING), (letter, []))[1].append(piece)
        return list(kinds.values())

    def letter(self, member: Member) -> str:
        return next(letter for letter, members in self.kinds if member in members)

    def inside(self, member: Member) -> list[Chain]:
        """The chains of a part."""
        chains = self.chains((*member.part.steps, *member.part.held))
        return chains + [(i,) for i in member.nodes if i in self.left]

    def repeats(self, before: Member, member: Member) -> bool:
        """Whether a part goes on from the one before it and differs from it in the shapes of its inputs at most."""
        ends = [self.architecture.shapes[m.part.output] for m in (before, member)]
        alike = self._form(before, frozenset()) == self._form(member, frozenset())
        return alike and ends[0] == ends[1] and before.part.output in member.reads

    def _member(self, part: Part, place: int) -> Member:
        nodes = set(chain(*self.chains((*part.steps, *part.held))))
        nodes |= {i for i in self.left if self.nodes[i].scope.partition(".")[0] == part.name}
        reads = dict.fromkeys(j for i in sorted(nodes) for j in self.nodes[i].inputs if j not in nodes)
        return Member(part, tuple(sorted(nodes)), tuple(reads), place)

    def _form(self, member: Member, varying: frozenset[str]) -> tuple[Any, ...]:
        """What parts have in common: all but the attributes `varying`."""
        number = {node: i for i, node in enumerate((*member.reads, *member.nodes))}
        facts = []
        for i in member.nodes:
            attrs = tuple((key, key in varying or value) for key, value in self.nodes[i].attrs)
            facts.append((self.nodes[i].op, attrs, tuple(number[j] for j in self.nodes[i].inputs), i in self.computed))
        return len(member.reads), number[member.part.output], tuple(facts)

    def chains(self, steps: Sequence[Step]) -> list[Chain]:
        """Steps as chains of layers, long ones cut before each layer of weights."""
        return list(chain(*(self._cut(step.nodes) if isinstance(step, Block) else [(step,)] for step in steps)))

    def _cut(self, nodes: Chain) -> list[Chain]:
        """Where every activation stands before its weights, the cut is before the activation."""
        if len(nodes) <= LONG:
            return [nodes]
        pieces: list[list[int]] = [[]]
        weights: list[str] = []
        for i in nodes:
            op = self.nodes[i].op
            first = self.nodes[pieces[-1][0]].op if pieces[-1] else ""
            if weights and (op in ACTIVATIONS if first in ACTIVATIONS else op == weights[0]):
                pieces.append([])
                weights = []
            pieces[-1].append(i)
            weights += [op] if self.kind(i) == "weights" else []
        return [tuple(piece) for piece in pieces]

    def kind(self, i: int) -> str:
        """The kind of layer, for its colour."""
        return words.kind(self.nodes[i].op, dict(self.nodes[i].attrs), self.architecture.layer_params[i])

    def params(self, member: Member) -> int:
        return sum(self.architecture.layer_params[i] for i in member.nodes)

    def title(self, members: Sequence[Member], letter: str) -> str:
        """Two lines: the names of parts alike, their parameters."""
        params = [self.params(m) for m in members]
        several = len(members) > 1
        share = words.share(sum(params), self.architecture.num_params) or "0 %"
        about = f"{words.spread(params)} parameters{' each' * several}, {share}{' together' * several}"
        return f"{letter}  {called(members)}\n{about}".strip()

    def ports(self, members: Sequence[Member]) -> list[str]:
        """What the inputs of parts alike are called."""
        if len(members[0].reads) == 1:
            return ["input"]
        places = {0: -1, **{written(piece): place for place, piece in enumerate(self.plan.pieces)}}
        ports = []
        for n in range(len(members[0].reads)):
            back = {m.place - places.get(m.reads[n], m.place) for m in members}
            known = {1: "from the one before", 2: "from the last but one"} if len(back) == 1 else {}
            ports.append(known.get(back.pop(), f"input {n + 1}"))
        return ports


def called(members: Sequence[Member]) -> str:
    """`cell 1–5 (5 ×)`."""
    times = f" ({len(members)} ×)" if len(members) > 1 else ""
    return words.names([m.part.name for m in members]) + times
