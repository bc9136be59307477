"""Which strategy is the best over all tables of trained networks: the mean of its ranks, 1 being the best.

With each seed all strategies are ranked on each table by (a) the test accuracy at the end, (b) the queries to the best
cell, at most `CAP`, (c) the regret after `AT` queries, with a parameter budget and without, all as in
`benchmarks.strategies`. The ranks are averaged over the tables of a protocol, then over the protocols.

    python -m benchmarks.ranks --data nasbench201.csv.gz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from benchmarks.strategies import mean
from benchmarks.tables import markdown
from benchmarks.tabular import cells, fcnet
from benchmarks.tabular.problem import Problem
from benchmarks.tabular.simulation import Course, Simulation
from nas.plugins import make
from nas.strategy import Strategy

STRATEGIES = ("random", "evolution", "predictor", "local", "reinforce")
CAP, AT = 500, 100  # queries of (b) and (c)


@dataclass(frozen=True)
class Table:
    protocol: str
    problem: Problem
    loss: Callable[[Problem, Course], float]  # what is ranked, the least first


def last(problem: Problem, course: Course) -> float:
    """The result of what looked best at the end."""
    return float(problem.results[course.incumbents()[-1]])


def asked(problem: Problem, course: Course) -> float:
    return len(course.rows) if problem.goal in course.rows else CAP


def tables(data: Path) -> Iterator[Table]:
    for dataset in cells.DATASETS:
        yield Table("a", cells.twelve_epochs(dataset, data), lambda *told: -last(*told))
        yield Table("b", cells.queries(dataset, data, CAP), asked)
    for dataset in fcnet.DATASETS:
        for budgeted in (False, True):
            yield Table("c", fcnet.problem(dataset, AT, budgeted=budgeted), last)


def ranks(table: Table, strategies: Sequence[str], seeds: int) -> np.ndarray:
    """(strategies, seeds); equals share the mean of theirs."""
    held = table.problem
    losses = [
        [
            table.loss(held, Simulation(make("strategies", spec, Strategy, held.space), held, seed).run())
            for seed in range(seeds)
        ]
        for spec in strategies
    ]
    found: np.ndarray = stats.rankdata(losses, axis=0)
    return found


def compare(strategies: Sequence[str], data: Path, seeds: int) -> str:
    """A line a strategy: its mean rank with each protocol, and that of all."""
    found: dict[str, list[np.ndarray]] = {}
    for table in tables(data):
        found.setdefault(table.protocol, []).append(ranks(table, strategies, seeds))
        averages = zip(strategies, found[table.protocol][-1].mean(1), strict=True)
        shown = ", ".join(f"{spec} {rank:.2f}" for spec, rank in averages)
        print(f"({table.protocol}) {table.problem.name}: {shown}", file=sys.stderr, flush=True)
    columns = {name: np.mean(each, axis=0) for name, each in sorted(found.items())}  # (strategies, seeds)
    columns["all"] = np.mean(list(columns.values()), axis=0)
    rows = [[spec, *(mean(column[n]) for column in columns.values())] for n, spec in enumerate(strategies)]
    return markdown(["mean rank", *(f"({name})" for name in columns)], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--strategies", nargs="+", metavar="SPEC", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--data", type=Path, metavar="FILE", required=True, help="nasbench201.csv.gz")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(compare(args.strategies, args.data, args.seeds))


if __name__ == "__main__":
    main()
