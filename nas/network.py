"""Architecture -> `nn.Module`. The module and the exported source are two readings of one plan, so they agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

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
        elif is_projection:
            name = f"project{block}"
        else:
            block += 1
            name = f"block{block}"
        yield Block(name, nodes[step[0]].inputs[0], tuple(step))


class Network(nn.Module):
    """The network of an architecture: (batch, *input_shape) -> (batch, classes) logits.

    `layers_of[i]` is the module of node i, for the nodes that have one.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.plan = plan(architecture)
        self.layers_of: dict[int, nn.Module] = {}
        for block in self.plan.blocks():
            modules = [call() for call in self.plan.calls(block)]
            self.layers_of.update(zip(block.nodes, modules, strict=True))
            self.add_module(block.name, modules[0] if len(modules) == 1 else nn.Sequential(*modules))

    def forward(self, x: Tensor) -> Tensor:
        values = {0: x}
        for step in self.plan.steps:
            if isinstance(step, Block):
                values[step.nodes[-1]] = self.get_submodule(step.name)(values[step.start])
            else:
                node = self.plan.architecture.nodes[step]
                join = OPS[node.op]
                assert isinstance(join, Join)
                values[step] = join.apply(*(values[i] for i in node.inputs))
        return values[len(self.plan.architecture.nodes) - 1]
