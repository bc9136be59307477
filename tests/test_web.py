"""The NNI web UI on a run directory: what it is told, who is let in, and that nothing but a trial can be stopped."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from toy import environment, gone, rows

pytest.importorskip("starlette", reason="the web UI needs the extra [nni]")
pytest.importorskip("nni_node", reason="the web UI needs the extra [nni]")

from starlette.testclient import TestClient

import nas
from nas.live import stop_file
from nas.record import Record
from nas.web.answers import Answers, number_of
from nas.web.app import COOKIE, make_app
from nas.web.serve import find_ui, listen, main

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
API = "/api/v1/nni"


def row(number: int, **facts: Any) -> dict[str, Any]:
    """A line of trials.jsonl."""
    curve = [{"epoch": n, "val_accuracy": n / 10, "train_loss": 1 / n, "seconds": 0.1} for n in range(1, 9)]
    given = {
        "number": number,
        "values": [0.8],
        "params": 1000 + number,
        "network": "64-32, relu",
        "widths": [64, 32],
        "choices": {"depth": 2 + number % 3, "activation": ("relu", "gelu")[number % 2], "lr": 0.001, "clip": 1.0},
        "fidelity": 1.0,
        "seed": 1,
        "metrics": {"epochs": 8, "seconds": 0.8},
        "curve": curve,
        "error": None,
        "copy_of": None,
        "elapsed": number + 1.0,
        "ended": 1.7e9 + number,
    }
    return {**given, **facts}


def failed(number: int, error: str) -> dict[str, Any]:
    return row(number, values=[], metrics={}, curve=[], error=error)


ROWS = [
    row(0),
    row(1, metrics={"epochs": 5, "seconds": 0.5}, curve=row(1)["curve"][:5]),
    failed(2, "NotFinite: the loss is not finite"),
    failed(3, "Stopped: stopped by hand in epoch 2"),
    row(4, copy_of=0, metrics={"epochs": 0, "seconds": 0.0}),
]


class Run:
    """A run directory made by hand; `client` asks its server."""

    def __init__(self, path: Path, written: list[dict[str, Any]], phase: str = "done") -> None:
        self.path = path
        (path / "live" / "search").mkdir(parents=True)
        config = {"epochs": 8, "folds": 1, "strategy": "evolution", "trials": 24, "budget": 5000}
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        (path / "space.json").write_text(json.dumps({"depth": [2, 3, 4], "clip": [1.0]}))
        (path / "errors.log").write_text("trial 2: NotFinite: the loss\nTraceback\n\ntrial 3: Stopped\n\n")
        self.write(written)
        self.enter(phase)

    def write(self, written: list[dict[str, Any]]) -> None:
        with (self.path / "trials.jsonl").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in written)

    def enter(self, phase: str) -> None:
        ended = 1.7e9 + 90 if phase == "done" else None
        state = {"phase": phase, "began": 1.7e9, "ended": ended, "pid": 1, "slots": 2}
        (self.path / "state.json").write_text(json.dumps(state))

    def running(self, number: int, epochs: int) -> None:
        """A trial that has run for so many epochs."""
        facts = {key: row(number)[key] for key in ("number", "params", "network", "widths", "choices", "fidelity")}
        lines = [{**facts, "began": 1.7e9}, *row(number)["curve"][:epochs]]
        file = self.path / "live" / "search" / f"trial-{number:05d}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def client(self, token: str | None = None, **headers: str) -> TestClient:
        app = make_app(Record(self.path), find_ui(), 8080, token)
        return TestClient(app, base_url="http://localhost:8080", headers=headers, follow_redirects=False)


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    return Run(tmp_path / "run", ROWS)


@pytest.fixture
def live(tmp_path: Path) -> Any:
    """A search in which trial 5 has run for two epochs."""
    run = Run(tmp_path / "run", ROWS, "search")
    run.running(5, epochs=2)
    with FileLock(run.path / ".lock"):
        yield run


def data(metric: dict[str, Any]) -> Any:
    """JSON inside JSON, as the page reads it."""
    return json.loads(json.loads(metric["data"]))


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


def test_the_kill_button_leaves_the_file_at_which_the_training_stops(live: Run) -> None:
    assert live.client().delete(f"{API}/trial-jobs/trial-5").status_code == 200
    assert stop_file(live.path / "live" / "search" / "trial-00005.jsonl").exists()


@pytest.mark.parametrize("name", ["trial-0", "trial-99", "5", "trial--1", "..%2f..%2fconfig", "trial-5%2f..%2f6"])
def test_what_does_not_run_cannot_be_killed(live: Run, name: str) -> None:
    answer = live.client().delete(f"{API}/trial-jobs/{name}")
    assert answer.status_code in (405, 409)
    assert answer.json()["error"]
    assert not list(live.path.rglob("*.stop"))


@pytest.mark.parametrize("path", ["/experiment", "/tensorboard", "/trial-jobs", "/nothing", "/trial-jobs/trial-5"])
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
def test_nothing_can_be_changed(live: Run, method: str, path: str) -> None:
    answer = live.client().request(method, f"{API}{path}", json={})
    assert answer.status_code == 405


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_are_only_read(live: Run, method: str) -> None:
    assert live.client().request(method, "/oview").status_code == 405


def test_the_page_answers_every_way_into_it(finished: Run) -> None:
    pages = [finished.client().get(path) for path in ("/", "/oview", "/detail", "/experiment", "/elsewhere")]
    assert {page.status_code for page in pages} == {200}
    assert len({page.text for page in pages}) == 1
    assert "<div id=" in pages[0].text
    assert finished.client().get("/logo.svg").headers["content-type"].startswith("image/svg")


@pytest.mark.parametrize(
    "path",
    ["/../config.yaml", "/%2e%2e/config.yaml", "/..%2f..%2f..%2fetc/passwd", "//etc/passwd", "/config.yaml",
     f"{API}/trial-file/trial-0/..%2f..%2fconfig.yaml", "/logs/..%2fconfig.yaml", "/static/../../../etc/passwd"],
)  # fmt: skip  # a list of paths
def test_no_file_but_those_of_the_page_is_served(finished: Run, path: str) -> None:
    text = finished.client().get(path).text
    assert "root:" not in text
    assert "strategy: evolution" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8080"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"origin": ""},
        {"origin": "http://[::1"},
        {"host": "[::1"},
        {"host": "[evil.example]:8080"},
        {"host": ""},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_whoever_comes_from_elsewhere_is_refused(live: Run, headers: dict[str, str]) -> None:
    client = live.client(**headers)
    assert client.get(f"{API}/trial-jobs").status_code == 403
    assert client.delete(f"{API}/trial-jobs/trial-5").status_code == 403
    assert not list(live.path.rglob("*.stop"))


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"])
def test_the_page_itself_is_let_in(live: Run, host: str) -> None:
    own = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert live.client(**own).get(f"{API}/trial-jobs").status_code == 200


def test_with_a_token_nobody_gets_in_without_it(live: Run) -> None:
    client = live.client("correct horse")
    assert client.get("/oview").status_code == client.get(f"{API}/trial-jobs").status_code == 401
    assert client.get("/oview?token=wrong").status_code == 401
    assert client.delete(f"{API}/trial-jobs/trial-5").status_code == 401
    entered = client.get("/oview?token=correct%20horse")
    assert entered.status_code == 303
    assert "httponly" in entered.headers["set-cookie"].lower()
    assert client.cookies[COOKIE]
    assert client.get(f"{API}/trial-jobs").status_code == 200
    assert live.client("correct horse", host="[::1").get("/oview?token=correct%20horse").status_code == 403
    bearer = live.client("correct-horse", authorization="Bearer correct-horse", host="other.example")
    assert bearer.get(f"{API}/trial-jobs").status_code == 200


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing"], "'missing' is no run directory"),
        (["run", "--port", "70000"], "a port is 0..65535, got 70000"),
        (["run", "--host", "0.0.0.0"], "--host 0.0.0.0 lets others in; give --token random"),
        (["run", "--token", "short"], "--token must have at least 8 characters, got 5"),
    ],
)
def test_a_mistake_is_one_sentence(
    finished: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(finished.path.parent)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} of 127.0.0.1 cannot be had"):
            nas.search(budget="5K", workers=0, monitors=[f"nni:{port}"], out=tmp_path / "run")
    assert not (tmp_path / "run" / "trials.jsonl").exists()
    with pytest.raises(ValueError, match="--nni takes a port"):
        nas.search(budget="5K", workers=0, monitors=["nni:here"], out=tmp_path / "run")


def test_the_server_ends_with_the_process_that_it_serves(finished: Run) -> None:
    listening = listen("127.0.0.1", 0)
    command = [sys.executable, "-m", "nas.monitor", str(finished.path), "--fd", str(listening.fileno())]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=[listening.fileno()], env=environment(), stderr=subprocess.PIPE
    )
    with socket.create_connection(listening.getsockname(), 30) as asking:
        asking.sendall(f"GET {API}/version HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        assert asking.makefile("rb").read().endswith(b"v3.0")
    assert server.stdin is not None
    server.stdin.close()
    assert gone([server.pid], 10)
    assert server.stderr is not None
    assert server.stderr.read() == b""
    server.stderr.close()
    server.wait()
    listening.close()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_that_is_printed_is_served(finished: Run, host: str, shown: str) -> None:
    import httpx2

    try:
        listen(host, 0).close()
    except ValueError:
        pytest.skip(f"this machine has no {host}")
    command = [sys.executable, "-m", "nas.monitor", str(finished.path), "--host", host, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().removeprefix(f"{finished.path}: ").split()[0]
            assert address.startswith(f"http://{shown}:")
            assert httpx2.get(f"{address}{API[1:]}/version", timeout=30).text == "v3.0"
        finally:
            server.terminate()


def test_a_search_is_watched_while_it_runs(tmp_path: Path) -> None:
    """The page's server is up before the first trial has ended, and gone after the last."""
    import httpx2

    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    seen: list[dict[str, Any]] = []

    class Looking(nas.Monitor):
        def told(self, trial: nas.Trial) -> None:
            address = f"http://127.0.0.1:{port}{API}/trial-jobs"
            while len(seen) <= trial.number:  # what is shown may be half a second old
                jobs = httpx2.get(address, timeout=30).json()
                seen.extend(job for job in jobs if job["sequenceId"] == trial.number and "endTime" in job)

    nas.search(
        budget="5K", trials=2, epochs=2, workers=0, baseline=False, final_epochs=0, out=tmp_path / "run",
        monitors=[f"nni:{port}", Looking()],
    )  # fmt: skip  # options
    assert [job["status"] for job in seen] == ["SUCCEEDED"] * 2
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/", timeout=5)
