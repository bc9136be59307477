"""A directed acyclic graph in layers, top to bottom: Sugiyama, Tagawa and Toda (1981), doi 10.1109/TSMC.1981.4308636.

Layers; points on the way of arrows that pass a layer; few crossings; horizontal places; a path for each arrow. Arrows
bend between the layers alone, so that none goes through a box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import networkx as nx

GAP = 14.0  # between the boxes of a layer
LANE = 12.0  # between arrows that pass a layer
WIDEST = 680.0  # boxes of a layer, together
LEVEL = 22.0  # between layers
SWEEPS = 12
Point = tuple[float, float]


@dataclass(frozen=True)
class Link:
    """From a box to a box; `leaves` and `enters` are places relative to the middles of the two."""

    source: int
    target: int
    leaves: float = 0.0
    enters: float | None = None  # None: wherever there is room


@dataclass
class Laid:
    """Upper left corners of the boxes, and a path for each link: points joined by straight lines down and bends."""

    width: float
    height: float
    corners: list[Point]
    paths: list[list[Point]]


@dataclass
class _Layers:
    """Items are boxes, then lanes: the points where links pass a layer."""

    widths: list[float]
    layers: list[list[int]]
    ways: list[list[int]]  # the items of each link, its ends among them
    joined: list[tuple[int, int]] = field(default_factory=list)  # upper item, lower item


def layered(sizes: Sequence[Point], links: Sequence[Link]) -> Laid:
    """Where boxes of these `sizes` (width, height) stand, and how the links run."""
    made = _in_layers(sizes, links)
    _order(made)
    x = _places(made, len(sizes))
    heights = [max(sizes[i][1] if i < len(sizes) else 0.0 for i in layer) for layer in made.layers]
    gaps = [_gap(made, x, n) for n in range(len(heights) - 1)]
    tops = list(accumulate([h + g for h, g in zip(heights, gaps, strict=False)], initial=0.0))
    level = {i: n for n, layer in enumerate(made.layers) for i in layer}
    left = min(x[i] - made.widths[i] / 2 for i in level)
    x = [value - left for value in x]
    corners = [
        (x[i] - width / 2, tops[level[i]] + (heights[level[i]] - height) / 2) for i, (width, height) in enumerate(sizes)
    ]
    enters = _entries(sizes, links, made, x)
    paths = []
    for link, way, enter in zip(links, made.ways, enters, strict=True):
        start, end = corners[way[0]], corners[way[-1]]
        points = [(x[way[0]] + link.leaves, start[1] + sizes[way[0]][1])]
        points.append((points[0][0], tops[level[way[0]]] + heights[level[way[0]]]))
        for i in way[1:-1]:
            points += [(x[i], tops[level[i]]), (x[i], tops[level[i]] + heights[level[i]])]
        points += [(x[way[-1]] + enter, tops[level[way[-1]]]), (x[way[-1]] + enter, end[1])]
        paths.append(points)
    return Laid(max(x[i] + made.widths[i] / 2 for i in level), tops[-1] + heights[-1], corners, paths)


def _in_layers(sizes: Sequence[Point], links: Sequence[Link]) -> _Layers:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(sizes)))
    graph.add_edges_from((link.source, link.target) for link in links)
    layers = _levels(graph, sizes)
    level = {i: n for n, layer in enumerate(layers) for i in layer}
    made = _Layers([width for width, _ in sizes], layers, [])
    for link in links:
        way = [link.source]
        for n in range(level[link.source] + 1, level[link.target]):
            layers[n].append(len(made.widths))
            way.append(len(made.widths))
            made.widths.append(0.0)
        way.append(link.target)
        made.ways.append(way)
        made.joined += pairwise(way)
    return made


def _levels(graph: nx.DiGraph, sizes: Sequence[Point]) -> list[list[int]]:
    """Every box as low as what follows it and the width of a layer let it be; those that begin, at the top."""
    level: dict[int, int] = {}
    widths: defaultdict[int, float] = defaultdict(float)
    for generation in nx.topological_generations(graph.reverse(copy=False)):
        for i in sorted(generation, reverse=True):
            level[i] = max((level[j] + 1 for j in graph.successors(i)), default=0)
            while widths[level[i]] and widths[level[i]] + sizes[i][0] > WIDEST:
                level[i] += 1
            widths[level[i]] += sizes[i][0]
    begin = [i for i in level if not graph.in_degree(i)]
    top = max(level[i] for i in begin)
    level.update(dict.fromkeys(begin, top))
    return [sorted(i for i in level if level[i] == n) for n in range(top, -1, -1)]


def _order(made: _Layers) -> None:
    """Every layer by the means of what its items are joined to, down and up; the order with the fewest crossings."""
    above, below = _neighbours(made)
    best, fewest = [list(layer) for layer in made.layers], _crossings(made)
    for sweep in range(SWEEPS):
        downwards = sweep % 2 == 0
        joined = above if downwards else below
        place = {i: n - len(layer) / 2 for layer in made.layers for n, i in enumerate(layer)}
        for layer in made.layers if downwards else reversed(made.layers):
            means = {i: sum(place[j] for j in joined[i]) / len(joined[i]) if joined[i] else place[i] for i in layer}
            layer.sort(key=means.__getitem__)
            place.update({i: n - len(layer) / 2 for n, i in enumerate(layer)})
        if (found := _crossings(made)) < fewest:
            best, fewest = [list(layer) for layer in made.layers], found
    made.layers[:] = best


def _neighbours(made: _Layers) -> tuple[defaultdict[int, list[int]], defaultdict[int, list[int]]]:
    """Of every item the items above it, and those below it."""
    above: defaultdict[int, list[int]] = defaultdict(list)
    below: defaultdict[int, list[int]] = defaultdict(list)
    for upper, lower in made.joined:
        above[lower].append(upper)
        below[upper].append(lower)
    return above, below


def _crossings(made: _Layers) -> int:
    level = {i: n for n, layer in enumerate(made.layers) for i in layer}
    place = {i: n for layer in made.layers for n, i in enumerate(layer)}
    between: defaultdict[int, list[Point]] = defaultdict(list)
    for upper, lower in made.joined:
        between[level[upper]].append((place[upper], place[lower]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0
        for ends in between.values()
        for n, a in enumerate(ends)
        for b in ends[:n]
    )  # fmt: skip


def _places(made: _Layers, boxes: int) -> list[float]:
    """The middles of all items: near what they are joined to, boxes before lanes, lanes straight."""
    above, below = _neighbours(made)
    x = [0.0] * len(made.widths)
    for sweep in range(2 * SWEEPS + 1):
        downwards = sweep % 2 == 0
        for layer in made.layers if downwards else reversed(made.layers):
            wanted, weights = [], []
            for i in layer:
                near = above[i] if downwards and sweep == 0 else above[i] + below[i]
                pulls = [(x[j], _pull(i, j, boxes)) for j in near] or [(x[i], 1.0)]
                total = sum(weight for _, weight in pulls)
                wanted.append(sum(at * weight for at, weight in pulls) / total)
                weights.append(total if i < boxes else 0.1 * total)
            for i, at in zip(layer, _apart(made, layer, wanted, weights, boxes), strict=True):
                x[i] = at
    return x


def _pull(one: int, other: int, boxes: int) -> float:
    """How strongly a link is to be straight: two boxes, two lanes, or a lane that leaves a box."""
    lanes = (one >= boxes) + (other >= boxes)
    return (1.0, 0.001, 1.0)[lanes]


def _apart(
    made: _Layers, layer: Sequence[int], wanted: Sequence[float], weights: Sequence[float], boxes: int
) -> list[float]:
    """The places nearest to those wanted at which nothing overlaps: pooling of adjacent violators."""
    room = [
        (made.widths[a] + made.widths[b]) / 2 + (LANE if a >= boxes and b >= boxes else GAP) for a, b in pairwise(layer)
    ]
    offsets = list(accumulate(room, initial=0.0))
    pools: list[tuple[float, float, int]] = []  # place, weight, items
    for at, weight, offset in zip(wanted, weights, offsets, strict=True):
        pool = (at - offset, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            before = pools.pop()
            total = before[1] + pool[1]
            pool = ((before[0] * before[1] + pool[0] * pool[1]) / total, total, before[2] + pool[2])
        pools.append(pool)
    flat = [at for at, _, items in pools for _ in range(items)]
    return [at + offset for at, offset in zip(flat, offsets, strict=True)]


def _entries(sizes: Sequence[Point], links: Sequence[Link], made: _Layers, x: Sequence[float]) -> list[float]:
    """Where each link reaches its box, relative to the middle: side by side, in the order in which they come."""
    coming: defaultdict[int, list[int]] = defaultdict(list)
    for n, link in enumerate(links):
        if link.enters is None:
            coming[link.target].append(n)
    enters = [link.enters or 0.0 for link in links]
    for target, several in coming.items():
        several.sort(key=lambda n: x[made.ways[n][-2]])
        step = min(16.0, (sizes[target][0] - 10) / len(several))
        off = [
            abs(x[made.ways[n][-2]] + (links[n].leaves if len(made.ways[n]) == 2 else 0) - x[target]) for n in several
        ]
        nearest = min(range(len(several)), key=off.__getitem__)
        alone = sum(at < off[nearest] + 1 for at in off) == 1 and len(several) < 4
        middle = nearest if alone else (len(several) - 1) / 2  # what comes straight from above stays straight
        for place, n in enumerate(several):
            enters[n] = (place - middle) * step
    return enters


def _gap(made: _Layers, x: Sequence[float], n: int) -> float:
    """More room below a layer where links go far to the side."""
    above = set(made.layers[n])
    farthest = max((abs(x[upper] - x[lower]) for upper, lower in made.joined if upper in above), default=0.0)
    return LEVEL + min(40.0, 0.08 * farthest)
