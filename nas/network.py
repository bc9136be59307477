"""Architecture -> `nn.Module`."""

from __future__ import annotations

from torch import Tensor, nn

from nas.architecture import Architecture
from nas.ops import OPS, Join
from nas.plan import Block, Part, plan


class Network(nn.Module):
    """The network of an architecture: (batch, *input_shape) -> (batch, classes) logits.

    `layers_of[i]` is the module of node i, for the nodes that have one.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.plan = plan(architecture)
        self._steps = self.plan.steps
        self.layers_of: dict[int, nn.Module] = {}
        for piece in self.plan.pieces:
            if isinstance(piece, Part):
                self.add_module(piece.name, nn.Module())
        for block in self.plan.blocks():
            modules = [call() for call in self.plan.calls(block)]
            self.layers_of.update(zip(block.nodes, modules, strict=True))
            part, _, name = block.name.rpartition(".")
            self.get_submodule(part).add_module(name, modules[0] if len(modules) == 1 else nn.Sequential(*modules))

    def forward(self, x: Tensor) -> Tensor:
        values = {0: x}
        for step in self._steps:
            if isinstance(step, Block):
                values[step.nodes[-1]] = self.get_submodule(step.name)(values[step.start])
            else:
                node = self.plan.architecture.nodes[step]
                join = OPS[node.op]
                assert isinstance(join, Join)
                values[step] = join.apply(*(values[i] for i in node.inputs))
        return values[len(self.plan.architecture.nodes) - 1]
