"""What every monitor that is an option keeps to, found by name like the option itself; and how a search is kept apart.

What each of them writes is read back in test_monitors_<name>.py.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from telling import CONFIG, alone, children, copied, failed, session, trial

import nas
from nas.events import Monitor, Queued, public
from nas.monitors.progress import ProgressBar
from nas.trial import Trial
from nas.watching import close_monitors, open_monitors, watching

pytest_plugins = ("fixtures_run",)

VALUES = {"nni": "0"}  # a port that is free
TRACKERS = ("mlflow", "tensorboard", "wandb")


@pytest.fixture
def wanted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One monitor as the command line asks for it."""
    alone(monkeypatch, tmp_path)
    value = VALUES.get(name, "")
    try:
        watching()[name].of(value, tmp_path / "none", CONFIG).closed(tmp_path / "none")
    except ValueError as error:
        if "pip install" in str(error):
            pytest.skip(str(error))
        raise
    return {name: value}


@pytest.fixture
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither a thread nor a process, nor a word of having been dropped."""
    threads, processes = set(threading.enumerate()), children()
    yield
    assert not set(threading.enumerate()) - threads
    assert not children() - processes
    assert not [record for record in caplog.get_records("call") if record.name == "nas"]


def test_the_monitors_that_are_options_are_found() -> None:
    assert set(watching()) >= {"nni", *TRACKERS}
    assert "progress" not in watching()


@pytest.mark.parametrize("name", watching())
def test_opening_says_where_to_look_and_leaves_the_folder_to_the_search(wanted: Any, tmp_path: Path) -> None:
    monitors, notices = open_monitors(wanted, tmp_path / "run", CONFIG)
    assert len(notices) == 1
    assert "\n" not in notices[0]
    assert not (tmp_path / "run").exists()  # a folder with files of others would be refused
    for monitor in monitors:
        monitor.closed(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", watching())
@pytest.mark.usefixtures("nothing_left")
def test_failures_and_figures_that_are_not_finite_are_survived(wanted: Any, tmp_path: Path) -> None:
    rows = ({"epoch": 1, "val_loss": float("nan"), "val_accuracy": 0.5, "seconds": 1.0},)
    odd = trial(1, metrics={"val_loss": float("inf"), "seconds": 1.0}, curve=rows)
    bare = trial(2, metrics={}, curve=({"val_loss": 1.0},), ended=0.0)
    session(tmp_path / "run", wanted, [failed(0), odd, bare, copied(3, trial(5)), failed(4)])


@pytest.mark.slow
@pytest.mark.parametrize("name", watching())
@pytest.mark.usefixtures("nothing_left")
def test_a_search_is_resumed_and_has_further_arms(wanted: Any, tmp_path: Path) -> None:
    before = [trial(0), failed(1)]
    session(tmp_path / "run", wanted, before)
    session(tmp_path / "run", wanted, [trial(2)], before)
    session(tmp_path / "run", wanted, [trial(0)], arm="random")
    session(tmp_path / "run", wanted, [], [trial(0)], arm="random")


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_library_is_said_before_anything_is_trained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.extras.find_spec", lambda module: None)
    with pytest.raises(ValueError, match=rf"^--{name} needs {name}; pip install 'nas-search\[{name}\]'$"):
        open_monitors({name: ""}, Path("run"), CONFIG)


def test_a_folder_of_the_name_of_a_library_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nobody_has_this_library").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    from nas.extras import need

    with pytest.raises(ValueError, match="--some needs nobody_has_this_library"):
        need("some", "nobody_has_this_library")


@pytest.mark.slow
def test_a_whole_search_leaves_what_all_three_trackers_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], one_thread: None
) -> None:
    for name in TRACKERS:
        pytest.importorskip(name)
    alone(monkeypatch, tmp_path)
    options: dict[str, Any] = {"budget": "5K", "epochs": 2, "final_epochs": 0, "baseline": False, "workers": 0}
    out = tmp_path / "run"
    first = nas.search("mlp", trials=2, monitors=[*TRACKERS], out=out, **options)
    more = nas.search("mlp", trials=3, monitors=[*TRACKERS], out=out, **options)
    assert [len(first.trials), len(more.trials)] == [2, 3]
    trials = [f"trial-{n:05d}" for n in range(3)]
    folders = {path.parent.name for path in (out / "tensorboard" / "search").glob("trial-*/events.out.tfevents.*")}
    assert folders == set(trials)
    assert len(list((out / "tensorboard" / "best").iterdir())) == 1
    marks = [f"search/{name}" for name in trials]
    assert (out / "wandb" / "written.txt").read_text().split() == [*marks[:2], "end", marks[2], "end"]
    names = [file.read_text() for file in (out / "mlruns").glob("*/*/tags/nas.trial")]
    assert sorted(names) == marks
    assert capfd.readouterr() == ("", "")


def test_the_failures_of_both_arms_are_told_apart(tmp_path: Path) -> None:
    errors, console = tmp_path / "errors.log", Console(quiet=True)
    for label in ("evolution", "random search"):
        bar = ProgressBar(console, label, 3, None, errors)
        bar.started([])
        bar.failed(trial(1, values=(), error="MemoryError"), "the trace")
        bar.finished()
    entries = ["trial 1: MemoryError", "the trace", "random search, trial 1: MemoryError", "the trace"]
    assert errors.read_text().splitlines() == entries


class Breaking(Monitor):
    def told(self, trial: Trial) -> None:
        raise RuntimeError("the disk is full")


class Slow(Monitor):
    def __init__(self) -> None:
        self.numbers: list[int] = []

    def started(self, history: Sequence[Trial]) -> None:
        self.numbers += [told.number for told in history]

    def told(self, trial: Trial) -> None:
        time.sleep(0.2)
        self.numbers.append(trial.number)


def test_a_monitor_that_raises_is_dropped_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monitor = Queued(Breaking())
    for number in range(5):
        monitor.told(trial(number))
    monitor.closed(tmp_path)
    assert caplog.messages == ["Breaking is dropped: RuntimeError('the disk is full')"]


def test_a_monitor_that_is_dropped_tells_no_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Refused(Monitor):
        def told(self, trial: Trial) -> None:
            raise RuntimeError("API request to http://me:PASSWORD@host/api failed")

    monitor = Queued(Refused())
    monitor.told(trial(0))
    monitor.closed(tmp_path)
    assert caplog.messages == ["Refused is dropped: RuntimeError('API request to http://host/api failed')"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:PASSWORD@host:5000/a?b", "http://host:5000/a?b"),
        ("http://me:PASS@WORD@host", "http://host"),
        ("mysql+pymysql://me:PASS/WORD@host/db", "mysql+pymysql://host/db"),
        ("http://token@[::1]:80/a@b", "http://[::1]:80/a@b"),
    ],
)
def test_an_address_is_shown_without_who_logs_in_there(address: str, shown: str) -> None:
    assert public(address) == shown


@pytest.mark.parametrize(
    "address",
    ["8080", "here", "http://host:80/a@b", "http://[::1]:80/a@b", "sqlite:////me@home/a.db", "file:///me@x", "/a/me@x"],
)
def test_an_address_at_which_nobody_logs_in_is_shown_as_it_is(address: str) -> None:
    assert public(address) == address


def test_a_slow_monitor_holds_nothing_up_and_misses_nothing(tmp_path: Path) -> None:
    slow = Slow()
    monitor, trials, start = Queued(slow), [trial(number) for number in range(3)], time.monotonic()
    for told in trials:
        monitor.told(told)
    assert time.monotonic() - start < 0.15
    monitor.closed(tmp_path)
    assert slow.numbers == [0, 1, 2]


def test_a_history_that_goes_on_growing_is_told_as_it_was(tmp_path: Path) -> None:
    slow, log = Slow(), [trial(0)]
    monitor = Queued(slow)
    monitor.told(log[0])
    monitor.started(log)
    log.append(trial(1))
    monitor.told(log[1])
    monitor.closed(tmp_path)
    assert slow.numbers == [0, 0, 1]


def test_a_monitor_that_does_not_end_is_waited_for_no_longer_than_its_patience(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = Queued(Slow(), patience=0.01)
    with caplog.at_level(logging.WARNING):
        monitor.told(trial(0))
        monitor.closed(tmp_path)
    assert caplog.messages == ["Slow has not ended after 0.01 s"]


def test_the_terminal_says_for_whom_it_waits_and_ctrl_c_ends_the_waiting_alone(tmp_path: Path) -> None:
    class Slow(Monitor):
        def closed(self, path: Path) -> None:
            raise KeyboardInterrupt

    written = io.StringIO()
    close_monitors(Slow(), ["mlflow", "wandb"], tmp_path, Console(file=written, force_terminal=True, width=120), 0)
    assert "mlflow, wandb: writing what is left" in written.getvalue()
    assert "not all was written (mlflow, wandb)" in written.getvalue()
