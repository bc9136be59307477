"""How long a search takes to its first network of 97 % validation accuracy on digits, ours and those of others.

All search perceptrons of at most 20K parameters, trained for up to 20 epochs on the same part of the data. Ours is
`nas.search` as it comes, on two workers. The peers search depth, widths, learning rate and activation, and call the
plain loop; what is over the budget they give back untrained. Runs are in processes of their own, in turn, and end after
120 seconds: one that has not come so far is counted with 120.

    python -m benchmarks.to_accuracy
    python -m benchmarks.to_accuracy --only ray ray-asha --seeds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.isolated import measured, missing, run
from benchmarks.peers.goal import EPOCHS, GOAL, LIMIT, PARAMETERS
from benchmarks.tables import markdown

SEEDS = 5
PEERS = {
    "optuna": "optuna.search",
    "optuna-pruner": "optuna.search_pruned",
    "ray": "ray.search",
    "ray-asha": "ray.search_asha",
}


def ours(seed: int, folder: str) -> None:
    """Ends the process at the goal."""
    import nas
    from benchmarks.ours import ready
    from nas.events import Monitor
    from nas.trial import Trial

    ready()
    start = time.perf_counter()

    class Goal(Monitor):
        def told(self, trial: Trial) -> None:
            if trial.values and trial.value >= GOAL:
                measured([time.perf_counter() - start])
                os._exit(0)  # the rest of the job is not what is measured

    options = {"trials": 10_000, "epochs": EPOCHS, "workers": 2, "device": "cpu", "baseline": False}
    nas.search("mlp", PARAMETERS, seed=seed, final_epochs=0, monitors=[Goal()], out=f"{folder}/run", **options)


def child(who: str, seed: int, file: str, folder: str) -> None:
    """One run: seconds to the goal, no more than the limit."""

    def give_up() -> None:
        measured([LIMIT])
        os._exit(0)

    search = None if who == "ours" else _peer(who)
    late = threading.Timer(LIMIT + 60, give_up)  # for a framework that does not end in time; imports are not in it
    late.daemon = True
    late.start()
    if search is None:
        patience = threading.Timer(LIMIT, give_up)
        patience.daemon = True
        patience.start()
        ours(seed, folder)
        return
    measured([min(LIMIT, search(file, folder, seed))])


def _peer(who: str):  # type: ignore[no-untyped-def]  # (file, folder, seed) -> seconds
    import torch

    torch.set_num_threads(1)
    module, _, function = PEERS[who].partition(".")
    return getattr(import_module(f"benchmarks.peers.{module}"), function)


def row(who: str, seeds: int) -> list[str]:
    """One line: medians, the ratio of the medians, and the least and the largest ratio of a pair."""
    from benchmarks.workload import write

    mine, theirs = [], []
    for seed in range(seeds):
        with TemporaryDirectory() as folder:
            given = {"seed": seed, "file": write("small", "", Path(folder), seed).file}
            mine += run("benchmarks.to_accuracy", "ours", given)
            theirs += run("benchmarks.to_accuracy", who, given)
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    medians = [statistics.median(times) for times in (mine, theirs)]
    times = f"{medians[1] / medians[0]:.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
    late = f"{sum(t >= LIMIT for t in mine)}, {sum(t >= LIMIT for t in theirs)}"
    return [who, str(seeds), *(f"{m:.1f}" for m in medians), times, late]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS), help="peers")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], **json.loads(args.child[1]))
        return
    rows = []
    for who in args.only:
        if missing(who):
            continue
        rows.append(row(who, args.seeds))
        print(f"| {' | '.join(rows[-1])} |", file=sys.stderr, flush=True)
    print(markdown(["peer", "seeds", "ours, s", "peer, s", "times faster (pairs)", "late: ours, peer"], rows))


if __name__ == "__main__":
    main()
