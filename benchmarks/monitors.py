"""What watching costs a search: trials a second with each monitor over those without. `python -m benchmarks.monitors`.

Many quick trials, tiny networks on the bundled digits for an epoch or a few: what a monitor does with a trial weighs
the most there. Each search runs in a process of its own, in turn A B A B without and with the monitor, so that what
else the machine does falls on both. Of the NNI web UI a page is open. Trials a second are counted from the first
trial's end to the last one's; what a monitor takes at the start and at the end stands beside it, in seconds of the
whole call. Beside that the processor time of the monitor's own process, imports and all, as a share of the search's
time: what it can cost at most where it has no core of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import psutil

from benchmarks.tables import markdown
from nas.watching import watching

PAGE = ("check-status", "experiment", "experiment-metadata", "trial-jobs", "metric-data-latest", "metric-data")
REFRESH = 10  # seconds between two looks of NNI's page
PAIRS, TRIALS = 5, 200


def child(monitor: str, trials: int, epochs: int, workers: int) -> tuple[float, float, float]:
    """Trials a second, seconds of the whole call, and of the monitor's process, of one search in this process."""
    import nas

    watched = [monitor] if monitor else []
    if monitor == "nni":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        watched = [f"nni:{port}"]
        threading.Thread(target=look, args=(port,), daemon=True).start()
    spent: dict[int, float] = {}
    threading.Thread(target=clock, args=(spent,), daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        start = time.perf_counter()
        result = nas.search(
            "mlp",
            "5K",
            strategy="random",
            trials=trials,
            epochs=epochs,
            final_epochs=0,
            baseline=False,
            workers=workers,
            device="cpu",
            monitors=watched,
            out=f"{folder}/run",
        )
        whole = time.perf_counter() - start
    ended = sorted(trial.elapsed for trial in result.trials)
    return (trials - 1) / (ended[-1] - ended[0]), whole, sum(spent.values()) / (ended[-1] - ended[0])


def clock(spent: dict[int, float]) -> None:
    """Note the processor time of the processes that monitors run in."""
    while True:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process().children(recursive=True):
                command = " ".join(process.cmdline())
                if "nas." in command and "forkserver" not in command:  # that is the workers'
                    spent[process.pid] = sum(process.cpu_times()[:2])
        time.sleep(0.2)


def look(port: int) -> None:
    """Ask for what a page that is open asks for, as often as it does."""
    while True:
        time.sleep(1)
        with contextlib.suppress(OSError):
            for path in PAGE:
                urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/api/v1/nni/{path}", timeout=30
                ).read()  # http, as written
            time.sleep(REFRESH - 1)


def measure(monitor: str, *size: int) -> tuple[float, float, float]:
    """`child`, of so many trials, epochs and workers, in a process of its own where nobody is logged in."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "benchmarks.monitors", "--child", json.dumps([monitor, *size])]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    rate, whole, spent = json.loads(printed)
    return rate, whole, spent


def row(monitor: str, pairs: int, *size: int) -> list[str]:
    """One line of the table: medians, the ratio of the medians, and the least and the largest ratio of a pair."""
    without, watched = [], []
    for _ in range(pairs):
        without.append(measure("", *size))
        watched.append(measure(monitor, *size))
    (rate, whole, _), (faster, longer, spent) = (
        [statistics.median(column) for column in zip(*runs, strict=True)] for runs in (without, watched)
    )
    ratios = [b[0] / a[0] for a, b in zip(without, watched, strict=True)]
    ratio = f"{faster / rate:.3f} ({min(ratios):.3f}-{max(ratios):.3f})"
    return [monitor, f"{rate:.1f}", f"{faster:.1f}", ratio, f"{longer - whole:+.1f}", f"{100 * spent:.1f} %"]


def main() -> None:
    parser = argparse.ArgumentParser(description="What each monitor costs a search of many quick trials.")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="searches without and with a monitor")
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each search")
    parser.add_argument("--epochs", type=int, default=1, help="of each trial")
    parser.add_argument("--workers", type=int, default=1, help="processes that train")
    parser.add_argument("--only", nargs="+", choices=list(watching()), default=list(watching()))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(*json.loads(args.child))))
        return
    header = ["monitor", "trials/s without", "trials/s with", "ratio (pairs)", "seconds in all", "its own process"]
    print(markdown(header, [row(name, args.pairs, args.trials, args.epochs, args.workers) for name in args.only]))


if __name__ == "__main__":
    main()
