"""The run directory: a log that survives any cut, a lock, an identity, and the weights of the best alone."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import Search
from toy import Line, Toy, environment, fails, line, timeless

from nas.executor import Workers
from nas.executors.inline import Inline
from nas.job import Job, Outcome
from nas.store import RunDirectory, TrialLog
from nas.trial import Trial

pytest_plugins = ("fixtures_run",)
IDENTITY = {"space": "mlp", "budget": 50_000, "fill": 0.9, "data": "digits", "seed": 0}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The log of six trials, some of them failed."""
    search = Search(tmp_path_factory.mktemp("six"))
    assert {bool(t.error) for t in search(trials=6)} == {True, False}
    return search.path.read_bytes()


def read(path: Path) -> list[Trial]:
    log = TrialLog(path, line())
    log.close()
    return log.trials


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., RunDirectory]]:
    """Opens the run directory `here`, and closes what was opened."""
    directories: list[RunDirectory] = []

    def open_(**changed: Any) -> RunDirectory:
        directories.append(RunDirectory(tmp_path / "here", {"budget": 50_000}, {**IDENTITY, **changed}))
        return directories[-1]

    yield open_
    for directory in directories:
        directory.close()


@given(data=st.data())
def test_a_log_cut_at_any_byte_keeps_every_whole_line(
    tmp_path_factory: pytest.TempPathFactory, log: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log)))
    path = tmp_path_factory.mktemp("cut") / "trials.jsonl"
    path.write_bytes(log[:cut])
    whole = log[:cut].count(b"\n")
    trials = read(path)
    assert [t.number for t in trials] == list(range(whole))
    assert path.read_bytes() == b"".join(log.splitlines(keepends=True)[:whole])


@given(data=st.data())
def test_a_search_goes_on_from_a_log_cut_at_any_byte(
    tmp_path_factory: pytest.TempPathFactory, log: bytes, data: st.DataObject
) -> None:
    search = Search(tmp_path_factory.mktemp("cut"))
    search.path.write_bytes(log[: data.draw(st.integers(0, len(log)))])
    trials = search(trials=6)
    assert timeless(trials) == timeless(read(search.path)) == timeless([json.loads(x) for x in log.splitlines()])


def test_a_log_of_nothing_is_the_beginning(tmp_path: Path) -> None:
    assert read(tmp_path / "trials.jsonl") == []
    (tmp_path / "trials.jsonl").write_bytes(b'{"number": 0')
    assert read(tmp_path / "trials.jsonl") == []


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half a line": lambda text: text[: len(text) // 2],
    "an empty line": lambda text: b"",
    "bytes that are no text": lambda text: b"\xff\xfe" + text,
    "zeros": lambda text: b"\0" * len(text),
    "two lines in one": lambda text: text + text,
    "something that is no trial": lambda text: b"[1, 2]",
    "a trial without its choices": lambda text: json.dumps({**json.loads(text), "choices": None}).encode(),
    "nothing known of the trial": lambda text: b"{}",
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("number", [1, 4, 6])
def test_damage_anywhere_else_is_refused_with_the_line(tmp_path: Path, log: bytes, name: str, number: int) -> None:
    lines = log.splitlines()
    lines[number - 1] = DAMAGES[name](lines[number - 1])
    path = tmp_path / "trials.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ValueError, match=f"line {number} ") as refusal:
        read(path)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == b"\n".join(lines) + b"\n"  # left for its owner to look at


def test_a_trial_reads_as_it_was_written(search: Search) -> None:
    written = search("evolution:population=4,sample=2")
    again = read(search.path)
    assert [t.to_json() for t in again] == [{**t.to_json(), "elapsed": round(t.elapsed, 3)} for t in written]
    assert [t.candidate for t in again] == [t.candidate for t in written]
    assert all(fails(t.candidate) == (t.error is not None) for t in again)


