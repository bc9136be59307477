"""Worker processes seen from outside: the user's program runs once, nobody outlives it, Ctrl-C is quiet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy import environment, gone

LIMIT = 60.0
BUSY = """
import sys, time, toy
from nas.executors.local import Local
workers = Local(toy.Toy(), ["cpu", "cpu"])
futures = [workers.submit(toy.touch, f"{sys.argv[1]}/pid{n}", 1000) for n in range(3)]
print("submitted", flush=True)
try:
    for future in futures:
        future.result()
except KeyboardInterrupt:
    workers.shutdown(cancel_futures=True)
    print("interrupted", flush=True)
"""
SCRIPT = """
import nas
print("this line is the user's", flush=True)
result = nas.search("mlp", "50K", strategy="random", trials=2, epochs=1, workers=2, device="cpu", out="run")
print(len(result.trials), result.best.params <= 50_000)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a script in a process group of its own, its first argument the folder `tmp_path`."""
    processes: list[subprocess.Popen[str]] = []

    def start(script: str) -> subprocess.Popen[str]:
        (tmp_path / "script.py").write_text(script)
        processes.append(
            subprocess.Popen(
                [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
                env=environment(),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def pids_of(folder: Path) -> list[int]:
    """Of the two workers, once both are at work."""
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        texts = [path.read_text() for path in folder.glob("pid*")]
        if len(texts) == 2 and all(texts):
            return [int(text) for text in texts]
        time.sleep(0.05)
    raise TimeoutError("the workers have not begun")


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once(started: Callable[[str], subprocess.Popen[str]]) -> None:
    process = started(SCRIPT)
    out, err = process.communicate(timeout=LIMIT)
    assert out == "this line is the user's\n2 True\n", err
    assert process.returncode == 0
    assert "Traceback" not in err


def test_workers_end_with_a_coordinator_that_was_killed(
    started: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = started(BUSY)
    pids = pids_of(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT)
    assert gone(pids, 10)


@pytest.mark.parametrize("moment", [0.1, 0.8, None], ids=["as workers start", "a little later", "as they work"])
def test_ctrl_c_is_the_coordinators_alone(
    started: Callable[[str], subprocess.Popen[str]], tmp_path: Path, moment: float | None
) -> None:
    process = started(BUSY)
    assert process.stdout is not None
    assert process.stdout.readline() == "submitted\n"
    pids = pids_of(tmp_path) if moment is None else []
    time.sleep(moment or 0.0)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert (out, err) == ("interrupted\n", "")
    assert process.returncode == 0
    assert gone(pids, 10)
