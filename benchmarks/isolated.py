"""A run in a process of its own, with one thread, and a folder of its own for what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
MARK = "measured: "  # what frameworks print stands before and after it
NEEDED = {"ray": "pyarrow"}  # ray's core comes without what ray.tune imports


def missing(who: str) -> bool:
    """Whether a peer, a module of `benchmarks.peers`, lacks its package; says so."""
    name = who.partition("-")[0]
    lacking = name != "plain" and find_spec(NEEDED.get(name, name)) is None
    if lacking:
        print(f'{who} is left out: it is not installed; pip install -e ".[bench]"')
    return lacking


def measured(values: Sequence[float]) -> None:
    """What a run prints for whoever started it."""
    print(f"\n{MARK}{json.dumps(list(values))}", flush=True)


def run(module: str, who: str, given: dict[str, object]) -> list[float]:
    """What `python -m module --child who given` has measured; `given` gets the folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", module, "--child", who, json.dumps({**given, "folder": folder})]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if MARK not in done.stdout:
        raise RuntimeError(f"{who} failed:\n{done.stderr[-3000:]}")
    found: list[float] = json.loads(done.stdout.partition(MARK)[2].partition("\n")[0])
    return found
