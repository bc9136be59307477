"""How many cells of NAS-Bench-201 does a strategy ask for until it has the best one?

Validation accuracies after 200 epochs, the mean over the benchmark's seeds, are what is told. A cell that computes the
same as one before is a cell more; strategies that know it for the same do not ask for it. `plain` is local search on
the digits of the table (arXiv 2005.02960), from random starts, which does not know it.

    python -m benchmarks.best_cell nasbench201.csv.gz
    python -m benchmarks.best_cell nasbench201.csv.gz --strategies plain:best evolution:start=random --seeds 50
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.fronts import Cells, ops, read
from benchmarks.tables import interval, markdown
from nas.plugins import make
from nas.strategy import Strategy
from nas.trial import Trial

TASKS = ("cifar10", "cifar100", "imagenet")
SOON = 192  # cells
DEFAULT = ["plain:best", "plain:first"] + [
    f"local:improvement={word},start={start}" for word in ("best", "first") for start in ("random", "default")
]


def needed(strategy: Strategy, table: Mapping[str, float], seed: int) -> int:
    """Different cells asked for until the best one, that one included."""
    best, asked, number = max(table.values()), set[str](), 0
    while True:
        candidate = strategy.ask(np.random.default_rng((seed, number)), ())
        cell = ops(candidate)
        asked.add(cell)
        if table[cell] == best:
            return len(asked)
        strategy.tell(Trial(number, candidate, 0, (table[cell],)))
        number += 1


def plain(table: Mapping[str, float], seed: int, first: bool) -> int:
    """The same of the plain local search."""
    rng, cells, best, asked = np.random.default_rng(seed), list(table), max(table.values()), set[str]()
    here: str | None = None
    while True:
        around = [here[:i] + op + here[i + 1 :] for i in range(6) for op in "01234" if op != here[i]] if here else []
        for cell in [around[n] for n in rng.permutation(len(around))] or [cells[rng.integers(len(cells))]]:
            asked.add(cell)
            if table[cell] == best:
                return len(asked)
            if here is None or (first and table[cell] > table[here]):
                here = cell
                break
        else:
            top = max(around, key=lambda cell: table[cell])
            here = top if here is not None and table[top] > table[here] else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("table", type=Path, help="the cells of NAS-Bench-201, as csv.gz")
    parser.add_argument("--strategies", nargs="+", metavar="SPEC", default=DEFAULT)
    parser.add_argument("--seeds", type=int, default=200, help="number of seeds")
    args = parser.parse_args()
    tables = {task: {cell: a for cell, (a, _) in read(args.table, task).items()} for task in TASKS}
    space, rows = Cells(), []
    for spec in args.strategies:
        row = [spec]
        for table in tables.values():
            if spec.startswith("plain:"):
                found = [plain(table, seed, spec == "plain:first") for seed in range(args.seeds)]
            else:
                found = [needed(make("strategies", spec, Strategy, space), table, seed) for seed in range(args.seeds)]
            row.append("{:.0f} ± {:.0f}, {:.0%}".format(*interval(found), float(np.mean(np.array(found) <= SOON))))
        rows.append(row)
    print(f"{args.seeds} seeds; mean ± 95 % t-interval over seeds, and the share of runs within {SOON} cells.\n")
    print(markdown(["cells until the best", *TASKS], rows))


if __name__ == "__main__":
    main()
