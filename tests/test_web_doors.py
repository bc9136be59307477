"""The NNI web UI on a run directory: who is let in, and that nothing but a trial can be stopped."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the web UI needs the extra [nni]")
pytest.importorskip("nni_node", reason="the web UI needs the extra [nni]")

from serving import API, Run

from nas.live import stop_file
from nas.web.app import COOKIE

pytest_plugins = ("fixtures_run", "fixtures_web")
pytestmark = pytest.mark.usefixtures("one_thread")


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
     f"{API}/trial-file/trial-0/..%2f..%2fconfig.yaml", "/logs/..%2fconfig.yaml", "/static/../../../etc/passwd", "/%00",
     "/" + "a" * 5000],
)  # fmt: skip  # a list of paths
def test_no_file_but_those_of_the_page_is_served(finished: Run, path: str) -> None:
    answer = finished.client().get(path)
    assert answer.status_code < 500
    text = answer.text
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
    assert client.cookies[f"{COOKIE}-8080"]  # not that of a server on another port, to which it is sent as well
    assert client.get(f"{API}/trial-jobs").status_code == 200
    assert live.client("correct horse", host="[::1").get("/oview?token=correct%20horse").status_code == 403
    bearer = live.client("correct-horse", authorization="Bearer correct-horse", host="other.example")
    assert bearer.get(f"{API}/trial-jobs").status_code == 200


@pytest.mark.parametrize("token", ["a b&c#d+e", "größe/%41", "пароль-日本"])
def test_any_token_opens_the_door_that_it_was_made_for(live: Run, token: str) -> None:
    client = live.client(token)
    assert client.get("/oview", params={"token": token}).status_code == 303
    assert client.get(f"{API}/trial-jobs").status_code == 200


def test_a_run_that_is_moved_while_somebody_looks_is_one_sentence(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.web.app.FRESH", 0.0)
    client = finished.client()
    finished.path.rename(finished.path.with_name("elsewhere"))
    for path in ("check-status", "trial-jobs", "trial-jobs/trial-0"):
        answer = client.get(f"{API}/{path}")
        assert answer.status_code == 503
        assert "the run directory cannot be read" in answer.json()["error"]
    assert not finished.path.exists()
