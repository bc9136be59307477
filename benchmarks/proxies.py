"""What zero-cost proxies know of networks that were trained, what they cost, and what a filter gains by them.

    python -m benchmarks.proxies mlps
    python -m benchmarks.proxies cells --data nasbench201.csv.gz --images FOLDER
    python -m benchmarks.proxies table --images FOLDER --to promises.npz

mlps: perceptrons of our own space, drawn at random and trained on scikit-learn's digits, many as one. Beside the rank
correlations: how much better, in points, the best of ten networks is than the best of ten at random where each is the
most promising of four; and than the best of as many more at random as could have been trained in the processor's time
that the proxies took. cells: NAS-Bench-201's validation accuracies, and the proxies in a small skeleton, one cell a
stage on images of half the height; what some of them take in the full one, and whether their order is the same. table:
all cells in the small skeleton, for `python -m benchmarks.strategies b --promises promises.npz`.

FOLDER holds images by class; without it cells see normal noise. Intervals are of 95 %, by drawing the networks anew
with replacement. Milliseconds are of the processor, for a network that is made anew for each proxy.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from benchmarks.fidelity import EPOCHS
from benchmarks.tables import markdown
from benchmarks.tabular import cells, promises
from nas.budget import Budget
from nas.data.digits import Digits
from nas.data.imagefolder import ImageFolder
from nas.dataset import Dataset
from nas.evaluate import Stopping, Training
from nas.job import Job, Outcome
from nas.packs import Waiting
from nas.proxies import COUNTED, MEASURED, Proxies
from nas.space import Candidate, SearchSpace
from nas.train.fused.plan import together
from search_spaces.mlp import MLP

NAMES = (*MEASURED, *COUNTED)
PICKS, OF, ROUNDS = 10, 4, 1000  # networks of a search, choices for each of them, searches
FULL = 12  # cells that are measured in the skeleton of the benchmark
SAMPLES = 200  # of the networks, with replacement


def measured(name: str, candidates: Sequence[Candidate], data: Dataset | None) -> tuple[np.ndarray, float]:
    """A proxy of each candidate, and the milliseconds of the processor that one takes."""
    proxies = Proxies(name)
    proxies.look(data)
    proxies(candidates[0])  # reads the data
    proxies.look(data)
    start = time.process_time()
    values = np.array([proxies(candidate)[0] for candidate in candidates])
    return values, 1000 * (time.process_time() - start) / len(candidates)


def bounded(figures: Callable[[np.ndarray], Sequence[float]], number: int) -> list[str]:
    """What `figures` says of networks, given by their rows, and half of its interval."""
    rng = np.random.default_rng(0)
    spread = np.std([figures(rng.integers(number, size=number)) for _ in range(SAMPLES)], axis=0)
    return [f"{value:+.2f} ± {1.96 * s:.2f}" for value, s in zip(figures(np.arange(number)), spread, strict=True)]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(stats.spearmanr(a, b).statistic)


def images(folder: Path | None, size: int) -> Dataset | None:
    return None if folder is None else ImageFolder(str(folder), size=size).load(0)


def of_cells(data: Path | None, folder: Path | None, number: int) -> str:
    table = cells.figures(data)
    rows = np.random.default_rng(0).choice(len(table["cifar10_val200"]), number, replace=False)
    accuracies = [table[f"{dataset}_val200"][rows] for dataset in cells.DATASETS]
    small, full = [*promises.small()], [*cells.Cells((3, 32, 32), 10)]
    params = np.array([full[row].architecture.num_params for row in rows])
    lines = []
    for name in NAMES:
        values, ms = measured(name, [small[row] for row in rows], images(folder, promises.SMALL))
        large, more = measured(name, [full[row] for row in rows[:FULL]], images(folder, 32))

        def figures(chosen: np.ndarray, values: np.ndarray = values) -> list[float]:
            ranks = [spearman(values[chosen], seen[chosen]) for seen in accuracies]
            return [*ranks, ranks[0] - spearman(params[chosen], accuracies[0][chosen])]

        same = f"{spearman(values[:FULL], large):.2f}"
        lines.append([name, *bounded(figures, number), f"{ms:.1f}", f"{more:.1f}", same])
    ahead = f"{cells.DATASETS['cifar10']}, ahead of params"
    return markdown(["proxy", *cells.DATASETS.values(), ahead, "ms", "ms, full", "with full"], lines)


def trained(space: SearchSpace, number: int) -> tuple[list[Candidate], np.ndarray, float]:
    """Networks, their validation accuracies in points, and the milliseconds of the processor that one takes."""
    candidates = [space.sample(np.random.default_rng((0, seed))) for seed in range(number)]
    training = Training(Digits().load(0), Stopping(EPOCHS, patience=EPOCHS))
    training.prepare("cpu")
    accuracies, waiting = np.zeros(number), Waiting(together)
    for n, candidate in enumerate(candidates):
        waiting.add(Job(n, candidate, n))
    start = time.process_time()
    while len(waiting):
        jobs = waiting.take(number)
        for position, outcome in training.together(jobs):
            accuracies[jobs[position].number] = 100 * outcome.values[0] if isinstance(outcome, Outcome) else 0.0
    return candidates, accuracies, 1000 * (time.process_time() - start) / number


def gains(values: np.ndarray, accuracies: np.ndarray, affordable: int) -> list[float]:
    """Of the best of `PICKS` networks, chosen by `values`, ahead of as many at random and of `affordable` many."""
    rng = np.random.default_rng(0)
    dealt = np.array([rng.permutation(len(values))[: PICKS * OF] for _ in range(ROUNDS)]).reshape(ROUNDS, PICKS, OF)
    promising = values[dealt].argmax(2)[:, :, np.newaxis]
    best = accuracies[np.take_along_axis(dealt, promising, 2)].max((1, 2))
    random = accuracies[dealt.transpose(0, 2, 1).reshape(ROUNDS, -1)]
    return [float((best - random[:, :many].max(1)).mean()) for many in (PICKS, affordable)]


def of_mlps(number: int) -> str:
    candidates, accuracies, cost = trained(MLP((1, 8, 8), 10, Budget(50_000)), number)
    print(
        f"{number} networks, {cost:.0f} ms of the processor each; the best has {accuracies.max():.2f} %.\n", flush=True
    )
    params = np.array([candidate.architecture.num_params for candidate in candidates])
    lines = []
    for name in NAMES:
        values, ms = measured(name, candidates, Digits().load(0))
        affordable = min(PICKS * OF, PICKS + round(PICKS * OF * ms / cost)) if name in MEASURED else PICKS

        def figures(rows: np.ndarray, values: np.ndarray = values, affordable: int = affordable) -> list[float]:
            promised, seen = values[rows], accuracies[rows]
            tau, rank = float(stats.kendalltau(promised, seen).statistic), spearman(promised, seen)
            return [tau, rank, rank - spearman(params[rows], seen), *gains(promised, seen, affordable)]

        lines.append([name, *bounded(figures, number), str(affordable), f"{ms:.1f}"])
    head = [
        "Kendall's tau",
        "Spearman's rho",
        "ahead of params",
        f"best of {PICKS}",
        "at equal cost",
        "that many",
        "ms",
    ]
    return markdown(["proxy", *head], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", choices=("mlps", "cells", "table"))
    parser.add_argument("--data", type=Path, metavar="FILE", help="nasbench201.csv.gz")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="images by class, such as CIFAR-10's")
    parser.add_argument("--networks", type=int, default=200, help="that are measured, of mlps trained too")
    parser.add_argument("--proxies", default="+".join(promises.ALIKE), help="of the table")
    parser.add_argument("--to", type=Path, metavar="FILE", help="where the table goes, .npz")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        if args.networks < PICKS * OF:
            raise ValueError(f"--networks must be at least {PICKS * OF}, got {args.networks}")
        if args.which == "cells":
            print(of_cells(args.data, args.images, args.networks))
        elif args.which == "mlps":
            print(of_mlps(args.networks))
        elif args.to is None or not args.to.absolute().parent.is_dir():
            raise ValueError(f"--to must be a file in a folder that is there, got {args.to}")
        else:
            promises.write(args.to, Proxies(args.proxies).names, images(args.images, promises.SMALL))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
