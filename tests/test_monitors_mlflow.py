"""What MLflow's own client finds: a run for the search, one nested in it for each trial, the same numbers in them."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from telling import CONFIG, copied, failed, session, trial

from nas.trial import Trial
from nas.watching import open_monitors

pytest.importorskip("mlflow")

from mlflow import MlflowClient, active_run

from nas.monitors.mlflow import MLflow

WANTED = {"mlflow": ""}


pytest_plugins = ("fixtures_trackers",)
pytestmark = pytest.mark.usefixtures("by_itself")


class Store:
    """The runs in a store: that of the search, and those of its trials by their names."""

    def __init__(self, uri: str) -> None:
        self.client = MlflowClient(tracking_uri=uri)
        experiment = self.client.get_experiment_by_name("nas")
        assert experiment is not None
        runs = self.client.search_runs([experiment.experiment_id])
        (self.parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == self.parent.info.run_id]
        assert len(nested) == len(runs) - 1
        self.runs = {run.info.run_name: run for run in nested}
        assert len(self.runs) == len(nested)

    def history(self, run: Any, key: str) -> list[tuple[int, float]]:
        return sorted((m.step, m.value) for m in self.client.get_metric_history(run.info.run_id, key))


def test_a_trial_is_a_nested_run_with_its_choices_its_curve_and_its_accuracy(tmp_path: Path) -> None:
    trials = [trial(0), trial(17)]
    session(tmp_path / "run", WANTED, trials)
    store = Store(str(tmp_path / "run/mlruns"))
    assert set(store.runs) == {"search/trial-00000", "search/trial-00017"}
    for told in trials:
        run = store.runs[f"search/trial-{told.number:05d}"]
        assert run.data.params == {name: str(value) for name, value in told.candidate.values.items()}
        assert run.info.status == "FINISHED"
        assert run.info.end_time - run.info.start_time == 1000
        assert run.data.metrics["accuracy"] == told.value
        assert run.data.metrics["parameters"] == told.params
        assert run.data.metrics["seconds"] == told.metrics["seconds"]
        for name in set(told.curve[0]) - {"epoch", "seconds"}:
            assert store.history(run, name) == [(row["epoch"], row[name]) for row in told.curve]
        assert store.history(run, "epoch_seconds") == [(1, 0.25), (2, 0.5)]


def test_the_run_of_the_search_has_its_options_and_the_best_so_far(tmp_path: Path) -> None:
    run = tmp_path / "run"
    session(run, {}, [])
    (run / "best").mkdir()
    (run / "best/config.json").write_text(json.dumps({"test_accuracy": 0.75, "parameters": 12}))
    session(run, WANTED, [trial(3), failed(4), trial(1), trial(8)])
    store = Store(str(run / "mlruns"))
    assert store.history(store.parent, "search/best_accuracy") == [(1, 0.23), (2, 0.23), (3, 0.23), (4, trial(8).value)]
    assert store.parent.data.params == {"budget": "5000", "space": "line", "seed": "3", "fix": "{'depth': [1, 2]}"}
    assert store.parent.data.metrics["test_accuracy"] == 0.75
    assert (store.parent.info.run_name, store.parent.info.status) == ("run", "FINISHED")
    assert active_run() is None


def test_failures_are_failed_runs_and_copies_keep_the_curve_they_took_over(tmp_path: Path) -> None:
    session(tmp_path / "run", WANTED, [trial(0), failed(1), copied(2, trial(0))])
    store = Store(str(tmp_path / "run/mlruns"))
    bad, copy = store.runs["search/trial-00001"], store.runs["search/trial-00002"]
    assert bad.info.status == "FAILED"
    assert bad.data.tags["nas.error"] == failed(1).error
    assert set(bad.data.metrics) == {"parameters"}
    assert copy.info.status == "FINISHED"
    assert copy.data.tags["nas.copy_of"] == "0"
    assert store.history(copy, "val_loss") == [(row["epoch"], row["val_loss"]) for row in trial(0).curve]


def test_folds_have_curves_of_their_own(tmp_path: Path) -> None:
    rows = trial(0).curve
    folded = tuple({**row, "fold": fold, "val_loss": fold + row["epoch"]} for fold in (1, 2) for row in rows)
    session(tmp_path / "run", WANTED, [trial(0, curve=folded)])
    store = Store(str(tmp_path / "run/mlruns"))
    run = store.runs["search/trial-00000"]
    assert store.history(run, "fold-1/val_loss") == [(1, 2.0), (2, 3.0)]
    assert store.history(run, "fold-2/val_loss") == [(1, 3.0), (2, 4.0)]
    assert run.data.metrics["val_loss"] == trial(0).metrics["val_loss"]


def test_a_resumed_search_goes_on_in_the_same_run_and_writes_nothing_twice(tmp_path: Path) -> None:
    run = tmp_path / "run"
    session(run, {}, [trial(0)])  # a session that did not write
    session(run, WANTED, [trial(1), trial(2)], [trial(0)])
    first = Store(str(run / "mlruns"))
    half = first.runs["search/trial-00002"].info.run_id
    first.client.update_run(half, status="RUNNING")  # as one is left that was being written when all was killed
    session(run, WANTED, [trial(3)], [trial(0), trial(1), trial(2)])
    then = Store(str(run / "mlruns"))
    assert then.parent.info.run_id == first.parent.info.run_id
    assert set(then.runs) == {f"search/trial-0000{n}" for n in range(4)}
    assert then.runs["search/trial-00001"].info.run_id == first.runs["search/trial-00001"].info.run_id
    assert then.runs["search/trial-00002"].info.run_id != half
    assert then.runs["search/trial-00002"].data.metrics["accuracy"] == trial(2).value


def test_a_run_that_is_no_longer_in_the_store_is_begun_anew(tmp_path: Path) -> None:
    run = tmp_path / "run"
    session(run, WANTED, [trial(0)])
    (run / "mlflow.json").write_text(json.dumps({"uri": str(run / "mlruns"), "run_id": "0" * 32}))
    first = Store(str(run / "mlruns"))
    first.client.delete_run(first.parent.info.run_id)
    first.client.delete_run(first.runs["search/trial-00000"].info.run_id)
    session(run, WANTED, [trial(1)], [trial(0)])
    assert set(Store(str(run / "mlruns")).runs) == {"search/trial-00000", "search/trial-00001"}


def test_more_epochs_than_one_request_holds_are_all_written(tmp_path: Path) -> None:
    row = trial(0).curve[0]
    long: Trial = trial(0, curve=tuple({**row, "epoch": epoch, "lr": epoch / 7} for epoch in range(1, 151)))
    session(tmp_path / "run", WANTED, [long])
    store = Store(str(tmp_path / "run/mlruns"))
    assert store.history(store.runs["search/trial-00000"], "lr") == [(n, n / 7) for n in range(1, 151)]


def test_a_folder_or_a_database_of_ones_own_is_taken(tmp_path: Path) -> None:
    notices = session(tmp_path / "run", {"mlflow": str(tmp_path / "my store")}, [trial(0)])
    assert notices == [f"MLflow: MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri '{tmp_path}/my store'"]
    assert set(Store(str(tmp_path / "my store")).runs) == {"search/trial-00000"}


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:PASSWORD@host:5000", "MLflow: http://host:5000"),
        ("mysql+pymysql://me:PASSWORD@host/db", "MLflow: mlflow ui --backend-store-uri mysql+pymysql://host/db"),
    ],
)
def test_a_password_is_used_and_not_shown(
    uri: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.monitors.mlflow._check", lambda uri: None)
    monitor = MLflow.of(uri, tmp_path, CONFIG)
    assert (monitor.uri, monitor.notice) == (uri, shown)


def test_a_run_is_found_again_by_an_address_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("nas.monitors.mlflow.public", lambda uri: "shown")
    session(run, WANTED, [trial(0)])
    found = json.loads((run / "mlflow.json").read_text())
    assert found["uri"] == "shown"
    session(run, WANTED, [trial(1)], [trial(0)])
    assert json.loads((run / "mlflow.json").read_text()) == found


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://127.0.0.1:{port}", r"no server answers there \(.*\); start it, or leave the URI out"),
        ("http://me:PASSWORD@127.0.0.1:{port}", r"--mlflow http://127\.0\.0\.1:\d+: no server answers there"),
        ("ftp://example.org", r"takes a folder, http\(s\)://HOST:PORT or a database URI, got 'ftp://example\.org'"),
    ],
)
def test_a_store_that_cannot_be_had_is_said_before_anything_is_trained(uri: str, message: str, tmp_path: Path) -> None:
    with socket.socket() as bound:  # a port at which nobody listens
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match=message):
            open_monitors({"mlflow": uri.format(port=bound.getsockname()[1])}, tmp_path / "run", CONFIG)
