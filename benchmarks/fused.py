"""Whole searches whose small networks are trained together, and as many one by one. `python -m benchmarks.fused`.

The bundled digits, two workers of one thread, seconds from the start of the search to its last trial: what a user waits
for, asks and logs included. In turn A B A B, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.tables import markdown

STRATEGIES, BUDGETS = ("evolution", "random", "asha:inner=random"), ("5K", "20K")
PAIRS, TRIALS, EPOCHS = 5, 120, 12


def child(strategy: str, budget: str, fused: bool, trials: int) -> dict[str, float]:
    """What one search took, in this process."""
    import nas

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options: dict[str, Any] = {"final_epochs": 0, "baseline": False, "report": False, "device": "cpu", "workers": 2}
        options |= {"strategy": strategy, "trials": trials, "epochs": EPOCHS, "fused": fused, "out": f"{folder}/run"}
        result = nas.search("mlp", budget, **options)
    own = [trial for trial in result.trials if trial.values and trial.copy_of is None]
    return {
        "seconds": max(trial.elapsed for trial in result.trials),
        "epochs": sum(trial.metrics["epochs"] for trial in own),
        "best": max(trial.value for trial in own),
        "together": statistics.mean(trial.metrics.get("together", 1) for trial in own),
    }


def measure(*told: Any) -> dict[str, float]:
    """`child` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fused", "--child", json.dumps(told)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(printed)
    return found


def row(strategy: str, budget: str, pairs: int, trials: int) -> list[str]:
    """Medians, the ratio of the medians, and the least and the largest ratio of a pair."""
    both = [[measure(strategy, budget, fused, trials) for fused in (True, False)] for _ in range(pairs)]
    seconds = [statistics.median(pair[n]["seconds"] for pair in both) for n in (0, 1)]
    ratios = [alone["seconds"] / fused["seconds"] for fused, alone in both]
    together = statistics.median(fused["together"] for fused, _ in both)
    epochs, best = (
        " / ".join(f"{scale * statistics.median(pair[n][name] for pair in both):{form}}" for n in (0, 1))
        for name, scale, form in (("epochs", 1, ".0f"), ("best", 100, ".2f"))
    )
    spread = f"{seconds[1] / seconds[0]:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    return [strategy, budget, f"{together:.1f}", epochs, best, f"{seconds[0]:.1f}", f"{seconds[1]:.1f}", spread]


def main() -> None:
    parser = argparse.ArgumentParser(description="Searches with small networks trained together, and one by one.")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each search")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--budgets", nargs="+", default=BUDGETS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(*json.loads(args.child))))
        return
    header = [
        "strategy",
        "budget",
        "together",
        "epochs (fused / not)",
        "best %",
        "seconds",
        "seconds, not fused",
        "ratio",
    ]
    rows = [row(strategy, budget, args.pairs, args.trials) for strategy in args.strategies for budget in args.budgets]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
