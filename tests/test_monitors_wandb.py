"""What stands in the .wandb file of an offline run: a row and table rows for each trial, with the trials' numbers."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from telling import CONFIG, copied, failed, session, trial, wandb_records

from nas.watching import open_monitors

pytest.importorskip("wandb")

import wandb

from nas.monitors import wandb as monitor

WANTED = {"wandb": ""}


pytest_plugins = ("fixtures_trackers",)
pytestmark = pytest.mark.usefixtures("by_itself")


class Offline:
    """An offline run, read back."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("run-*.wandb")
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        for record in wandb_records(file):
            kind = record.WhichOneof("record_type")
            if kind == "history":
                row = _items(record.history.item)
                if "arm" in row:  # W&B puts the number into the rows of tables too
                    self.rows.append(row)
            elif kind == "summary":
                self.summary |= _items(record.summary.update)
            elif kind == "run":
                self.run = record.run
                self.config |= _items(record.run.config.update)
        self.tables = {}
        for table in folder.glob("files/media/table/**/*.table.json"):
            name = str(table.relative_to(folder / "files/media/table")).rpartition("_")[0].rpartition("_")[0]
            data = json.loads(table.read_text())
            self.tables[name] = [dict(zip(data["columns"], row, strict=True)) for row in data["data"]]


def _items(items: Any) -> dict[str, Any]:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def sessions(run: Path) -> list[Offline]:
    return [Offline(folder) for folder in sorted(run.glob("wandb/offline-run-*"), key=lambda f: f.stat().st_ctime_ns)]


def test_a_trial_is_a_row_with_its_choices_and_the_best_so_far(tmp_path: Path) -> None:
    trials = [trial(3), trial(1), trial(8)]
    session(tmp_path / "run", WANTED, trials)
    (offline,) = sessions(tmp_path / "run")
    assert len(offline.rows) == 3
    for row, told, best in zip(offline.rows, trials, (0.23, 0.23, trial(8).value), strict=True):
        figures = {"accuracy": told.value, "parameters": told.params, "best": best, "seconds": 1.0}
        wanted = {"arm": "search", "number": told.number, **{f"search/{k}": v for k, v in figures.items()}}
        wanted |= {f"choice/{name}": value for name, value in told.candidate.values.items()}
        assert {name: value for name, value in row.items() if not name.startswith("_")} == wanted


def test_the_run_has_the_options_as_its_config_and_the_best_as_its_summary(tmp_path: Path) -> None:
    run = tmp_path / "run"
    session(run, {}, [])
    (run / "best").mkdir()
    (run / "best/config.json").write_text(json.dumps({"test_accuracy": 0.75}))
    session(run, {"wandb": "mine"}, [trial(3), trial(8), trial(1)])
    (offline,) = sessions(run)
    assert (offline.run.project, offline.run.display_name, offline.run.run_group) == ("mine", "run", "run")
    assert {name: value for name, value in offline.config.items() if name != "_wandb"} == CONFIG
    assert (offline.summary["accuracy"], offline.summary["number"]) == (trial(8).value, 8)
    assert offline.summary["choice/lr"] == trial(8).candidate.values["lr"]
    assert offline.summary["test_accuracy"] == 0.75


def test_the_tables_hold_every_trial_and_every_epoch(tmp_path: Path) -> None:
    trials = [trial(0), failed(1), copied(2, trial(0))]
    session(tmp_path / "run", WANTED, trials)
    (offline,) = sessions(tmp_path / "run")
    table = offline.tables["search/trials"]
    assert [row["number"] for row in table] == [0, 1, 2]
    assert [row["accuracy"] for row in table] == [trial(0).value, None, trial(0).value]
    assert [row["error"] for row in table] == [None, failed(1).error, None]
    assert [row["copy_of"] for row in table] == [None, None, 0]
    curves = offline.tables["search/curves_table"]
    for name in ("trial-00000", "trial-00002"):
        rows = [row for row in curves if row["trial"] == name]
        assert [row["epoch"] for row in rows] == [1, 2]
        assert [row["loss/train"] for row in rows] == [row["train_loss"] for row in trial(0).curve]
        assert [row["accuracy/validation"] for row in rows] == [row["val_accuracy"] for row in trial(0).curve]
    assert len(curves) == 4


