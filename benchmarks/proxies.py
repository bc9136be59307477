"""What zero-cost proxies know of networks that were trained, what they cost, and what searches gain by them.

    python -m benchmarks.proxies cells --data nasbench201.csv.gz --images FOLDER
    python -m benchmarks.proxies mlps
    python -m benchmarks.proxies table --images FOLDER --to promises.npz

cells: Spearman's rank correlation with the validation accuracies of a sample of NAS-Bench-201, and with the same proxy
in a small skeleton, one cell a stage on images of half the height. mlps: perceptrons of our own space, drawn at random
and trained for 27 epochs on scikit-learn's digits: the correlation, and how much better the best of ten networks is
where each of them is the most promising of four. table: all cells in the small skeleton, which takes an hour, for
`python -m benchmarks.strategies b --promises promises.npz`.

FOLDER holds images by class; without it cells see normal noise. Milliseconds are of the processor, for a network that
is made anew for each proxy.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from benchmarks.fidelity import EPOCHS, train_table
from benchmarks.tables import markdown
from benchmarks.tabular import cells, promises
from nas.budget import Budget
from nas.data.digits import Digits
from nas.data.imagefolder import ImageFolder
from nas.dataset import Dataset
from nas.proxies import COUNTED, MEASURED, Proxies
from nas.space import Candidate
from search_spaces.mlp import MLP

NAMES = (*MEASURED, *COUNTED)
PICKS, OF, ROUNDS = 10, 4, 4000  # networks of a search, choices for each of them, searches


def measured(name: str, candidates: Sequence[Candidate], data: Dataset | None) -> tuple[np.ndarray, float]:
    """A proxy of each candidate, and the milliseconds of the processor that one takes."""
    proxies = Proxies(name)
    proxies.look(data)
    proxies(candidates[0])  # reads the data
    start = time.process_time()
    values = np.array([proxies(candidate)[0] for candidate in candidates])
    return values, 1000 * (time.process_time() - start) / len(candidates)


def correlation(a: np.ndarray, b: np.ndarray) -> str:
    """Spearman's, and half of its 95 % interval, by Fisher's z whose deviation is 1.03 / sqrt(n - 3)."""
    rho = float(stats.spearmanr(a, b).statistic)
    return f"{rho:.2f} ± {1.96 * 1.03 / np.sqrt(len(a) - 3) * (1 - rho**2):.2f}"


def images(folder: Path | None, size: int) -> Dataset | None:
    return None if folder is None else ImageFolder(str(folder), size=size).load(0)


def of_cells(data: Path | None, folder: Path | None, number: int) -> str:
    table = cells.figures(data)
    rows = np.random.default_rng(0).choice(len(table["cifar10_val200"]), number, replace=False)
    full, small = cells.Cells((3, 32, 32), 10), promises.small()
    sampled = [[every[row] for row in rows] for every in ([*full], [*small])]
    seen = [images(folder, size) for size in (32, promises.SMALL)]
    lines = []
    for name in NAMES:
        (values, ms), (shrunk, less) = (measured(name, *of) for of in zip(sampled, seen, strict=True))
        found = [correlation(values, table[f"{dataset}_val200"][rows]) for dataset in cells.DATASETS]
        lines.append([name, *found, f"{ms:.1f}", correlation(values, shrunk), f"{less:.1f}"])
    return markdown(["proxy", *cells.DATASETS.values(), "ms", "with small", "ms, small"], lines)


def of_mlps(number: int) -> str:
    table = train_table(MLP((1, 8, 8), 10, Budget(50_000)), number)
    accuracies = 100 * np.array([curve[EPOCHS - 1] for _, curve in table])
    better = accuracies > np.median(accuracies)
    dealt = np.array([np.random.default_rng(n).permutation(number)[: PICKS * OF] for n in range(ROUNDS)])
    dealt = dealt.reshape(ROUNDS, PICKS, OF)
    random = accuracies[dealt[:, :, 0]].max(1)
    print(f"Best of {PICKS} at random: {random.mean():.2f} %; best of all {number}: {accuracies.max():.2f} %.\n")
    lines = []
    for name in NAMES:
        values, ms = measured(name, [candidate for candidate, _ in table], Digits().load(0))
        first = values[dealt].argmax(2)[:, :, np.newaxis]
        picked = accuracies[np.take_along_axis(dealt, first, 2)[:, :, 0]].max(1)
        found = [correlation(values, accuracies), correlation(values[better], accuracies[better])]
        lines.append([name, *found, f"{ms:.1f}", f"{np.mean(picked - random):+.2f}"])
    return markdown(["proxy", "all", "better half", "ms", f"best of {PICKS}, points more"], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", choices=("cells", "mlps", "table"))
    parser.add_argument("--data", type=Path, metavar="FILE", help="nasbench201.csv.gz")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="images by class, such as CIFAR-10's")
    parser.add_argument("--networks", type=int, default=500, help="that are measured, of mlps trained too")
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
            promises.write(args.to, images(args.images, promises.SMALL))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
