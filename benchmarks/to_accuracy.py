"""How long searches, ours and others, take to a first network of so much validation accuracy (`--goal`).

digits: perceptrons of at most 20K parameters, 97 %. frames: of at most 1M, on the frames of speech in a folder as hw1p2
has them, 93 %. Ours is `nas.search` as it comes, on two workers. The peers search depth, widths, learning rate and
activation, and call the plain loop, on frames with windows of 15 either side; what is over the budget they give back
untrained. All train for as many epochs, runs are in processes of their own, in turn, and one that has not come so far
when its time is over counts with all of it. All are asked after every epoch. With `--same-space` ours searches no more
than the peers do.

    python -m benchmarks.to_accuracy
    python -m benchmarks.to_accuracy --only ray ray-asha --seeds 3
    python -m benchmarks.to_accuracy frames --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.isolated import measured, missing, run
from benchmarks.peers.goal import ACTIVATIONS, PROBLEMS, Problem
from benchmarks.tables import markdown

SEEDS = 5
CONTEXT = 15  # frames either side, of the peers
Search = Callable[[str, str, int, Problem], float]  # file of the data, folder, seed, problem -> seconds
SAME = {  # of our space, what the peers have
    "shape": ["free"],
    "depth": [1, 2, 3],
    "norm": ["none"],
    "skip": [False],
    "activation": list(ACTIVATIONS),
    "dropout": [0.0],
    "optimizer": ["adam"],
    "lr": [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2],
    "weight_decay": [0.0],
    "schedule": ["constant"],
    "initialisation": ["kaiming_normal"],
    "label_smoothing": [0.0],
}
PEERS = {
    "optuna": "optuna.search",
    "optuna-pruner": "optuna.search_pruned",
    "ray": "ray.search",
    "ray-asha": "ray.search_asha",
}


def ours(seed: int, folder: str, data: str, problem: Problem, same_space: bool) -> None:
    """Ends the process at the goal."""
    from sklearn.datasets import load_digits

    import nas
    from benchmarks.ours import ready
    from nas.events import Monitor
    from nas.trial import Trial

    ready()
    given = f"hw1p2:{data}" if data else load_digits(return_X_y=True)
    start = time.perf_counter()

    class Goal(Monitor):
        def told(self, trial: Trial) -> None:
            if trial.values and trial.value >= problem.accuracy:
                _reached(start)

    watched = Path(folder) / "run" / "live" / "search", problem.accuracy, start
    threading.Thread(target=_watch, args=watched, daemon=True).start()
    options: dict[str, Any] = {"trials": 10_000, "epochs": problem.epochs, "final_epochs": 0, "baseline": False}
    if same_space:
        options["fix"] = {**SAME, "batch_size": [problem.batch], **({"context": [CONTEXT]} if data else {})}
    place: dict[str, Any] = {"workers": 2, "device": "cpu", "out": f"{folder}/run"}
    nas.search("mlp", problem.parameters, given, seed=seed, monitors=[Goal()], **place, **options)


def _reached(start: float) -> None:
    measured([time.perf_counter() - start])
    os._exit(0)  # the rest of the job is not what is measured


def _watch(live: Path, accuracy: float, start: float) -> None:
    """Look at the epochs of the trials that run; the last one of a trial is the monitor's to see."""
    while True:
        for file in live.glob("*.jsonl"):
            with suppress(FileNotFoundError, ValueError):  # it has ended, or a line is half written
                if any(json.loads(row).get("val_accuracy", 0) >= accuracy for row in file.read_text().splitlines()):
                    _reached(start)
        time.sleep(0.02)


def child(who: str, seed: int, name: str, goal: float, data: str, file: str, folder: str, same_space: bool) -> None:
    """One run: seconds to the goal, no more than the limit."""
    problem = replace(PROBLEMS[name], accuracy=goal)

    def give_up() -> None:
        measured([problem.limit])
        os._exit(0)

    search = None if who == "ours" else _peer(who)
    late = threading.Timer(problem.limit + (60 if search else 0), give_up)  # a framework takes its time to end
    late.daemon = True
    late.start()
    if search is None:
        ours(seed, folder, data, problem, same_space)
    else:
        measured([min(problem.limit, search(file, folder, seed, problem))])


def _peer(who: str) -> Search:
    import torch

    torch.set_num_threads(1)
    module, _, function = PEERS[who].partition(".")
    search: Search = getattr(import_module(f"benchmarks.peers.{module}"), function)
    return search


def row(who: str, args: argparse.Namespace, goal: float) -> list[str]:
    """One line: medians, the ratio of the medians, and the least and the largest ratio of a pair."""
    from benchmarks.workload import all_frames, write

    mine, theirs, limit = [], [], PROBLEMS[args.problem].limit
    with TemporaryDirectory() as folder:
        for seed in range(args.seeds):
            small = partial(write, "small", "", Path(folder), seed)
            file = all_frames(args.data, Path(folder), CONTEXT, seed) if args.data else small().file
            given = {"seed": seed, "name": args.problem, "goal": goal, "data": args.data, "file": file}
            given["same_space"] = args.same_space
            mine += run("benchmarks.to_accuracy", "ours", given)
            theirs += run("benchmarks.to_accuracy", who, given)
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    medians = [statistics.median(times) for times in (mine, theirs)]
    times = f"{medians[1] / medians[0]:.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
    late = f"{sum(t >= limit for t in mine)}, {sum(t >= limit for t in theirs)}"
    return [who, str(args.seeds), *(f"{m:.1f}" for m in medians), times, late]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("problem", nargs="?", choices=list(PROBLEMS), default="digits")
    parser.add_argument("--data", default="", metavar="FOLDER", help="of frames, as hw1p2 has them")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS), help="peers")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--goal", type=float, help="validation accuracy, if not the usual")
    parser.add_argument("--same-space", action="store_true", help="ours searches what the peers search, no more")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], **json.loads(args.child[1]))
        return
    if bool(args.data) != (args.problem == "frames"):
        parser.error("frames needs --data FOLDER, and digits takes none")
    goal, rows = args.goal or PROBLEMS[args.problem].accuracy, []
    for who in args.only:
        if missing(who):
            continue
        rows.append(row(who, args, goal))
        print(f"| {' | '.join(rows[-1])} |", file=sys.stderr, flush=True)
    print(markdown(["peer", "seeds", "ours, s", "peer, s", "times faster (pairs)", "late: ours, peer"], rows))


if __name__ == "__main__":
    main()
