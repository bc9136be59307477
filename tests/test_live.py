"""A training that is watched while it runs, and stopped by a file; a run directory read from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock
from searching import Search
from toy import Toy, line, rows

import nas
from nas.evaluate import Stopping, Training
from nas.job import Job
from nas.live import Live, Stopped, Sweep, stop_file
from nas.options import Options
from nas.problem import Problem
from nas.record import Record, Rows, planned_epochs
from nas.store import RunDirectory
from nas.trial import Trial

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")


def blobs() -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(150) % 3
    return np.random.default_rng(0).normal(size=(150, 6)) + np.eye(6)[y], y


@pytest.fixture
def training() -> tuple[Training, Job]:
    """An evaluator, and a job of five epochs."""
    problem = Problem.of(Options.of({"budget": "5K", "data": blobs()}))
    training = Training(problem.load(), Stopping(5, 5))
    training.prepare("cpu")
    return training, Job(7, problem.space.sample(np.random.default_rng(0)), seed=0)


def test_a_training_writes_its_facts_and_a_row_for_each_epoch(training: tuple[Training, Job], tmp_path: Path) -> None:
    train, job = training
    file = tmp_path / "trial.jsonl"
    outcome = train(replace(job, live=file))
    facts, *epochs = rows(file)
    assert facts["number"] == 7
    assert facts["choices"] == job.candidate.values
    assert facts["params"] == job.candidate.architecture.num_params
    assert epochs == [dict(row) for row in outcome.curve]
    assert abs(facts["began"] - time.time()) < 60


def test_being_watched_changes_no_number(training: tuple[Training, Job], tmp_path: Path) -> None:
    train, job = training
    alone, watched = train(job), train(replace(job, live=tmp_path / "trial.jsonl"))
    assert alone.values == watched.values
    assert [r["train_loss"] for r in alone.curve] == [r["train_loss"] for r in watched.curve]


def test_a_file_stops_the_training(training: tuple[Training, Job], tmp_path: Path) -> None:
    train, job = training
    file = tmp_path / "trial.jsonl"
    stop_file(file).touch()
    with pytest.raises(Stopped, match="stopped by hand in epoch 1"):
        train(replace(job, live=file))


@pytest.mark.parametrize("lost", ["the folder", "the file"])
def test_a_training_goes_on_where_nobody_can_watch_it(
    training: tuple[Training, Job], tmp_path: Path, lost: str
) -> None:
    train, job = training
    if lost == "the folder":
        assert train(replace(job, live=tmp_path / "missing" / "trial.jsonl")).values
        return
    live = Live(tmp_path / "trial.jsonl", {"number": 1})
    live.file.unlink()  # swept away: the search has given this trial up
    live.epoch({"val_accuracy": 0.5})
    assert not live.file.exists()


def test_what_a_diverging_epoch_says_is_still_json(tmp_path: Path) -> None:
    live = Live(tmp_path / "trial.jsonl", {"number": 1})
    live.epoch({"val_accuracy": 0.5, "val_loss": float("nan")})
    assert json.loads(live.file.read_text().splitlines()[1]) == {"val_accuracy": 0.5}


def test_a_search_leaves_no_live_files_of_its_own_or_of_a_crash(search: Search, tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    live_of = lambda number: folder / f"trial-{number}.jsonl"  # noqa: E731  # where, in one line
    live_of(99).touch()
    there: list[set[str]] = []

    class Writing(Toy):
        def __call__(self, job: Job) -> Any:
            job.watch()
            stop_file(live_of(job.number)).touch()
            there.append({file.name for file in folder.iterdir()})
            return super().__call__(job)

    search(evaluator=Writing(failing=False), monitors=(Sweep(live_of),), live_of=live_of)
    assert there[3] == {"trial-3.jsonl", "trial-3.stop"}
    assert not list(folder.iterdir())


def test_a_trial_that_is_stopped_by_hand_is_a_failure_and_the_search_goes_on(tmp_path: Path) -> None:
    """Whoever stops it is another thread here and may be another process."""
    run, over = tmp_path / "run", threading.Event()

    def kill_the_first() -> None:
        while not over.is_set():
            for file in (run / "live" / "search").glob("trial-00000.jsonl"):
                stop_file(file).touch()
                return
            time.sleep(0.001)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    found = nas.search(
        budget="5K",
        data=blobs(),
        trials=3,
        epochs=400,
        patience=400,
        workers=0,
        baseline=False,
        final_epochs=0,
        out=run,
    )
    over.set()
    killer.join()
    assert str(found.trials[0].error).startswith("Stopped: stopped by hand")
    assert [t.error for t in found.trials[1:]] == [None, None]
    assert not list((run / "live" / "search").iterdir())


def test_the_rows_of_a_growing_file_are_read_once_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    growing = Rows(file)
    assert growing.new() == []
    file.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a"')
    assert growing.new() == [{"a": 1}, {"a": 2}]
    with file.open("ab") as more:
        more.write(b': 3}\nno json\n[1]\n{"a": 4}\n')
    assert growing.new() == [{"a": 3}, {"a": 4}]
    assert growing.new() == []


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"epochs": 8, "folds": 1}))
    (folder / "trials.jsonl").touch()
    return folder


def test_a_run_says_where_it_is(directory: Path) -> None:
    (directory / "config.yaml").unlink()
    run = RunDirectory(directory.parent / "other", {"epochs": 8}, {"seed": 0})
    record = Record(run.path)
    run.enter("search", slots=2)
    searching = record.state()
    assert (searching.phase, searching.running, searching.slots, searching.ended) == ("search", True, 2, None)
    run.enter("final")
    assert record.state().slots == 2
    run.enter("done")
    run.close()
    done = record.state()
    assert (done.phase, done.running) == ("done", False)
    assert done.began == searching.began < (done.ended or 0)


def test_a_search_whose_lock_nobody_holds_was_killed(directory: Path) -> None:
    (directory / "state.json").write_text(json.dumps({"phase": "search", "began": 5.0, "pid": 1, "slots": 2}))
    with FileLock(directory / ".lock"):
        assert Record(directory).state().phase == "search"
    assert Record(directory).state().phase == "killed"
    assert not Record(directory).state().running


@pytest.fixture
def ended() -> int:
    """The number of a process that was."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_where_the_lock_cannot_be_tried_a_search_runs_while_its_process_lives(
    directory: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lock: FileLock, timeout: float) -> None:
        raise PermissionError("the folder cannot be written")

    def phase(pid: int) -> str:
        (directory / "state.json").write_text(json.dumps({"phase": "search", "began": 5.0, "pid": pid, "slots": 2}))
        return Record(directory).state().phase

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert phase(os.getpid()) == "search"
    assert [phase(pid) for pid in (ended, 0, -1, 10**30)] == ["killed"] * 4

    def forbid(pid: int, signal: int) -> None:
        raise PermissionError("somebody else's process")

    monkeypatch.setattr(os, "kill", forbid)
    assert phase(ended) == "search"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"phase": "done", "unknown": 1}'])
