"""An architecture cut into blocks that a person would name: read as a module and as source, so the two agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nas.architecture import Architecture
from nas.ops import OPS, Call, Join


@dataclass(frozen=True)
class Block:
    """A chain of layers from node `start` (its input) through `nodes`, an attribute `name` of the module."""

    name: str
    start: int
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The architecture cut into its longest chains and the joins between them, in order of computation."""

    architecture: Architecture
    steps: tuple[Block | int, ...]  # an integer is the position of a join

    def calls(self, block: Block) -> list[Call]:
        """The constructor calls of a block's layers."""
        shapes, nodes = self.architecture.shapes, self.architecture.nodes
        return [OPS[nodes[i].op].layer(shapes[nodes[i].inputs[0]], **dict(nodes[i].attrs)) for i in block.nodes]

    def blocks(self) -> Iterator[Block]:
        return (step for step in self.steps if isinstance(step, Block))


def plan(architecture: Architecture) -> Plan:
    """Cut at joins and wherever a value is used more than once."""
    nodes = architecture.nodes
    uses = [0] * len(nodes)
    for node in nodes:
        for i in node.inputs:
            uses[i] += 1
    chains: dict[int, list[int]] = {}  # last node of an open chain -> its nodes
    steps: list[list[int] | int] = []
    for position, node in enumerate(nodes):
        if node.op == "input":
            continue
        if isinstance(OPS[node.op], Join):
            steps.append(position)
        elif uses[node.inputs[0]] == 1 and node.inputs[0] in chains:
            chain = chains[position] = chains.pop(node.inputs[0])
            chain.append(position)
        else:
            chains[position] = [position]
            steps.append(chains[position])
    return Plan(architecture, tuple(_named(steps, architecture)))


def _named(steps: list[list[int] | int], architecture: Architecture) -> Iterator[Block | int]:
    nodes, block, last = architecture.nodes, 0, len(architecture.nodes) - 1
    taken: set[str] = set()
    joined = {i for n in nodes if n.op in OPS and isinstance(OPS[n.op], Join) for i in n.inputs}
    for step in steps:
        if isinstance(step, int):
            yield step
            continue
        is_projection = len(step) == 1 and step[0] in joined and not dict(nodes[step[0]].attrs).get("bias", True)
        if len(steps) == 1:
            name = "layers"
        elif last in step:
            name = "head"
        elif is_projection and f"project{block}" not in taken:
            name = f"project{block}"
        else:
            block += 1
            name = f"block{block}"
        taken.add(name)
        yield Block(name, nodes[step[0]].inputs[0], tuple(step))
