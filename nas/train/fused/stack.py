"""The weights of many perceptrons in one buffer.

All matrices but the first of each member, level by level, each in blocks of its own; then the first ones, together one
matrix; then biases and norms, vectors over the features of all members of a level. Seen as three sheets, of which every
row is one member's: so what is done with a factor for each member is a call a sheet, however many members there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.modules.batchnorm import _BatchNorm

from nas.dataset import Array
from nas.network import Network
from nas.train.fused.chain import Block, Chain
from nas.train.fused.ways import WAYS

BLOCK = 128  # elements of a row of the sheet of matrices: few enough to waste little, enough for a loop


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
    `sheets`: all other matrices (blocks, BLOCK), the first ones (features of all, inputs), the vectors (elements, 1).
    """

    flat: Tensor
    sheets: list[Tensor]
    weights: list[dict[int, Tensor]]
    projections: list[dict[int, Tensor]]
    heads: dict[int, Tensor]
    biases: list[Tensor]
    gammas: list[Tensor]
    betas: list[Tensor]
    head_biases: Tensor

    @property
    def matrices(self) -> list[Tensor]:
        """The sheets that hold matrices, on which alone weights decay."""
        return self.sheets[:2]

    @property
    def first(self) -> Tensor:
        """`weights[0]` of all members, (features of all, inputs)."""
        return self.sheets[1]


@dataclass(frozen=True)
class Matrix:
    """A matrix of a member after its first."""

    member: int
    kind: str  # the field of `Buffers`
    level: int
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def blocks(self) -> int:
        return -(-self.size // BLOCK)


class Stack:
    """Chains side by side, all with the same features and classes."""

    def __init__(self, chains: Sequence[Chain], device: torch.device) -> None:
        self.chains, self.device, self.ways = chains, device, WAYS[device.type]
        self.features, self.classes = chains[0].features, chains[0].classes
        self.levels = [
            Rows.of({k: chain.blocks[level].width for k, chain in enumerate(chains) if level < len(chain.blocks)})
            for level in range(max(len(chain.blocks) for chain in chains))
        ]
        self.matrices = list(self._matrices())
        owners = self._owners()
        self.rows = [len(owner) for owner in owners]  # of each sheet
        self.sizes = [self.rows[0] * BLOCK, self.rows[1] * self.features, self.rows[2]]
        owner = np.concatenate(owners)
        self.owner = torch.from_numpy(owner).to(device)  # whose each row is, of one sheet after the other
        self.places = torch.from_numpy(_places(owner, len(chains))).to(device)
        self.parameters = self.buffers()
        self.means = [torch.zeros(rows.number, device=device) for rows in self.levels]
        self.variances = [torch.ones(rows.number, device=device) for rows in self.levels]

    def block(self, member: int, level: int) -> Block:
        return self.chains[member].blocks[level]

    def inputs(self, member: int, level: int) -> int:
        """Features that a member's layer at this level takes; the head's after its last."""
        return self.chains[member].blocks[level - 1].width if level else self.features

    def _matrices(self) -> Iterator[Matrix]:
        """Those after the first layers, so that those of one kind and level lie side by side."""
        for level, rows in enumerate(self.levels):
            shapes = {k: (self.block(k, level).width, self.inputs(k, level)) for k in rows.members}
            yield from (Matrix(k, "weights", level, shapes[k]) for k in rows.members if level)
            yield from (Matrix(k, "projections", level, shapes[k]) for k in shapes if self.block(k, level).projection)
        for k, chain in enumerate(self.chains):
            yield Matrix(k, "heads", 0, (self.classes, self.inputs(k, len(chain.blocks))))

    def _owners(self) -> list[Array]:
        """Whose each row of each sheet is."""
        blocks = np.repeat([m.member for m in self.matrices], [m.blocks for m in self.matrices])
        levels = [np.repeat(rows.members, np.diff(rows.at)) for rows in self.levels]
        heads = np.repeat(np.arange(len(self.chains)), self.classes)
        return [blocks, levels[0], np.concatenate([*(owner for owner in levels for _ in range(3)), heads])]

    def buffers(self, flat: Tensor | None = None) -> Buffers:
        """A flat tensor seen as the parameters of all members; without one, zeros."""
        flat = torch.zeros(sum(self.sizes), device=self.device) if flat is None else flat
        others, first, last = torch.split(flat, self.sizes)
        sheets = [others.view(-1, BLOCK), first.view(-1, self.features), last.view(-1, 1)]
        by_kind: dict[str, list[dict[int, Tensor]]] = {
            "weights": [{} for _ in self.levels], "projections": [{} for _ in self.levels], "heads": [{}]
        }  # fmt: skip
        for member in self.levels[0].members:
            by_kind["weights"][0][member] = sheets[1][self.levels[0].of_member(member)]
        pieces = torch.split(others, [matrix.blocks * BLOCK for matrix in self.matrices])
        for matrix, piece in zip(self.matrices, pieces, strict=True):
            by_kind[matrix.kind][matrix.level][matrix.member] = piece[: matrix.size].view(matrix.shape)
        sizes = [rows.number for rows in self.levels for _ in range(3)]
        *vectors, heads = torch.split(last, [*sizes, len(self.chains) * self.classes])
        matrices = by_kind["weights"], by_kind["projections"], by_kind["heads"][0]
        biases, gammas, betas = vectors[::3], vectors[1::3], vectors[2::3]
        return Buffers(flat, sheets, *matrices, biases, gammas, betas, heads.view(-1, self.classes))

    def each(self, factors: Tensor) -> list[Tensor]:
        """A number of each member, (members,), for every row of each sheet, (rows, 1)."""
        return list(torch.split(factors.index_select(0, self.owner).unsqueeze(1), self.rows))

    def norms(self, of: Buffers) -> Tensor:
        """Of each member's parameters together, (members,)."""
        others, first, last = of.sheets
        rows = [vector_norm(others, dim=1), vector_norm(first, dim=1), last.view(-1), last.new_zeros(1)]
        squares = torch.cat(rows).square_()
        return squares.index_select(0, self.places.view(-1)).view(self.places.shape).sum(1).sqrt_()

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


def _places(owner: Array, members: int) -> Array:
    """Where each member is the owner, (members, most places); after its last the place behind all."""
    places = [np.flatnonzero(owner == member) for member in range(members)]
    found = np.full((members, max(map(len, places))), len(owner))
    for row, own in zip(found, places, strict=True):
        row[: len(own)] = own
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
