"""Exact counting against brute force, and the uniformity that it promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from nas.architecture import Architecture
from nas.budget import Budget
from nas.counting import ChainTable
from nas.narrow import Narrowing
from nas.ops import Scalar
from nas.space import SearchSpace
from search_spaces.mlp import MLP, NORMS

Ints = npt.NDArray[np.int64]
Costs = tuple[Ints, Ints, Ints]  # first (widths,), pair (widths, widths), last (widths,)


@st.composite
def costs(draw: st.DrawFn) -> Costs:
    """Costs of any kind, or those of layers of a few widths with a skip between them."""
    unit = draw(st.sampled_from([1, 3, 8]))
    n = draw(st.integers(1, 4))
    any_cost = st.integers(1, 40)
    first = draw(st.lists(any_cost, min_size=n, max_size=n))
    last = draw(st.lists(any_cost, min_size=n, max_size=n))
    pair = draw(st.lists(st.lists(any_cost, min_size=n, max_size=n), min_size=n, max_size=n))
    return np.array(first), unit * np.array(pair), unit * np.array(last)


def chains(costs: Costs, layers: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Every chain of `layers` widths, by position, and its parameters."""
    first, pair, last = costs
    for chain in product(range(len(last)), repeat=layers):
        yield chain, int(first[chain[0]] + sum(pair[i, j] for i, j in pairwise(chain)) + last[chain[-1]])


