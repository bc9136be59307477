"""The NNI web UI on a run directory: what it is told."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from toy import rows

pytest.importorskip("starlette", reason="the web UI needs the extra [nni]")
pytest.importorskip("nni_node", reason="the web UI needs the extra [nni]")

from serving import API, ROWS, Run, data, row

import nas
from nas.record import Record
from nas.web.answers import Answers, number_of

pytest_plugins = ("fixtures_run", "fixtures_web")
pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_trial_has_its_status(live: Run) -> None:
    jobs = live.client().get(f"{API}/trial-jobs").json()
    states = ["SUCCEEDED", "EARLY_STOPPED", "FAILED", "USER_CANCELED", "SUCCEEDED", "RUNNING"]
    assert [job["status"] for job in jobs] == states
    assert [job["sequenceId"] for job in jobs] == list(range(6))
    counts = live.client().get(f"{API}/job-statistics").json()
    assert {c["trialJobStatus"]: c["trialJobNumber"] for c in counts} == {s: states.count(s) for s in states}


def test_the_numbers_are_those_of_the_log(tmp_path: Path) -> None:
    out = tmp_path / "run"
    nas.search(budget="5K", trials=3, epochs=2, workers=0, baseline=False, final_epochs=0, out=out)
    client = Run.client(type("Made", (), {"path": out})())  # type: ignore[arg-type]  # a path is all it takes
    logged = {r["number"]: r for r in rows(out / "trials.jsonl")}
    forks = json.loads((out / "space.json").read_text())
    for job in client.get(f"{API}/trial-jobs").json():
        trial = logged[job["sequenceId"]]
        shown = json.loads(job["hyperParameters"][0])["parameters"]
        assert shown == {name: v for name, v in trial["choices"].items() if len(forks[name]) > 1}
        final = data(job["finalMetricData"][0])
        assert (final["default"], final["parameters"]) == (trial["values"][0], trial["params"])
        assert job["endTime"] - job["startTime"] == pytest.approx(1000 * trial["metrics"]["seconds"], abs=2)
        metrics = client.get(f"{API}/metric-data-range/{trial['number']}/{trial['number']}").json()
        periodical = [data(m) for m in metrics if m["type"] == "PERIODICAL"]
        assert periodical == [epoch["val_accuracy"] for epoch in trial["curve"]]
    assert client.get(f"{API}/check-status").json() == {"status": "DONE", "errors": []}


def test_a_trial_that_runs_has_no_final_metric_at_all(live: Run) -> None:
    """An empty list of them breaks NNI's page."""
    client = live.client()
    job = client.get(f"{API}/trial-jobs").json()[-1]
    assert "finalMetricData" not in job
    assert "endTime" not in job
    ours = [m for m in client.get(f"{API}/metric-data-latest").json() if m["trialJobId"] == "trial-5"]
    assert [(m["type"], m["sequence"], data(m)) for m in ours] == [("PERIODICAL", 0, 0.1), ("PERIODICAL", 1, 0.2)]


def test_the_latest_metrics_are_all_that_is_known_of_the_trials_they_name(live: Run) -> None:
    client = live.client()
    latest, whole = (client.get(f"{API}/{name}").json() for name in ("metric-data-latest", "metric-data"))
    for name in {m["trialJobId"] for m in latest}:
        assert [m for m in latest if m["trialJobId"] == name] == [m for m in whole if m["trialJobId"] == name]
    assert len([m for m in whole if m["trialJobId"] == "trial-0"]) == 9


