"""Do nsga2's networks, of several objectives, dominate more than random search's at equal queries?

The problem: NAS-Bench-201, 15,625 cells whose validation accuracies after 200 epochs on CIFAR-10 and whose numbers of
parameters are known; accuracy is to be high, parameters few. What is reported is the hypervolume of all that was asked
for, against the point of 10 % accuracy and 5 % more parameters than the largest cell has: the share of that of the true
front. Nothing is trained. Cells that compute the same are one query.

    python -m benchmarks.fronts nasbench201.csv.gz
    python -m benchmarks.fronts nasbench201.csv.gz --strategies random nsga2:population=50 --seeds 10

The table has the columns `ops`, `cifar10_val200` and `cifar10_params_exact`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.tables import interval, markdown
from nas.architecture import Architecture
from nas.budget import Choose
from nas.plugins import make
from nas.recipe import Recipe
from nas.space import Candidate
from nas.strategy import Strategy
from nas.trial import Trial
from search_spaces.nasbench201 import EDGES, OPERATIONS, NASBench201

CHECKPOINTS = (25, 50, 100, 200, 400)
BASELINE = "random"
WORST = 10.0, 1.05  # accuracy in percent; times the parameters of the largest
Values = tuple[float, float]


class Cells(NASBench201):
    """Each cell drawn once, and trained in one way."""

    def __init__(self) -> None:
        super().__init__((3, 32, 32), 10, cells=1)
        self.known: dict[tuple[str, ...], Architecture] = {}

    def network(self, cell: Mapping[str, str]) -> Architecture:
        key = tuple(cell.values())
        if key not in self.known:
            self.known[key] = super().network(cell)
        return self.known[key]

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe()


def read(path: Path, task: str = "cifar10") -> dict[str, Values]:
    """`ops` -> accuracy and minus parameters."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    return {row["ops"]: (float(row[f"{task}_val200"]), -float(row["cifar10_params_exact"])) for row in rows}


def hypervolume(values: Sequence[Values], worst: Values) -> float:
    """The area that is dominated by `values` and dominates `worst`."""
    area, best = 0.0, worst[1]
    for first, second in sorted(values, reverse=True):
        if first > worst[0] and second > best:
            area += (first - worst[0]) * (second - best)
            best = second
    return area


def play(strategy: Strategy, table: Mapping[str, Values], seed: int, queries: int) -> list[Values]:
    """The values of so many different networks, in the order in which they were asked for."""
    found: dict[str, Values] = {}
    number = 0
    while len(found) < queries:
        candidate = strategy.ask(np.random.default_rng((seed, number)), ())
        values = found.setdefault(candidate.architecture.digest, table[ops(candidate)])
        strategy.tell(Trial(number, candidate, 0, values))
        number += 1
    return list(found.values())


def ops(candidate: Candidate) -> str:
    """The cell as the table names it: a digit for each edge."""
    return "".join(str(OPERATIONS.index(str(candidate.values[edge]))) for edge in EDGES)


def compare(specs: Sequence[str], table: Mapping[str, Values], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Of each strategy the shares of the true front's hypervolume, (seeds, checkpoints)."""
    worst = WORST[0], WORST[1] * min(size for _, size in table.values())
    whole, space = hypervolume(list(table.values()), worst), Cells()
    shares = {}
    for spec in specs:
        runs = [play(make("strategies", spec, Strategy, space), table, s, CHECKPOINTS[-1]) for s in seeds]
        shares[spec] = np.array([[hypervolume(run[:n], worst) / whole for n in CHECKPOINTS] for run in runs])
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("table", type=Path, help="the cells of NAS-Bench-201, as csv.gz")
    parser.add_argument("--strategies", nargs="+", metavar="SPEC", default=[BASELINE, "nsga2", "nsga2:start=random"])
    parser.add_argument("--seeds", type=int, default=50, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="figures are on 0-49; 100 and up chose the defaults")
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    shares = compare(args.strategies, read(args.table), seeds)
    head = ["share of the hypervolume after", *map(str, CHECKPOINTS)]
    print(f"{args.seeds} seeds from {args.first_seed}; mean ± 95 % t-interval over seeds.\n")
    print(markdown(head, [[s, *("{:.4f} ± {:.4f}".format(*interval(v)) for v in f.T)] for s, f in shares.items()]))
    if BASELINE in shares:
        ahead = {spec: found - shares[BASELINE] for spec, found in shares.items() if spec != BASELINE}
        rows = [[s, *("{:+.4f} ± {:.4f}".format(*interval(v)) for v in f.T)] for s, f in ahead.items()]
        print("\n" + markdown([f"ahead of {BASELINE} after", *map(str, CHECKPOINTS)], rows))


if __name__ == "__main__":
    main()
