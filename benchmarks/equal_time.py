"""What searches of equal wall time hand over on two real tasks, strategy by strategy: digits, and frames of speech.

`nas.search` as it comes, on two workers: half of the time is the search's, on a fifth of the frames; the other half
goes into the final training of its best networks, with fresh seeds and on all. What is compared is what a user gets:
the accuracy of the network handed over on the test part, and the mean of its final trainings on the validation part. A
seed is a split of the digits; all strategies meet the same, in turn, each run in a process of its own.

    python -m benchmarks.equal_time digits
    python -m benchmarks.equal_time frames --data FOLDER --time 180 --seeds 5
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.isolated import measured, run
from benchmarks.tables import interval, markdown

TASKS: dict[str, dict[str, Any]] = {
    "digits": {"data": "digits", "budget": "20K", "time": 30.0, "epochs": 20},
    "frames": {"budget": "50K", "time": 180.0, "epochs": 8, "sample": 0.2},
}
STRATEGIES = ("random", "evolution", "predictor", "local", "reinforce", "asha:inner=evolution")
Runs = dict[str, list[list[float]]]  # of each strategy a run for every seed: test, validation, trials


def child(strategy: str, task: str, seed: int, data: str, seconds: float, folder: str) -> None:
    import nas

    options = {**TASKS[task], "time": seconds, **({"data": f"hw1p2:{data}"} if data else {})}
    result = nas.search(
        "mlp", strategy=strategy, seed=seed, workers=2, device="cpu", report=False, out=f"{folder}/run", **options
    )
    assert result.test_accuracy is not None
    mean = result.finalists[0].mean if result.finalists else result.best.value
    measured([100 * result.test_accuracy, 100 * mean, len(result.trials)])


def table(runs: Runs) -> str:
    """A line a strategy: means with intervals, and the mean of its ranks on the test part, 1 for the best of a seed."""
    tests = np.array([[test for test, _, _ in found] for found in runs.values()])  # (strategies, seeds)
    ranks = stats.rankdata(-tests, axis=0).mean(1)
    rows = []
    for spec, found, rank in zip(runs, runs.values(), ranks, strict=True):
        test, validation, trials = zip(*found, strict=True)
        shown = ["{:.2f} ± {:.2f}".format(*interval(values)) for values in (test, validation)]
        rows.append([spec, *shown, f"{np.mean(trials):.0f}", f"{rank:.1f}"])
    return markdown(["strategy", "test, %", "validation, %", "trials", "mean rank"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("task", nargs="?", choices=list(TASKS), default="digits")
    parser.add_argument("--data", default="", help="folder of frames, as hw1p2 has them")
    parser.add_argument("--strategies", nargs="+", metavar="SPEC", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--time", type=float, help="seconds of each run")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        child(args.child[0], **json.loads(args.child[1]))
        return
    if args.task == "frames" and not args.data:
        parser.error("frames are read from --data FOLDER")
    given = {"task": args.task, "data": args.data, "seconds": args.time or TASKS[args.task]["time"]}
    runs: Runs = {spec: [] for spec in args.strategies}
    for seed in range(args.seeds):
        for spec in args.strategies:
            runs[spec].append(run("benchmarks.equal_time", spec, {**given, "seed": seed}))
            print(seed, spec, *(f"{value:.2f}" for value in runs[spec][-1]), file=sys.stderr, flush=True)
    print(table(runs))


if __name__ == "__main__":
    main()
