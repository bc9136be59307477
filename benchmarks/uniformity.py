"""Are draws uniform within each depth, and what does rounding the counts do to that?

*Total variation* is the largest difference of probability that any set of networks has from the uniform draw.

First on spaces small enough to list every network of freely chosen widths that fits: what rounding leaves out, total
variation from the weights at the forks (the worst of the depths), chi-square of actual draws (all depths together).
Then ten layers deep, where nothing can be listed: total variation estimated from the chances of the networks drawn,
against their number by counts rounded far finer.

    python -m benchmarks.uniformity
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from scipy import stats

from benchmarks.tables import markdown
from nas.budget import Budget, BudgetError
from nas.counting import MAX_BINS, ChainTable
from nas.ops import Scalar
from nas.space import Answer, Candidate
from search_spaces import mlp
from search_spaces.mlp import MLP

Choices = tuple[tuple[str, Scalar], ...]  # the choices that make it: norm, skip, widths
DEPTH = 3
PER_NETWORK = 10  # draws
FINE = 131_072  # steps, eight times as many as the library takes


class Depth(NamedTuple):
    """What was found at one depth: `draws` of `fitting` networks, `reached` of which have a chance at all."""

    fitting: int
    reached: int
    variation: float
    draws: int
    chi_square: float


def structure(candidate: Candidate) -> Choices:
    """The choices that tell one network of free widths from another."""
    return tuple((n, v) for n, v in candidate.values.items() if n in ("norm", "skip") or n.startswith("width"))


def fitting_networks(space: MLP, depth: int) -> list[Choices]:
    """Every network of `depth` free widths inside the budget, found by building each."""
    assert space.budget is not None
    found = []
    for norm, skip, widths in product(mlp.NORMS, (False, True)[:depth], product(space.widths, repeat=depth)):
        wanted: dict[str, Scalar] = {"shape": "free", "depth": depth, "norm": norm, "skip": skip}
        candidate = space.within(None).draw(_answer(wanted | {f"width{i}": w for i, w in enumerate(widths, 1)}))
        if candidate.architecture.num_params in space.budget:
            found.append(structure(candidate))
    return found


def probability(space: MLP, depth: int, network: Choices) -> float:
    """That of drawing `network`, given its depth: the product of its options' shares of the weights."""
    wanted: dict[str, Scalar] = {"shape": "free", "depth": depth, **dict(network)}
    shares: list[float] = []

    def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
        if name not in wanted:
            return 0
        if wanted[name] not in options:
            raise BudgetError(f"{name}={wanted[name]} is hidden")
        index = list(options).index(wanted[name])
        if name not in ("shape", "depth"):
            shares.append(weights[index] / sum(weights))
        return index

    try:
        space.draw(answer)
    except BudgetError:
        return 0.0
    return float(np.prod(shares))


def measure(space: MLP, depth: int, rng: np.random.Generator) -> Depth:
    networks = fitting_networks(space, depth)
    chances = np.array([probability(space, depth, network) for network in networks])
    assert abs(chances.sum() - 1) < 1e-9, "a network that does not fit has a chance"
    draws = PER_NETWORK * len(networks)
    answer = _answer({"shape": "free", "depth": depth}, rng)
    seen = Counter(structure(space.draw(answer)) for _ in range(draws))
    chi_square = stats.chisquare([seen[network] for network in networks]).statistic
    variation = float(np.abs(chances - 1 / len(networks)).sum() / 2)
    return Depth(len(networks), int((chances > 0).sum()), variation, draws, float(chi_square))


