"""Whole searches whose small networks are trained together, and as many one by one.

    python -m benchmarks.fused
    python -m benchmarks.fused --data hw1p2:FOLDER --sample 0.2 --budgets 50K --trials 40 --epochs 4

Two workers of one thread, seconds from the start of the search to its last trial: what a user waits for, asks and logs
included. In turn A B A B, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks.isolated import measured, run
from benchmarks.tables import markdown

STRATEGIES, BUDGETS = ("predictor", "random", "asha:inner=random"), ("5K", "20K")


def child(strategy: str, folder: str, budget: str, **options: Any) -> None:
    """What one search took, in this process."""
    import nas

    options |= {"final_epochs": 0, "baseline": False, "report": False, "device": "cpu", "workers": 2}
    result = nas.search("mlp", budget, strategy=strategy, out=f"{folder}/run", **options)
    own = [trial for trial in result.trials if trial.values and trial.copy_of is None]
    measured(
        [
            max(trial.elapsed for trial in result.trials),
            sum(trial.metrics["epochs"] for trial in own),
            100 * max(trial.value for trial in own),
            statistics.mean(trial.metrics.get("together", 1) for trial in own),
        ]
    )


def row(strategy: str, pairs: int, given: dict[str, Any]) -> list[str]:
    """Medians, the ratio of the medians, and the least and the largest ratio of a pair."""
    both = [
        [run("benchmarks.fused", strategy, {**given, "fused": fused}) for fused in (True, False)] for _ in range(pairs)
    ]
    ours, others = (
        [statistics.median(values) for values in zip(*side, strict=True)] for side in zip(*both, strict=True)
    )
    ratios = [other[0] / own[0] for own, other in both]
    spread = f"{others[0] / ours[0]:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    epochs, best = f"{ours[1]:.0f} / {others[1]:.0f}", f"{ours[2]:.2f} / {others[2]:.2f}"
    return [strategy, given["budget"], f"{ours[3]:.1f}", epochs, best, f"{ours[0]:.1f}", f"{others[0]:.1f}", spread]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=120, help="of each search")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--sample", type=float, default=1.0, help="share of the training part")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--budgets", nargs="+", default=BUDGETS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], **json.loads(args.child[1]))
        return
    given = {name: getattr(args, name) for name in ("trials", "epochs", "data", "sample")}
    rows = [
        row(strategy, args.pairs, {**given, "budget": budget})
        for strategy in args.strategies
        for budget in args.budgets
    ]
    times = ["seconds", "seconds, one by one", "times faster (pairs)"]
    print(markdown(["strategy", "budget", "together", "epochs", "best, %", *times], rows))


if __name__ == "__main__":
    main()
