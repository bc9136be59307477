"""A name of what a network computes, the same for every numbering of its nodes.

The network is cut at the nodes that all ways from input to output pass through: any renumbering keeps their order, so
the pieces are named one by one. In a piece, chains of layers become one item each; the items are put into an order
that does not depend on their numbers, and the piece is written down in it: different networks never share a name.
Order: labels are refined by neighbours; of items still alike, one is singled out, that which refines to the least
labels (where the items are twins, with the same neighbours, any will do).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

Layer = str  # the name of an operation with its attributes, by `layer_name`
Piece = tuple[tuple[Layer, tuple[int, ...], bool], ...]  # layer, inputs (0: what the piece starts from), commutes
Place = TypeVar("Place", int, str)


class Item(NamedTuple):
    """A chain of layers, of which only the first may have several inputs: positions of earlier items, 0 the start."""

    layers: tuple[Layer, ...]
    inputs: tuple[int, ...]
    commutes: bool  # whether the order of the inputs is of no account


def digest(shape: tuple[int, ...], nodes: Sequence[tuple[Layer, tuple[int, ...], bool]]) -> str:
    """The name of a network on inputs of `shape`. Every node leads to the last one; `nodes[0]` is the input."""
    furthest = list(range(len(nodes)))  # of every node, the last node that reads it
    for position, (_, inputs, _) in enumerate(nodes):
        for i in inputs:
            furthest[i] = position
    names, start, reach = [], 0, 0
    for position in range(1, len(nodes)):
        reach = max(reach, furthest[position - 1])
        if reach <= position:  # no arrow passes over this node
            piece = nodes[start + 1 : position + 1]
            alone = len(piece) == 1 and len(piece[0][1]) == 1
            names.append(piece[0][0] if alone else _name(_counted_from(start, piece)))
            start = position
    return _hash(shape, *names)


def layer_name(op: str, attrs: Iterable[tuple[str, object]]) -> Layer:
    """The name of a layer, whatever the order of its attributes."""
    return _hash(op, *sorted(attrs))


def _counted_from(start: int, nodes: Sequence[tuple[Layer, tuple[int, ...], bool]]) -> Piece:
    return tuple((layer, tuple([i - start for i in inputs]), commutes) for layer, inputs, commutes in nodes)


@lru_cache(maxsize=2**14)
def _name(piece: Piece) -> str:
    items = _items(piece)
    labels = _refined(items, [_hash(item.layers) for item in items])
    while len(set(labels)) < len(labels):
        labels = _told_apart(items, labels)
    order = {label: rank for rank, label in enumerate(sorted(labels))}
    ranks = [order[label] for label in labels]
    by_rank = sorted(zip(ranks, items, strict=True))
    written = ((item.layers, _slots(item, [ranks[i] for i in item.inputs])) for _, item in by_rank)
    return _hash(ranks[0], ranks[-1], *written)


def _items(piece: Piece) -> list[Item]:
    """The start and the chains of a piece, in order of computation."""
    uses = Counter(i for _, inputs, _ in piece for i in inputs)
    items, item_of = [Item((), (), False)], [0]  # of every node of the piece, the item that ends with it
    for layer, inputs, commutes in piece:
        before = item_of[inputs[0]]
        if len(inputs) == 1 and before and uses[inputs[0]] == 1:
            items[before] = items[before]._replace(layers=(*items[before].layers, layer))
            item_of.append(before)
        else:
            item_of.append(len(items))
            items.append(Item((layer,), tuple(item_of[i] for i in inputs), commutes))
    return items


def _refined(items: list[Item], labels: list[str]) -> list[str]:
    """Every item's label joined by those of all that leads into it and all that it leads to, until none splits."""
    classes = 0
    while classes < (classes := len(set(labels))):
        below: list[str] = []
        for label, item in zip(labels, items, strict=True):
            below.append(_hash(label, _slots(item, [below[i] for i in item.inputs])))
        consumers: list[list[tuple[str, int]]] = [[] for _ in items]
        labels = list(below)
        for position, item in reversed(list(enumerate(items))):
            labels[position] = _hash(below[position], sorted(consumers[position]))
            for slot, i in enumerate(item.inputs):
                consumers[i].append((labels[position], 0 if item.commutes else slot))
    return labels


def _told_apart(items: list[Item], labels: list[str]) -> list[str]:
    """Labels of which more differ: all twins numbered, or, where there are none, one of some alike singled out."""
    classes: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        classes.setdefault(label, []).append(position)
    several = {label: members for label, members in sorted(classes.items()) if len(members) > 1}
    neighbours = _neighbours(items)
    twins = [members for members in several.values() if len({neighbours[i] for i in members}) == 1]
    if twins:
        labels = list(labels)
        for members in twins:
            for number, position in enumerate(members):
                labels[position] = _hash(labels[position], number)
        return _refined(items, labels)
    label, members = next(iter(several.items()))
    singled = ([*labels[:i], _hash(label), *labels[i + 1 :]] for i in members)
    return min((_refined(items, each) for each in singled), key=sorted)


def _neighbours(items: list[Item]) -> list[tuple[object, ...]]:
    """Of every item, what it reads and what reads it, at which slot."""
    readers: list[list[tuple[int, int]]] = [[] for _ in items]
    for position, item in enumerate(items):
        for slot, i in enumerate(item.inputs):
            readers[i].append((position, 0 if item.commutes else slot))
    return [(tuple(_slots(item, list(item.inputs))), tuple(read)) for item, read in zip(items, readers, strict=True)]


def _slots(item: Item, inputs: list[Place]) -> list[Place]:
    """What stands for the inputs of an item, sorted where their order does not matter."""
    return sorted(inputs) if item.commutes else inputs


def _hash(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