def listed(inputs: int, classes: int, most: int, widths: tuple[int, int], bins: int) -> list[str]:
    """A row of the table: one space, its counts in `bins` steps."""
    with counts_in(bins):
        space = MLP((inputs,), classes, Budget(most), max_depth=DEPTH, min_width=widths[0], max_width=widths[1])
        table = mlp._table(space.widths, 1, False, classes, most, DEPTH)
        found = [measure(space, depth, np.random.default_rng((7, depth))) for depth in range(1, DEPTH + 1)]
    fitting, chi_square = sum(f.fitting for f in found), sum(f.chi_square for f in found)
    freedom = fitting - sum(f.fitting > 0 for f in found)
    return [
        f"{inputs} inputs, {most:,} parameters, widths {widths[0]}-{widths[1]}",
        "exact" if table.exact else f"{table.step / most:.2g}",
        f"{fitting:,}",
        f"{fitting - sum(f.reached for f in found):,}",
        f"{round(max(f.variation for f in found), 9):.2g}",
        f"{sum(f.draws for f in found):,}",
        f"{chi_square:.0f} / {freedom}",
        f"{stats.chi2.sf(chi_square, freedom):.3g}",
    ]


def deep(bins: int, draws: int = 1000) -> list[str]:
    """A row of the table of ten layers: 868 inputs, 20M, layer normalisation and skips, counts in `bins` steps."""
    with counts_in(FINE):
        true, _ = _chance(MLP((868,), 11, Budget(20_000_000)), np.random.default_rng(0))
    with counts_in(bins):
        space, rng = MLP((868,), 11, Budget(20_000_000)), np.random.default_rng(17)
        found = [_chance(space, rng) for _ in range(draws)]
    above = [max(0.0, 1 - 1 / (true * chance)) for _, chance in found]  # sum of p (1 - u / p) over p > u, u = 1 / true
    return [f"{1 / bins:.2g}", f"{true:.4g}", f"{1 - found[0][0] / true:.1g}", f"{np.mean(above):.1g}"]


def _chance(space: MLP, rng: np.random.Generator) -> tuple[float, float]:
    """The number of networks counted, and the probability of one drawn."""
    taken: dict[str, Scalar] = {"shape": "free", "depth": 10, "norm": "layernorm", "skip": True}
    counted, chance = 0.0, 1.0
    for layer in range(1, 11):
        weights = np.array(space.completions(taken, f"width{layer}", space.widths))
        counted = counted or float(weights.sum())
        index = int(rng.choice(len(weights), p=weights / weights.sum()))
        chance *= float(weights[index] / weights.sum())
        taken[f"width{layer}"] = space.widths[index]
    return counted, chance


@contextmanager
def counts_in(bins: int) -> Iterator[None]:
    """Have the MLP space round its counts to `bins` steps of the budget, not `MAX_BINS`."""
    mlp._table.cache_clear()
    with patch.object(mlp, "ChainTable", partial(ChainTable, bins=bins)):
        yield
    mlp._table.cache_clear()


def report() -> str:
    head = ["space, at most 3 layers", "rounding", "fit", "left out", "total variation", "draws", "chi² / df", "p"]
    cases = [
        (8, 3, 200, (4, 8), MAX_BINS),
        (64, 10, 32_000, (64, 128), MAX_BINS),
        (64, 10, 32_000, (64, 128), 1_000),
        (64, 10, 32_000, (64, 128), 100),
        (868, 11, 20_000_000, (1024, 4096), MAX_BINS),
        (868, 11, 20_000_000, (1024, 4096), 1_000),
        (868, 11, 20_000_000, (1024, 4096), 100),
    ]
    deeper = ["10 layers, 868 inputs, 20M: rounding", "networks", "not counted", "total variation"]
    tables = markdown(head, [listed(*case) for case in cases]), markdown(deeper, [deep(b) for b in (MAX_BINS, 1_000)])
    return "\n\n".join(tables)


def _answer(wanted: Mapping[str, Scalar], rng: np.random.Generator | None = None) -> Answer:
    """What is wanted; elsewhere a weighted draw of what makes the network, and the first option of the rest."""

    def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
        if name in wanted:
            return list(options).index(wanted[name])
        if rng is None or not (name in ("norm", "skip") or name.startswith("width")):
            return 0
        return int(np.searchsorted(np.cumsum(weights), rng.random() * sum(weights), side="right"))

    return answer


if __name__ == "__main__":
    print(report())