def test_a_failure_is_a_row_with_its_error(tmp_path: Path) -> None:
    session(tmp_path / "run", WANTED, [failed(4)])
    (offline,) = sessions(tmp_path / "run")
    (row,) = offline.rows
    assert row["search/error"] == failed(4).error
    assert "search/accuracy" not in row


def test_a_resumed_search_writes_no_row_twice_and_all_of_the_tables(tmp_path: Path) -> None:
    run = tmp_path / "run"
    session(run, {}, [trial(0)])  # a session that did not write
    session(run, WANTED, [trial(1)], [trial(0)])
    session(run, WANTED, [trial(2)], [trial(0), trial(1)])
    first, second = sessions(run)
    assert [row["number"] for row in first.rows] == [0, 1]
    assert [row["number"] for row in second.rows] == [2]
    assert [row["number"] for row in second.tables["search/trials"]] == [0, 1, 2]
    assert second.rows[0]["search/best"] == trial(2).value
    assert first.run.run_id != second.run.run_id


def test_what_a_killed_session_may_not_have_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "HELD", 2)
    run, marks, trials = tmp_path / "run", tmp_path / "run/wandb/written.txt", [trial(n) for n in range(3)]
    session(run, WANTED, trials)
    marks.write_text(marks.read_text().removesuffix("end\n"))
    session(run, WANTED, [trial(3)], trials)
    assert [row["number"] for row in sessions(run)[1].rows] == [1, 2, 3]


def test_without_a_login_it_is_offline_and_says_so(tmp_path: Path) -> None:
    _, notices = open_monitors(WANTED, tmp_path / "run", CONFIG)
    folder = tmp_path / "run/wandb"
    upload = f"wandb sync {folder}/offline-run-*"
    assert notices == [f"Weights & Biases: offline, in {folder}; after `wandb login`: {upload}"]


def test_a_server_that_cannot_be_reached_costs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitor, "WAIT", 1)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.socket() as bound:  # a port at which nobody listens
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{bound.getsockname()[1]}")
        session(tmp_path / "run", WANTED, [trial(0), trial(1)])
    assert [row["number"] for row in sessions(tmp_path / "run")[0].rows] == [0, 1]
    (said,) = [record.getMessage() for record in caplog.records if record.name == "nas"]
    assert said.startswith("Weights & Biases: offline, in ")
    assert "refused" in said


def test_a_key_anywhere_is_a_login_and_the_users_mode_has_precedence(tmp_path: Path) -> None:
    netrc, settings = tmp_path / "netrc", tmp_path / "settings"
    netrc.write_text(f"machine example.org login user password {'0' * 40}\n")
    nowhere = {"NETRC": str(tmp_path / "none"), "WANDB_CONFIG_DIR": str(tmp_path / "none")}
    assert monitor.choose_mode(nowhere) == "offline"
    assert monitor.choose_mode({**nowhere, "WANDB_MODE": "online"}) == "offline"
    assert monitor.choose_mode({**nowhere, "WANDB_API_KEY": "0" * 40}) == "online"
    assert monitor.choose_mode({**nowhere, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": "offline"}) == "offline"
    assert monitor.choose_mode({**nowhere, "WANDB_MODE": "disabled"}) == "disabled"
    assert monitor.choose_mode({**nowhere, "NETRC": str(netrc)}) == "offline"
    there = {**nowhere, "NETRC": str(netrc), "WANDB_BASE_URL": "https://example.org"}
    assert monitor.choose_mode(there) == "online"
    settings.write_text("[default]\nbase_url = https://example.org\n")
    assert monitor.choose_mode({"NETRC": str(netrc), "WANDB_CONFIG_DIR": str(tmp_path)}) == "online"


def test_the_process_is_left_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hooks = sys.exit, sys.excepthook, sys.stdout.write, sys.stderr.write
    before = os.getcwd()  # noqa: PTH109  # as it was, not resolved
    session(tmp_path / "run", WANTED, [trial(0)])
    assert (sys.exit, sys.excepthook, sys.stdout.write, sys.stderr.write) == hooks
    assert os.getcwd() == before  # noqa: PTH109
    assert wandb.run is None
    assert capfd.readouterr() == ("", "")
