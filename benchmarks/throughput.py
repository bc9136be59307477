"""How long the same fixed networks take us and others: a plain PyTorch loop, and the frameworks that call it.

The same perceptrons on the same arrays for as many epochs, by Adam at the same rate from the same initialisation; mean
validation accuracy stands beside the times, so that nobody is fast by learning less. Every run is in a process of its
own, in turn ours, peer, ours, peer. The clock runs from the call to its return, with all data read and all packages
imported (for our workers: their fork server is up); workers, actors and trial processes are started while it runs.

    python -m benchmarks.throughput small
    python -m benchmarks.throughput small --only ray ray-reused nni --pairs 3
    python -m benchmarks.throughput medium --only plain --data FOLDER
    python -m benchmarks.throughput large --only plain
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.isolated import measured, missing, run
from benchmarks.peers.task import Task
from benchmarks.tables import markdown

PAIRS = 5
PEERS = {  # and the function that does the work
    "plain": "plain.run",
    "optuna": "optuna.run",
    "ray": "ray.run",
    "ray-reused": "ray.reused",
    "nni": "nni.run",
}


class Run(NamedTuple):
    """Seconds from the call to its return, those of the whole process, and the mean accuracy in percent."""

    seconds: float
    process: float
    accuracy: float


def child(who: str, task: Task) -> None:
    """One run in this process: its seconds and its mean accuracy."""
    if who == "ours":
        ours = import_module("benchmarks.ours")
        ours.ready()
        train = ours.run
    else:
        import torch

        torch.set_num_threads(1)
        module, _, function = PEERS[who].partition(".")
        train = getattr(import_module(f"benchmarks.peers.{module}"), function)
    start = time.perf_counter()
    accuracies = train(task)
    seconds = time.perf_counter() - start
    assert len(accuracies) == len(task.networks), accuracies
    measured([seconds, 100 * statistics.mean(accuracies)])


def measure(who: str, task: Task) -> Run:
    start = time.perf_counter()
    seconds, accuracy = run("benchmarks.throughput", who, asdict(task))
    return Run(seconds, time.perf_counter() - start, accuracy)


def row(who: str, task: Task, pairs: int) -> list[str]:
    """One line: medians, the ratio of the medians, and the least and the largest ratio of a pair."""
    mine, theirs = [], []
    for _ in range(pairs):
        mine.append(measure("ours", task))
        theirs.append(measure(who, task))
    medians = [[statistics.median(column) for column in zip(*runs, strict=True)] for runs in (mine, theirs)]
    ratios = [b.seconds / a.seconds for a, b in zip(mine, theirs, strict=True)]
    times = f"{medians[1][0] / medians[0][0]:.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
    whole = f"{medians[1][1] / medians[0][1]:.1f}"
    shown = [f"{medians[0][0]:.2f}", f"{medians[1][0]:.2f}", times, whole]
    return [who, str(pairs), *shown, f"{medians[0][2]:.2f}", f"{medians[1][2]:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description="The same fixed networks: our time, and that of others.")
    parser.add_argument("workload", nargs="?", choices=("small", "medium", "large"), default="small")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="runs of ours and of the peer")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS), help="peers")
    parser.add_argument("--data", default="", help="folder of frames, as hw1p2 has them; without it they are made up")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], Task(**json.loads(args.child[1])))
        return
    from benchmarks.workload import write

    head = ["peer", "pairs", "ours, s", "peer, s", "times faster (pairs)", "whole process", "ours, %", "peer, %"]
    with TemporaryDirectory() as folder:
        task, rows = write(args.workload, args.data, Path(folder)), []
        for who in args.only:
            if missing(who):
                continue
            rows.append(row(who, task, args.pairs))
            print(f"| {' | '.join(rows[-1])} |", file=sys.stderr, flush=True)
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