def test_an_interrupt_while_the_disk_is_waited_for_leaves_memory_and_disk_alike(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = search(trials=2)
    log = TrialLog(search.path, line())

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    log.append(replace(trials[0], number=2))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            log.sync()
    log.close()
    assert [t.number for t in log.trials] == [t.number for t in read(search.path)]


class Threaded(Workers):
    """One worker, a thread."""

    slots = 1

    def __init__(self, evaluator: Toy) -> None:
        self.evaluator, self.pool = evaluator, ThreadPoolExecutor(1)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self.pool.submit(fn, self.evaluator, *args, **kwargs)


class Slow(Toy):
    """One training takes a second."""

    began = 0.0

    def __call__(self, job: Job) -> Outcome:
        if job.number >= 100 and not self.began:
            self.began = time.monotonic()
            time.sleep(1)
        return super().__call__(job)


def test_the_disk_is_waited_for_once_a_moment_and_before_a_long_wait(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: waits.append(time.monotonic()))
    slow = Slow(failing=False)
    workers = Threaded(slow)
    search(trials=200, executor=workers)
    workers.pool.shutdown()
    assert len(waits) < 100
    assert all(later - before >= 0.045 for before, later in pairwise(waits[:-1]))
    assert any(slow.began < at < slow.began + 0.5 for at in waits)  # what it has told before is safe meanwhile


def test_the_time_of_all_sessions_is_added_up(search: Search) -> None:
    first = max(t.elapsed for t in search(trials=3))
    second = search(trials=6)
    assert [t.elapsed for t in second] == sorted(t.elapsed for t in second)
    assert second[3].elapsed >= round(first, 3)


def test_a_second_search_in_the_same_directory_is_refused(opened: Callable[..., RunDirectory], tmp_path: Path) -> None:
    opened()
    with pytest.raises(ValueError, match=r"another process is searching in .*here; wait for it or give another --out"):
        opened()
    script = f"from nas.store import RunDirectory as R; from pathlib import Path as P; R(P({str(tmp_path / 'here')!r}),"
    command = [sys.executable, "-c", f"{script} {{}}, {IDENTITY!r})"]
    other = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert "ValueError: another process is searching in" in other.stderr


def test_a_killed_process_leaves_no_lock_behind(opened: Callable[..., RunDirectory], tmp_path: Path) -> None:
    script = (
        "import signal, sys; from nas.store import RunDirectory; from pathlib import Path\n"
        f"directory = RunDirectory(Path({str(tmp_path / 'here')!r}), {{}}, {IDENTITY!r})\n"
        "print('locked', flush=True); signal.pause()"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], env=environment(), stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match="another process"):
            opened()
        holder.send_signal(signal.SIGKILL)
    opened()


def test_a_closed_directory_can_be_opened_again(opened: Callable[..., RunDirectory]) -> None:
    opened().close()
    opened()


@pytest.mark.parametrize("changed", [{"seed": 1}, {"budget": 60_000, "data": "npz:x"}, {"fill": None}])
def test_another_search_is_refused_and_the_difference_shown(
    opened: Callable[..., RunDirectory], tmp_path: Path, changed: dict[str, Any]
) -> None:
    opened().close()
    before = (tmp_path / "here" / "config.yaml").read_bytes()
    with pytest.raises(ValueError, match="holds another search") as refusal:
        opened(**changed)
    for name, now in changed.items():
        assert f"{name} is {IDENTITY[name]!r} there and {now!r} now" in str(refusal.value)
    assert not [name for name in IDENTITY if name not in changed and f"{name} is" in str(refusal.value)]
    assert (tmp_path / "here" / "config.yaml").read_bytes() == before
    opened()  # the refusal has let go of the lock


@pytest.mark.parametrize("text", ["budget: [50000", "- a\n- b\n", "\x00", ""], ids=["cut", "list", "zeros", "empty"])
def test_a_damaged_config_is_refused_in_one_sentence(
    opened: Callable[..., RunDirectory], tmp_path: Path, text: str
) -> None:
    opened().close()
    (tmp_path / "here" / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "here"))) as refusal:
        opened()
    assert "\n" not in str(refusal.value)


def test_trials_without_a_config_are_refused(opened: Callable[..., RunDirectory], tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "trials.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"holds other files .* and no search; give another --out"):
        opened()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=re.escape(repr(str(path)))):
            RunDirectory(path, {}, IDENTITY)


def test_the_csv_has_a_row_a_trial_and_a_column_a_choice_and_a_metric(
    opened: Callable[..., RunDirectory], search: Search, tmp_path: Path
) -> None:
    trials = search(trials=20, executor=Inline(Toy()))
    opened().write_csv(trials[::-1])
    with (tmp_path / "here" / "trials.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    columns = {"number", "params", "network", "fidelity", "seed", "error", "copy_of", "elapsed", "value"}
    metrics, choices = {"job_seed", "epochs", "seconds"}, {"depth", "width0", "width1", "width2", "lr"}
    assert set(table[0]) == columns | metrics | choices
    assert [int(row["number"]) for row in table] == list(range(20))
    for row, trial in zip(table, trials, strict=True):
        assert {name: row[name] for name in choices if row[name]} == {
            name: str(value) for name, value in trial.candidate.values.items()
        }
        assert row["value"] == (str(trial.value) if trial.values else "")
        assert row["params"] == str(trial.params)
        assert row["seed"] == str(trial.seed)
        assert row["error"] == (trial.error or "")


def test_a_choice_of_the_space_never_hides_a_fact_of_the_trial(
    opened: Callable[..., RunDirectory], tmp_path: Path
) -> None:
    class Unlucky(Line):
        def describe(self, choose: Any) -> Any:
            choose("number", (7,))
            return super().describe(choose)

    candidate = Unlucky((6,), 3).replay({"number": 7, "depth": 1, "width0": 4, "lr": 1e-3})
    outcome = Toy(failing=False)(Job(3, candidate, 0))
    opened().write_csv([Trial(3, candidate, 0, outcome.values, outcome.metrics)])
    with (tmp_path / "here" / "trials.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["number"] == "3"
