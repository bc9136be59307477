"""How a search ends before its last trial: by a signal or by the clock, with everything saved, ready to go on."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy import alive, command, environment, rows

from nas.cli import main

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
LIMIT = 120


def test_a_time_limit_ends_the_search_without_a_baseline(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--budget", "5K", "--space", "toy:Line", "--strategy", "evolution", "--workers", "0", "--epochs", "1"]
    assert main([*arguments, "--time", "1.5s", "--out", "out"]) == 0
    assert rows(here / "out" / "baseline.jsonl") == []
    trials = rows(here / "out" / "trials.jsonl")
    assert trials
    assert all(trial["elapsed"] < 1.5 for trial in trials[:-1])
    assert "Random search" not in capsys.readouterr().out


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a search of 40 trials in a process group of its own."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started = subprocess.Popen(
            command(*arguments), env=environment(), cwd=tmp_path, start_new_session=True, **pipes
        )
        processes.append(started)
        return started

    yield start
    for process in processes:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_an_interrupted_search_keeps_everything_and_goes_on(
    search: Callable[..., subprocess.Popen[str]], tmp_path: Path, here: Path, name: str
) -> None:
    arguments = (
        "--budget",
        "50K",
        "--trials",
        "36",
        "--epochs",
        "2",
        "--device",
        "cpu",
        "--no-baseline",
        "--final-epochs",
        "0",
    )
    process = search(*arguments, "--workers", "2", "--out", "out")
    log = tmp_path / "out" / "trials.jsonl"
    limit = time.monotonic() + LIMIT
    while not log.exists() or log.read_bytes().count(b"\n") < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    if name == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    else:
        process.terminate()
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, err
    assert "Interrupted; the same command continues." in out
    assert "Traceback" not in err
    lines = log.read_bytes().splitlines(keepends=True)
    assert 3 <= len(lines) < 36
    with (tmp_path / "out" / "trials.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(lines)
    assert (tmp_path / "out" / "best" / "model.py").exists()
    assert main([*arguments, "--workers", "0", "--out", "out", "-q"]) == 0
    assert log.read_bytes().splitlines(keepends=True)[: len(lines)] == lines
    assert sorted(row["number"] for row in rows(log)) == list(range(36))


def test_an_interruption_that_nothing_sees_to_claims_nothing_of_how_far_the_search_was(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.cli.run", interrupted)
    assert main(["--budget", "5K"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted; the same command begins again, or goes on"
