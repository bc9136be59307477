"""The weights of many perceptrons in one buffer.

First the first layers, together one matrix; then member by member all other matrices; then biases and norms, vectors
over the features of all members of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.network import Network
from nas.train.fused.chain import Block, Chain


@dataclass(frozen=True)
class Rows:
    """The features of all members at one level: of those that are deep enough, `members[i]` owns `at[i]:at[i + 1]`."""

    members: tuple[int, ...]
    at: tuple[int, ...]

    @classmethod
    def of(cls, widths: dict[int, int]) -> Rows:
        """From the width of each member that there is."""
        return cls(tuple(widths), tuple(accumulate(widths.values(), initial=0)))

    @property
    def number(self) -> int:
        return self.at[-1]

    def of_member(self, member: int) -> slice:
        place = self.members.index(member)
        return slice(self.at[place], self.at[place + 1])

    def runs(self, labels: Sequence[object]) -> list[tuple[object, slice]]:
        """Neighbours with the same label together: the label, and their rows. None is no label."""
        found: list[tuple[object, slice]] = []
        for place, label in enumerate(labels):
            rows = slice(self.at[place], self.at[place + 1])
            if found and found[-1][0] == label:
                rows = slice(found.pop()[1].start, rows.stop)
            found.append((label, rows))
        return [run for run in found if run[0] is not None]


@dataclass
class Buffers:
    """One flat tensor, seen as the parameters of all members (or their gradients, or an optimizer's moments).

    `weights[level][member]` (width, inputs), `heads[member]` (classes, inputs), `projections[level][member]`;
    `biases[level]`, `gammas[level]`, `betas[level]` (features of all, ), `head_biases` (members, classes).
    """

    flat: Tensor
    weights: list[dict[int, Tensor]] = field(default_factory=list)
    heads: dict[int, Tensor] = field(default_factory=dict)
    projections: list[dict[int, Tensor]] = field(default_factory=list)
    biases: list[Tensor] = field(default_factory=list)
    gammas: list[Tensor] = field(default_factory=list)
    betas: list[Tensor] = field(default_factory=list)
    head_biases: Tensor = field(default_factory=lambda: torch.empty(0))
    first: Tensor = field(default_factory=lambda: torch.empty(0))  # weights[0] of all members, (features, inputs)
    rest: list[Tensor] = field(default_factory=list)  # of each member, the other matrices in one vector
    vectors: Tensor = field(default_factory=lambda: torch.empty(0))  # all biases and norms in one


class Stack:
    """Chains side by side, all with the same features and classes."""

    def __init__(self, chains: Sequence[Chain], device: torch.device) -> None:
        self.chains, self.device = chains, device
        self.features, self.classes = chains[0].features, chains[0].classes
        depth = max(len(chain.blocks) for chain in chains)
        self.levels = [
            Rows.of({k: chain.blocks[level].width for k, chain in enumerate(chains) if level < len(chain.blocks)})
            for level in range(depth)
        ]
        self.shapes = [self._shapes(member) for member in range(len(chains))]
        self.sizes = [
            self.levels[0].number * self.features,
            *(sum(out * inputs for _, _, (out, inputs) in shapes) for shapes in self.shapes),
            sum(3 * rows.number for rows in self.levels) + len(chains) * self.classes,
        ]
        self.elements = sum(self.sizes)
        self.parameters = self.buffers()
        self.means = [torch.zeros(rows.number, device=device) for rows in self.levels]
        self.variances = [torch.ones(rows.number, device=device) for rows in self.levels]
        owners = [k for rows in self.levels for _ in range(3) for k in self._owners(rows)]
        owners += [k for k in range(len(chains)) for _ in range(self.classes)]
        self.vector_owner = torch.tensor(owners, device=device)  # whose each element of `vectors` is
        self.first_owner = torch.tensor(self._owners(self.levels[0]), device=device)  # whose each row of `first` is

    def block(self, member: int, level: int) -> Block:
        return self.chains[member].blocks[level]

    def inputs(self, member: int, level: int) -> int:
        """Features that a member's layer at this level takes; the head's after its last."""
        return self.chains[member].blocks[level - 1].width if level else self.features

    def _shapes(self, member: int) -> list[tuple[str, int, tuple[int, int]]]:
        """The matrices of a member after its first: kind, level, shape."""
        blocks = self.chains[member].blocks
        shapes = [(block.width, self.inputs(member, level)) for level, block in enumerate(blocks)]
        found = [("weights", level, shape) for level, shape in enumerate(shapes) if level]
        found += [("projections", level, shapes[level]) for level, block in enumerate(blocks) if block.projection]
        return [*found, ("heads", 0, (self.classes, self.inputs(member, len(blocks))))]

    def _owners(self, rows: Rows) -> list[int]:
        return [k for place, k in enumerate(rows.members) for _ in range(rows.at[place + 1] - rows.at[place])]

    def buffers(self, flat: Tensor | None = None) -> Buffers:
        """A flat tensor of `elements` seen as the parameters of all members; without one, zeros."""
        flat = torch.zeros(self.elements, device=self.device) if flat is None else flat
        found = Buffers(flat, [{} for _ in self.levels], projections=[{} for _ in self.levels])
        first, *found.rest, found.vectors = torch.split(flat, self.sizes)
        found.first = first.view(-1, self.features)
        for member, (shapes, rest) in enumerate(zip(self.shapes, found.rest, strict=True)):
            found.weights[0][member] = found.first[self.levels[0].of_member(member)]
            pieces = torch.split(rest, [out * inputs for _, _, (out, inputs) in shapes])
            for (kind, level, shape), piece in zip(shapes, pieces, strict=True):
                place = found.heads if kind == "heads" else getattr(found, kind)[level]
                place[member] = piece.view(shape)
        sizes = [rows.number for rows in self.levels for _ in range(3)]
        *vectors, heads = torch.split(found.vectors, [*sizes, len(self.chains) * self.classes])
        found.biases, found.gammas, found.betas = vectors[::3], vectors[1::3], vectors[2::3]
        found.head_biases = heads.view(-1, self.classes)
        return found

    def of_member(self, buffers: Buffers, member: int) -> list[Tensor]:
        """The views of one member's parameters, in the order of `parameters_of`."""
        found = []
        for level, block in enumerate(self.chains[member].blocks):
            rows = self.levels[level].of_member(member)
            found.append(buffers.weights[level][member])
            found += [buffers.biases[level][rows]] if block.bias else []
            found += [buffers.gammas[level][rows], buffers.betas[level][rows]] if block.norm else []
            found += [buffers.projections[level][member]] if block.projection else []
        return [*found, buffers.heads[member], buffers.head_biases[member]]

    def statistics_of(self, member: int) -> list[Tensor]:
        """The views of one member's running means and variances, in the order of `statistics_of`."""
        found = []
        for level, block in enumerate(self.chains[member].blocks):
            if block.normed == "batchnorm":
                rows = self.levels[level].of_member(member)
                found += [self.means[level][rows], self.variances[level][rows]]
        return found


def parameters_of(network: Network, chain: Chain) -> list[Tensor]:
    """The parameters of a network in the order of its chain."""
    found: list[Tensor] = []
    for block in chain.blocks:
        nodes = [n for n in (block.linear, block.norm, block.projection) if n]
        found += [p.data for n in nodes for p in network.layers_of[n].parameters()]
    return found + [p.data for p in network.layers_of[chain.head].parameters()]


def statistics_of(network: Network, chain: Chain) -> list[Tensor]:
    """The running means and variances of a network in the order of its chain."""
    found: list[Tensor] = []
    for block in chain.blocks:
        layer: nn.Module | None = network.layers_of[block.norm] if block.norm else None
        if isinstance(layer, _BatchNorm):
            found += [b for name, b in layer.named_buffers() if name.startswith("running")]
    return found
