"""How strategies compare where every network was trained by others: tables of NAS-Bench-201 and of FCNet.

    python -m benchmarks.strategies a --data nasbench201.csv.gz
    python -m benchmarks.strategies b --data nasbench201.csv.gz
    python -m benchmarks.strategies c --plot regret.png
    python -m benchmarks.strategies time --data nasbench201.csv.gz

(a) NATS-Bench's protocol: 12 epochs are seen and paid for, simulated seconds are the limit, and the test accuracy after
200 epochs of what looked best is reported. (b) Queries until the best cell is found, its mean validation accuracy after
200 epochs being seen. (c) Regret on four regression problems, without a parameter budget and with one of a tenth.
(time) What `ask` and `tell` take. A candidate that is asked for again is told again, at the cost of no query and no
time; with `--again` it costs its time once more, as in the scripts of NATS-Bench. Strategies that go by zero-cost
proxies find those of cells in `--promises`, by `python -m benchmarks.proxies table`, and measure what is not there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.tables import interval, markdown, median_interval
from benchmarks.tabular import cells, fcnet, timing
from benchmarks.tabular.plot import Panel, draw
from benchmarks.tabular.problem import Problem
from benchmarks.tabular.promises import remembering
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


def play(
    task: Task, spec: str, seeds: Sequence[int], workers: int, again: bool, promises: Path | None = None
) -> list[Course]:
    """A run with each seed."""
    if task not in _held:
        _held.clear()
        _held[task] = problem(*task)
    held = _held[task]
    strategies = (remembering(make("strategies", spec, Strategy, held.space), promises) for _ in seeds)
    return [
        Simulation(strategy, held, seed, workers, again=again).run()
        for strategy, seed in zip(strategies, seeds, strict=True)
    ]


def courses(task: Task, spec: str, args: argparse.Namespace, pool: ProcessPoolExecutor | None) -> list[Course]:
    """As `play`, in order of the seeds, however many processes there are."""
    chunks = [range(first, min(first + CHUNK, args.seeds)) for first in range(0, args.seeds, CHUNK)]
    how = args.workers, args.again, args.promises
    if pool is None:
        return [course for chunk in chunks for course in play(task, spec, chunk, *how)]
    futures = [pool.submit(play, task, spec, chunk, *how) for chunk in chunks]
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


def head(which: str, reported: str) -> list[str]:
    figures = {
        "a": [reported, "queries"],
        "b": ["queries to the best", "median", f"within {AT['b'][1]}", f"not in {CAP:,}"]
        + [f"{reported} at {n}" for n in AT["b"]],
        "c": [f"median {reported} at {n}" for n in AT["c"]],
    }
    return [*figures[which], "told/query"]


ROWS = {"a": row_a, "b": row_b, "c": row_c}


def names(which: str) -> list[str]:
    return list(fcnet.DATASETS if which == "c" else cells.DATASETS)


def tasks(which: str, data: Path | None, on: Sequence[str]) -> list[Task]:
    if which == "c":
        return [(which, name, None, budgeted) for budgeted in (False, True) for name in on]
    return [(which, name, data, False) for name in on]


def compare(args: argparse.Namespace, pool: ProcessPoolExecutor | None) -> list[Panel]:
    """Print a table for each problem."""
    panels = []
    for task in tasks(args.which, args.data, args.on or names(args.which)):
        held = problem(*task)
        title, rows, found = held.name, [], {}
        if held.space.budget is not None:
            title += f", budget {held.space.budget.most:,}"
        for spec in args.strategies:
            found[spec] = courses(task, spec, args, pool)
            rows.append([spec, *ROWS[args.which](held, found[spec])])
        print(f"\n{markdown([title, *head(args.which, held.reported)], rows)}", flush=True)
        panels.append(Panel(title, held, found, queries=AT.get(args.which, (0,))[-1]))
    return panels


def check(args: argparse.Namespace) -> None:
    """Raise `ValueError` before hours have been spent."""
    if args.seeds is not None and args.seeds < 2:
        raise ValueError(f"--seeds must be at least 2, since an interval needs two runs, got {args.seeds}")
    if unknown := set(args.on or ()) - set(names(args.which)):
        raise ValueError(f"--on {' '.join(sorted(unknown))}: ({args.which}) has {', '.join(names(args.which))}")
    if args.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {args.workers}")
    if args.plot is not None and not args.plot.absolute().parent.is_dir():
        raise ValueError(f"--plot {args.plot}: there is no folder {args.plot.parent}; make it first")


def run(args: argparse.Namespace) -> None:
    check(args)
    args.seeds = args.seeds or SEEDS.get(args.which, 0)
    if args.data is None and args.which in ("a", "b"):
        print("Without --data there are no accuracies after 12 epochs, and none of the test images.\n", flush=True)
    if args.which == "time":
        print(timing.measure(args.strategies, problem("b", "cifar10", args.data)))
        return
    print(f"{args.seeds} seeds, {args.workers} worker(s); 95 % intervals.", flush=True)
    if args.processes == 1:
        panels = compare(args, None)
    else:
        with _pool(args.processes) as pool:
            panels = compare(args, pool)
    if args.plot is not None:
        draw(panels, args.plot)


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", choices=(*SEEDS, "time"))
    parser.add_argument("--strategies", nargs="+", metavar="SPEC", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, help="number of runs, at least 2; default: 500 of a, 200 of b and c")
    parser.add_argument("--data", type=Path, metavar="FILE", help="nasbench201.csv.gz")
    parser.add_argument("--on", nargs="+", metavar="DATASET", help="of those that the protocol has; default: all")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    parser.add_argument("--again", action="store_true", help="a training costs its time each time it is asked for")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=1, help="that play runs")
    parser.add_argument(
        "--promises", type=Path, metavar="FILE", help="proxies of all cells, by benchmarks.proxies table"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="best so far, as .png or .svg")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        run(args)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
