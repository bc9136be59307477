"""Does the model of latency say how long networks take that it has not seen? And does their size?

A seed draws networks of a space and times them, in turn; the model is fitted to 48 of them and asked of the 24 others.
Its relative error, half of them and nine in ten below it, and Spearman's rank correlation with the times: of the model,
of the number of parameters, of FLOPs. `repeat` is the relative difference of timing the same networks again, median.

    python -m benchmarks.latency
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.tables import interval, markdown
from nas import plugins
from nas.budget import Budget
from nas.latency import NETWORKS, Latency
from nas.ops import Shape
from nas.space import SearchSpace
from nas.train.latency import milliseconds

FRESH = 24
SPACES: dict[str, tuple[str, int, Shape, int]] = {  # its name, budget, shape of a sample, classes
    "mlp, 20K, digits": ("mlp", 20_000, (1, 8, 8), 10),
    "mlp, 20M, 51 frames of 28": ("mlp", 20_000_000, (51, 28), 11),
    "cnn, 300K, 3 x 32 x 32": ("cnn", 300_000, (3, 32, 32), 10),
    "cell, 300K, 3 x 32 x 32": ("cell", 300_000, (3, 32, 32), 10),
}
CPU = torch.device("cpu")


def run(what: tuple[str, int, Shape, int], seed: int) -> list[float]:
    """Error (median, nine in ten), repeat, rank correlations of model, parameters, FLOPs; least and most ms."""
    name, budget, shape, classes = what
    space: SearchSpace = plugins.make("search_spaces", name, SearchSpace, shape, classes, Budget(budget))
    rng = np.random.default_rng(seed)
    networks = [space.sample(rng).architecture for _ in range(NETWORKS + FRESH)]
    first, second = (np.array(milliseconds(networks, CPU)) for _ in range(2))
    model, fresh = Latency.fit(networks[:NETWORKS], first[:NETWORKS].tolist()), networks[NETWORKS:]
    said, took = np.array([model(network) for network in fresh]), first[NETWORKS:]
    middle, most = np.quantile(np.abs(said / took - 1), (0.5, 0.9))
    sizes = [[network.num_params for network in fresh], [network.flops for network in fresh]]
    ranks = [float(spearmanr(each, took).statistic) for each in (said, *sizes)]
    return [middle, most, float(np.median(np.abs(second / first - 1))), *ranks, took.min(), took.max()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(SPACES), default=list(SPACES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in args.only:
        found = np.array([run(SPACES[name], seed) for seed in range(args.seeds)])
        errors = [f"{value:.0%}" for value in np.median(found[:, :3], axis=0)]
        ranks = ["{:.2f} ± {:.2f}".format(*interval(column)) for column in found[:, 3:6].T]
        rows.append([name, f"{found[:, 6].min():.2g}-{found[:, 7].max():.2g}", *errors, *ranks])
    print(markdown(["space", "ms", "error", "nine in ten", "repeat", "model", "parameters", "FLOPs"], rows))


if __name__ == "__main__":
    main()
