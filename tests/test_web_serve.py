"""The server of the NNI web UI: its command, its port, and how it begins and ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from toy import environment, gone

pytest.importorskip("starlette", reason="the web UI needs the extra [nni]")
pytest.importorskip("nni_node", reason="the web UI needs the extra [nni]")

from serving import API, Run

import nas
from nas.web.serve import listen, main

pytest_plugins = ("fixtures_run", "fixtures_web")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing"], "'missing' is no run directory"),
        (["run", "--port", "70000"], "--port: a port is 0..65535, got 70000"),
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
    with pytest.raises(ValueError, match=r"--nni: a port is 0\.\.65535, got 99999"):
        nas.search(budget="5K", workers=0, monitors=["nni:99999"], out=tmp_path / "run")
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


def test_the_address_that_is_printed_opens_the_door_whatever_the_token(
    finished: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(run: Path, listening: socket.socket, token: str | None) -> None:
        listening.close()

    monkeypatch.setattr("nas.web.serve.serve", serve)
    token = "a b&c#d+e/ü%41"
    assert main([str(finished.path), "--port", "0", "--token", token]) == 0
    address = capsys.readouterr().out.partition("http://")[2].removesuffix(" (Ctrl-C ends it)\n")
    assert " " not in address
    assert parse_qs(urlsplit(f"//{address}").query) == {"token": [token]}


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
