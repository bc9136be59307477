"""How strategies compare where every network was trained by others: tables of NAS-Bench-201 and of FCNet.

    python -m benchmarks.strategies a --data nasbench201.csv.gz
    python -m benchmarks.strategies b --data nasbench201.csv.gz
    python -m benchmarks.strategies c

(a) NATS-Bench's protocol: 12 epochs are seen and paid for, simulated seconds are the limit, and the test accuracy after
200 epochs of what looked best is reported. (b) Queries until the best cell is found, its mean validation accuracy after
200 epochs being seen. (c) Regret on four regression problems, without a parameter budget and with one of a tenth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.tables import interval, markdown, median_interval
from benchmarks.tabular import cells, fcnet
from benchmarks.tabular.problem import Problem
from benchmarks.tabular.simulation import Course, Simulation
from nas.plugins import make
from nas.strategy import Strategy

SEEDS = {"a": 500, "b": 200, "c": 200}
STRATEGIES = ("random", "evolution", "evolution:population=10,sample=3,start=random", "reinforce")
CHUNK = 10  # seeds that a process plays at once
CAP = 2_000  # queries of (b)
AT = {"b": (100, 192, 300), "c": (100, 500)}  # queries


def problem(which: str, dataset: str, data: Path | None, budgeted: bool = False) -> Problem:
    if which == "a":
        return cells.twelve_epochs(dataset, data)
    if which == "b":
        return cells.queries(dataset, data, CAP)
    return fcnet.problem(dataset, max(AT["c"]), budgeted=budgeted)


Task = tuple[str, str, Path | None, bool]  # the arguments of `problem`
_held: dict[Task, Problem] = {}  # of this process: tables take seconds to read


def play(task: Task, spec: str, seeds: Sequence[int], workers: int) -> list[Course]:
    """A run with each seed."""
    if task not in _held:
        _held.clear()
        _held[task] = problem(*task)
    held = _held[task]
    strategies = (make("strategies", spec, Strategy, held.space) for _ in seeds)
    return [Simulation(strategy, held, seed, workers).run() for strategy, seed in zip(strategies, seeds, strict=True)]


def courses(task: Task, spec: str, seeds: int, workers: int, pool: ProcessPoolExecutor | None) -> list[Course]:
    """As `play`, in order of the seeds, however many processes there are."""
    chunks = [range(first, min(first + CHUNK, seeds)) for first in range(0, seeds, CHUNK)]
    if pool is None:
        return [course for chunk in chunks for course in play(task, spec, chunk, workers)]
    futures = [pool.submit(play, task, spec, chunk, workers) for chunk in chunks]
    return [course for future in futures for course in future.result()]


def at(courses: Sequence[Course], results: np.ndarray, queries: int) -> np.ndarray:
    """The result of what looked best after so many queries, or at the end of a run that made fewer, (runs,)."""
    return np.array([results[course.incumbents()[:queries][-1]] for course in courses])


def mean(values: np.ndarray, digits: int = 2) -> str:
    middle, half = interval(values)
    return f"{middle:.{digits}f} ± {half:.{digits}f}"


def row_a(held: Problem, courses: Sequence[Course]) -> list[str]:
    results = np.array([held.results[course.incumbents()[-1]] for course in courses])
    return [mean(results), f"{np.mean([len(c.rows) for c in courses]):.0f}", _copies(courses)]


def row_b(held: Problem, courses: Sequence[Course]) -> list[str]:
    found = np.array([held.goal in c.rows for c in courses])
    asked = np.where(found, [len(c.rows) for c in courses], CAP)
    early = f"{np.mean(asked <= AT['b'][1]):.0%}"
    tests = [mean(at(courses, held.results, n)) for n in AT["b"]]
    return [mean(asked, 0), f"{np.median(asked):.0f}", early, f"{(~found).sum()}", *tests, _copies(courses)]


def row_c(held: Problem, courses: Sequence[Course]) -> list[str]:
    cells = ["{:.2g} ({:.2g}-{:.2g})".format(*median_interval(at(courses, held.results, n))) for n in AT["c"]]
    return [*cells, _copies(courses)]


def _copies(courses: Sequence[Course]) -> str:
    """Trials told for each query."""
    return f"{np.mean([c.told for c in courses]) / np.mean([len(c.rows) for c in courses]):.2f}"


HEADS = {
    "a": ["test accuracy, %", "queries", "told/query"],
    "b": [
        "queries to the best",
        "median",
        f"within {AT['b'][1]}",
        f"not in {CAP:,}",
        *(f"test % at {n}" for n in AT["b"]),
        "told/query",
    ],
    "c": [*(f"median regret at {n}" for n in AT["c"]), "told/query"],
}
ROWS = {"a": row_a, "b": row_b, "c": row_c}


def tasks(which: str, data: Path | None) -> list[Task]:
    if which == "c":
        return [(which, name, None, budgeted) for budgeted in (False, True) for name in fcnet.DATASETS]
    return [(which, name, data, False) for name in cells.DATASETS]


def compare(args: argparse.Namespace, pool: ProcessPoolExecutor | None) -> None:
    seeds = args.seeds or SEEDS[args.which]
    print(f"{seeds} seeds, {args.workers} worker(s); 95 % intervals.")
    for task in tasks(args.which, args.data):
        held = problem(*task)
        title = (
            held.name if held.space.budget is None else f"{held.name}, at most {held.space.budget.most:,} parameters"
        )
        rows = []
        for spec in args.strategies:
            found = courses(task, spec, seeds, args.workers, pool)
            rows.append([spec, *ROWS[args.which](held, found)])
        print(f"\n{markdown([title, *HEADS[args.which]], rows)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", choices=tuple(SEEDS))
    parser.add_argument("--strategies", nargs="+", metavar="SPEC", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, help="number of runs; default: 500 of a, 200 of b and c")
    parser.add_argument("--data", type=Path, metavar="FILE", help="nasbench201.csv.gz")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=1, help="that play runs")
    args = parser.parse_args()
    try:
        if args.processes == 1:
            compare(args, None)
        else:
            with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
                compare(args, pool)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