def test_a_damaged_state_is_no_error(directory: Path, content: str) -> None:
    (directory / "state.json").write_text(content)
    assert not Record(directory).state().running


def test_a_look_at_a_run_does_not_keep_its_search_from_starting(directory: Path) -> None:
    (directory / "config.yaml").write_text(yaml.safe_dump({"identity": {}}))
    looking = threading.Event()

    def look() -> None:
        with FileLock(directory / ".lock"):
            looking.set()
            time.sleep(0.1)

    watcher = threading.Thread(target=look)
    watcher.start()
    looking.wait()
    RunDirectory(directory, {}, {}).close()
    watcher.join()


def test_what_runs_is_read_with_its_rows(directory: Path) -> None:
    live = directory / "live" / "search"
    live.mkdir(parents=True)
    facts = {"number": 3, "params": 10, "network": "4, relu", "choices": {}}
    (live / "trial-00003.jsonl").write_text(json.dumps(facts) + '\n{"val_accuracy": 0.5}\n{"val_acc')
    (live / "trial-00004.jsonl").write_text("")
    (live / "trial-00005.jsonl").write_text('{"number": 5}\n')
    record = Record(directory)
    assert record.running() == [(facts, [{"val_accuracy": 0.5}])]
    assert record.live_file(3) == live / "trial-00003.jsonl"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is no run directory"), ("- 1", "is damaged"), (":\n\t", "is damaged")]
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=said):
        Record(tmp_path)


def test_the_epochs_that_were_planned_follow_fidelity_and_folds() -> None:
    assert planned_epochs({"epochs": 8, "folds": 1}, 1.0) == 8
    assert planned_epochs({"epochs": 8, "folds": 3}, 0.25) == 6
    assert planned_epochs({"epochs": 1, "folds": 1}, 0.1) == 1


def test_the_log_says_when_a_trial_ended(search: Search) -> None:
    before = time.time()
    search(trials=2, evaluator=Toy(failing=False))
    found = rows(search.path)
    assert all(before - 1 <= row["ended"] <= time.time() for row in found)
    assert Trial.from_json({k: v for k, v in found[0].items() if k != "ended"}, line()).ended == 0.0