def test_what_ends_while_somebody_looks_is_seen(live: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.web.app.FRESH", 0.0)
    client = live.client()
    assert client.get(f"{API}/trial-jobs/trial-5").json()["status"] == "RUNNING"
    live.write([row(5)])  # its live file may still be there for a moment
    assert client.get(f"{API}/trial-jobs/trial-5").json()["status"] == "SUCCEEDED"
    assert len(client.get(f"{API}/trial-jobs").json()) == 6


def test_the_experiment_is_described(finished: Run) -> None:
    client = finished.client()
    experiment = client.get(f"{API}/experiment").json()
    params = experiment["params"]
    assert params["tuner"] == {"className": "evolution", "classArgs": {"optimize_mode": "maximize"}}
    assert params["maxTrialNumber"] == 24
    assert params["searchSpace"]["depth"] == {"_type": "choice", "_value": [2, 3, 4]}
    assert set(params["searchSpace"]) == {"depth", "activation"}  # a fork of one way on is no choice
    assert experiment["execDuration"] == 90
    metadata = client.get(f"{API}/experiment-metadata").json()
    assert (metadata["status"], metadata["port"], metadata["endTime"]) == ("DONE", 8080, 1000 * (1.7e9 + 90))
    assert client.get(f"{API}/experiments-info").json() == client.get(f"{API}/tensorboard-tasks").json() == []
    assert client.get(f"{API}/version").text == "v3.0"
    assert [e["value"] for e in client.get(f"{API}/export-data").json()] == [0.8, 0.8, 0.8]


@pytest.mark.parametrize(
    ("phase", "status"),
    [("done", "DONE"), ("interrupted", "STOPPED"), ("failed", "ERROR"), ("search", "ERROR"), ("killed", "ERROR")],
)
def test_a_search_that_has_ended_says_how(tmp_path: Path, phase: str, status: str) -> None:
    """`search`, and nobody holds the lock: it was killed."""
    assert Run(tmp_path / "run", ROWS, phase).client().get(f"{API}/check-status").json()["status"] == status


def test_many_different_numbers_are_an_axis_of_numbers(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", [row(n, choices={"width": n, "on": bool(n % 2)}) for n in range(40)])
    axes = Answers(Record(run.path)).space()
    assert axes["width"] == {"_type": "uniform", "_value": [0, 39]}
    assert axes["on"] == {"_type": "choice", "_value": [False, True]}


def test_the_logs_of_a_trial_tell_of_it(live: Run) -> None:
    client = live.client()
    told = client.get(f"{API}/trial-file/trial-0/trial.log").text
    assert "0.8000" in told
    assert "64-32, relu" in told
    assert "clip  1.0" in told  # what was not open is told here
    assert "running" in client.get(f"{API}/trial-file/trial-5/stdout").text
    error = client.get(f"{API}/trial-file/trial-2/stderr").text
    assert "Traceback" in error
    assert "trial 3" not in error
    assert "not failed" in client.get(f"{API}/trial-file/trial-0/stderr").text
    assert client.get("/logs/dispatcher.log").text.startswith("trial 2")
    assert client.get("/logs/nnimanager.log").text.count("\n") == len(ROWS)


def test_the_errors_of_a_trial_are_those_of_the_search_alone(live: Run) -> None:
    errors = {
        "trial 2": "ours",
        "random search, trial 2": "the baseline's",
        "trial 22": "another's",
        "final training 2": "a longer training's",
        "trial 3": "the next one's",
    }
    log = "".join(f"{name}: {error}\nTraceback of {error}\n\n" for name, error in errors.items())
    (live.path / "errors.log").write_text(log)
    client = live.client()
    assert client.get(f"{API}/trial-file/trial-2/stderr").text == "trial 2: ours\nTraceback of ours\n\n"
    assert client.get(f"{API}/trial-file/trial-3/stderr").text.startswith("trial 3: the next one's\n")
    assert client.get(f"{API}/trial-file/trial-0/stderr").text == "it has not failed\n"
    assert client.get("/logs/dispatcher.log").text == log


def test_a_curve_from_whose_rows_figures_are_missing_is_a_table_of_all_of_them(tmp_path: Path) -> None:
    """What is not finite is not in the log."""
    curve = [{"epoch": 1}, {"epoch": 2, "val_accuracy": 0.5, "val_loss": 1.25}, {"epoch": 3, "val_loss": 1.5}]
    client = Run(tmp_path / "run", [row(0, curve=curve)]).client()
    answer = client.get(f"{API}/trial-file/trial-0/trial.log")
    assert answer.status_code == 200
    table = [line.split() for line in answer.text.splitlines()[-4:]]
    assert table == [["epoch", "val_accuracy", "val_loss"], ["1"], ["2", "0.5", "1.25"], ["3", "1.5"]]
    assert len({len(line) for line in answer.text.splitlines()[-4:]}) == 1


@pytest.mark.parametrize("name", ["trial-7", "trial-007"])
def test_a_name_is_a_number(name: str) -> None:
    assert number_of(name) == 7


@pytest.mark.parametrize("name", ["7", "trial-", "trial-x", "trial-1e3", "trial-²", "trial-" + "9" * 40])
def test_another_name_is_none(name: str) -> None:
    assert number_of(name) is None


def test_ten_thousand_trials_are_answered_at_once(tmp_path: Path) -> None:
    client = Run(tmp_path / "run", [row(n) for n in range(10_000)]).client()
    paths = ["trial-jobs", "metric-data", "metric-data-latest", "metric-data-range/500/520", "experiment",
             "job-statistics", "trial-jobs/trial-77", "check-status"]  # fmt: skip  # a list of paths
    for path in paths:
        spent = []
        for _ in range(4):
            began = time.perf_counter()
            assert client.get(f"{API}/{path}").status_code == 200
            spent.append(time.perf_counter() - began)
        assert min(spent) < 0.2, (path, spent)