def follow(
    table: ChainTable, costs: Costs, layers: int, least: int, most: int
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every chain that the table lets through, and the chance that a draw weighted by its counts takes it."""
    first, pair, _ = costs

    def onward(chain: tuple[int, ...], spent: Ints, chance: float) -> Iterator[tuple[tuple[int, ...], float]]:
        counts = table.completions(spent, layers - len(chain) - 1, least, most)
        assert counts.min() >= 0
        assert counts.sum() > 0 or not chain, f"dead end after {chain}"
        for i in np.flatnonzero(counts):
            longer = (*chain, int(i))
            taken = chance * counts[i] / counts.sum()
            if len(longer) == layers:
                yield longer, float(taken)
            else:
                yield from onward(longer, spent[i] + pair[i], taken)

    return onward((), first, 1.0)


limits = st.tuples(st.integers(5, 300), st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0])).map(
    lambda pair: (int(pair[0] * pair[1]), pair[0])
)


@given(costs(), st.integers(1, 4), limits)
def test_an_exact_table_counts_what_brute_force_counts(costs: Costs, layers: int, limits: tuple[int, int]) -> None:
    least, most = limits
    table = ChainTable(costs[1], costs[2], most)
    counts = table.completions(costs[0], layers - 1, least, most)
    fitting = Counter(chain[0] for chain, params in chains(costs, layers) if least <= params <= most)
    assert table.exact
    assert counts.tolist() == [fitting[i] for i in range(len(costs[0]))]


@given(costs(), st.integers(1, 4), limits, st.integers(3, 40))
def test_a_rounded_table_counts_too_few_never_too_many(
    costs: Costs, layers: int, limits: tuple[int, int], bins: int
) -> None:
    least, most = limits
    counts = ChainTable(costs[1], costs[2], most, bins).completions(costs[0], layers - 1, least, most)
    fitting = Counter(chain[0] for chain, params in chains(costs, layers) if least <= params <= most)
    assert all(0 <= count <= fitting[i] for i, count in enumerate(counts))


@given(costs(), st.integers(1, 4), limits, st.sampled_from([4, 10, 30, 10_000]))
def test_a_path_of_positive_counts_ends_inside_the_limits_and_nowhere_else(
    costs: Costs, layers: int, limits: tuple[int, int], bins: int
) -> None:
    least, most = limits
    params = dict(chains(costs, layers))
    for chain, _ in follow(ChainTable(costs[1], costs[2], most, bins), costs, layers, least, most):
        assert least <= params[chain] <= most


@given(costs(), st.integers(1, 3), limits)
def test_a_draw_by_exact_counts_is_uniform_over_all_that_fits(
    costs: Costs, layers: int, limits: tuple[int, int]
) -> None:
    least, most = limits
    drawn = dict(follow(ChainTable(costs[1], costs[2], most), costs, layers, least, most))
    fitting = {chain for chain, params in chains(costs, layers) if least <= params <= most}
    assert set(drawn) == fitting
    assert all(chance == pytest.approx(1 / len(fitting)) for chance in drawn.values())


@pytest.mark.parametrize(("bins", "bound"), [(300, 0.08), (1000, 0.03), (16_384, 0.003)])
@pytest.mark.parametrize("fill", [0.0, 0.9])
def test_rounding_moves_little_probability(bins: int, bound: float, fill: float) -> None:
    """Total variation from uniform. Measured: 0.006, 0.0015, 0.0001; of the few near a fill 0.063, 0.025, 0.002."""
    widths = np.array([61, 73, 89, 101, 113, 127, 139, 151, 163, 179, 191, 211])
    layered: Costs = (64 * widths + widths, np.outer(widths, widths) + widths[None], 10 * widths + 10)
    most, layers = 75_011, 4
    table = ChainTable(layered[1], layered[2], most, bins)
    drawn = dict(follow(table, layered, layers, int(fill * most), most))
    fitting = [chain for chain, params in chains(layered, layers) if fill * most <= params <= most]
    distance = sum(abs(drawn.get(chain, 0) - 1 / len(fitting)) for chain in fitting) / 2
    print(f"{bins} bins, fill {fill}: total variation {distance:.5f} over {len(fitting)} networks")
    assert not table.exact
    assert set(drawn) <= set(fitting)
    assert distance < bound


@pytest.mark.parametrize("fill", [None, 0.6])
def test_draws_of_the_mlp_space_are_uniform_within_each_depth(
    free_mlp: Callable[..., MLP], fill: float | None, record_property: Callable[[str, object], None]
) -> None:
    space = free_mlp((8,), 3, Budget(220, fill), max_depth=3, min_width=4, max_width=8)
    rng, drawn = np.random.default_rng(7), Counter[tuple[Scalar, ...]]()
    for _ in range(20_000):
        values = space.sample(rng).values
        drawn[tuple(v for name, v in values.items() if name not in ("activation", "dropout", "dropped"))] += 1
    fitting = [*networks_inside(space)]
    assert set(drawn) <= set(fitting)
    depths = Counter(network[1] for network in drawn.elements())
    for depth in (depth for depth in range(1, space.max_depth + 1) if depth in depths):
        p = chisquare([drawn[network] for network in fitting if network[1] == depth])
        record_property(f"depth {depth}", f"{p}")
        print(f"depth {depth}, {sum(n[1] == depth for n in fitting)} networks: {p}")
        assert p.pvalue > 1e-3
    assert set(depths) == {network[1] for network in fitting}
    assert chisquare(list(depths.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    "fixed",
    [{"width2": (4, 8)}, {"width1": (16,), "width3": (8,)}, {"width3": (4, 16)}, {"width": (4, 8), "width1": (6,)}],
)
def test_layers_with_widths_of_their_own_are_counted_exactly(fixed: dict[str, tuple[int, ...]]) -> None:
    space = MLP((8,), 3, Budget(600, 0.2), max_depth=3, min_width=4, max_width=16)
    space = space.on(narrowing=Narrowing({"shape": ("free",), **fixed}))
    for depth, norm, skip in product((1, 2, 3), NORMS, (False, True)):
        if depth == 1 and skip:
            continue
        each = [space.offered(f"width{i}", space.widths) for i in range(1, depth + 1)]
        fitting = Counter(w[0] for w in product(*each) if space.params(8, w, norm, skip) in Budget(600, 0.2))
        taken = {"shape": "free", "depth": depth, "norm": norm, **({"skip": skip} if depth > 1 else {})}
        counted = space.completions(taken, "width1", each[0])
        assert counted == [fitting[width] for width in each[0]]


def networks_inside(space: MLP) -> Iterator[tuple[Scalar, ...]]:
    """By brute force: shape, depth, norm, skip (of two layers and more) and widths of every network that fits."""
    assert space.budget is not None
    for depth in range(1, space.max_depth + 1):
        for norm, skip, widths in product(NORMS, (False, True)[:depth], product(space.widths, repeat=depth)):
            if built(space, norm, skip, widths).num_params in space.budget:
                yield ("free", depth, norm, *([skip] if depth > 1 else []), *widths)


def built(space: SearchSpace, norm: str, skip: bool, widths: tuple[int, ...]) -> Architecture:
    """The network itself, so that nothing is taken from the space's own counting."""
    answers: dict[str, Scalar] = {"shape": "free", "depth": len(widths), "norm": norm, "skip": skip}
    answers |= {"activation": "relu", "dropout": 0.0}
    answers |= {f"width{i}": width for i, width in enumerate(widths, 1)}
    return space.describe(lambda name, options: answers[name])
