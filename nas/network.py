"""Architecture -> `nn.Module`."""

from __future__ import annotations

from torch import Tensor, nn

from nas.architecture import Architecture
from nas.ops import OPS, Join
from nas.plan import Block, plan


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
