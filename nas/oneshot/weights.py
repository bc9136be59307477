"""Weights that the networks of a space share: a tensor for each piece of a place, of which a network has a slice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import torch
from torch import Generator, Tensor, nn

from nas.architecture import Architecture
from nas.network import Network
from nas.oneshot.places import Run, places
from nas.train.initialise import initialise


class Piece(NamedTuple):
    """A slice of the shared tensor `name`: its first rows and columns, or its middle ones where it is `centred`."""

    name: str
    shape: tuple[int, ...]
    centred: bool = False

    def cut(self, whole: Tensor) -> Tensor:
        """The slice as a view."""
        for dim, size in enumerate(self.shape[:2]):
            start = (whole.shape[dim] - size) // 2 if self.centred and dim == 1 else 0
            whole = whole.narrow(dim, start, size)
        return whole

    def beside(self, shape: Sequence[int]) -> Piece:
        """The least slice that has this one and one of another shape."""
        return self._replace(shape=tuple(map(max, self.shape, shape)))

    def inside(self, shape: Sequence[int]) -> bool:
        return all(a <= b for a, b in zip(self.shape, shape, strict=True))


class Parameter(NamedTuple):
    """A parameter of a network, put together of pieces side by side along `dim`."""

    name: str
    dim: int
    pieces: tuple[Piece, ...]
    matrix: bool  # whether it is one of the weight matrices

    @property
    def fan_in(self) -> int:
        """The inputs of each output."""
        return sum(math.prod(piece.shape[1:]) for piece in self.pieces[: None if self.dim else 1])

    def joined(self, slices: Sequence[Tensor]) -> Tensor:
        return slices[0] if len(slices) == 1 else torch.cat(list(slices), self.dim)


def parameters(network: Network) -> list[Parameter]:
    """What the parameters of a network are put together of."""
    names = {id(p): name for name, p in network.named_parameters()}
    placed, found = places(network.plan.architecture), []
    for position, layer in network.layers_of.items():
        place = placed[position]
        reads = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
        for kind, p in layer.named_parameters():
            dim = 1 if reads and kind == "weight" else 0
            runs = place.inputs if dim else place.outputs
            pieces = tuple(_piece(f"{place.name}.{kind}", tuple(p.shape), dim, run) for run in runs)
            matrix = p.ndim > 1 and not isinstance(layer, nn.LayerNorm)
            found.append(Parameter(names[id(p)], dim, pieces, matrix))
    return found


def _piece(name: str, shape: tuple[int, ...], dim: int, run: Run) -> Piece:
    """Of the parameter `name` what is along `dim` of the channels of a run."""
    rest = shape[dim + 1 :]
    words = [name, *(["x".join(map(str, rest))] if rest else []), *([f"of {run.source}"] if run.source else [])]
    return Piece(" ".join(words), (*shape[:dim], run.size, *rest), run.centred and dim == 1)


@dataclass
class Room:
    """What some networks together need of a piece; `first` of them has it in `parameter`."""

    piece: Piece
    first: Network
    parameter: Parameter
    fan_in: int

    def widen(self, piece: Piece, fan_in: int) -> None:
        self.piece = piece.beside(self.piece.shape)
        self.fan_in = max(fan_in, self.fan_in)


class SharedWeights:
    """Tensors by name, with room for the networks that they are to hold. All chance is of `seed` and names."""

    def __init__(self, tensors: Mapping[str, Tensor], scheme: str, seed: int, device: torch.device) -> None:
        self.tensors, self.scheme, self.seed, self.device = dict(tensors), scheme, seed, device

    def hold(self, networks: Iterable[tuple[Network, Sequence[Parameter]]]) -> None:
        """Make room for networks and their `parameters`. What is new is drawn as in the widest of them by itself."""
        rooms: dict[str, Room] = {}
        for network, made in networks:
            for p in made:
                for piece in p.pieces:
                    rooms.setdefault(piece.name, Room(piece, network, p, 1)).widen(piece, p.fan_in)
        alone: dict[int, dict[str, Tensor]] = {}  # networks by themselves, as they are drawn
        for name, room in rooms.items():
            old = self.tensors.get(name)
            if old is not None and room.piece.inside(old.shape):
                continue
            if id(room.first) not in alone:
                alone[id(room.first)] = self._alone(room.first)
            like = alone[id(room.first)][room.parameter.name]
            whole = room.piece if old is None else room.piece.beside(old.shape)
            self.tensors[name] = new = self._drawn(room, like, whole).to(self.device)
            if old is not None:
                whole._replace(shape=tuple(old.shape)).cut(new).copy_(old)

    def _alone(self, network: Network) -> dict[str, Tensor]:
        drawn = Network(network.plan.architecture)
        initialise(drawn, self.scheme, Generator().manual_seed(self.seed))
        return {name: p.detach() for name, p in drawn.named_parameters()}

    def _drawn(self, room: Room, like: Tensor, whole: Piece) -> Tensor:
        """Of a weight matrix normal, with the variance of the scheme for that many inputs; else ones or zeros."""
        if not room.parameter.matrix:
            return like.new_full(whole.shape, float(like.flatten()[0]))
        generator = Generator().manual_seed(crc32(repr((self.seed, *whole[:2])).encode()))
        spread = float(like.std(correction=0)) * math.sqrt(room.parameter.fan_in / room.fan_in)
        return torch.randn(whole.shape, generator=generator) * spread

    def slices(self, made: Sequence[Parameter]) -> dict[str, Tensor]:
        """The parameters of a network that is held, by name."""
        return {p.name: p.joined([piece.cut(self.tensors[piece.name]) for piece in p.pieces]) for p in made}

    def network(self, architecture: Architecture) -> Network:
        """A network with these weights as its own; what no lesson has seen is drawn, and not kept."""
        network = Network(architecture).to(self.device)
        made, weights = parameters(network), SharedWeights(self.tensors, self.scheme, self.seed, self.device)
        weights.hold([(network, made)])
        network.load_state_dict(weights.slices(made), strict=False)  # not strict: it has no statistics yet
        return network
