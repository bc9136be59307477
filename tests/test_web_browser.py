"""NNI's own pages in a real browser, on a search that runs: no page error, its numbers, its kill button."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy import command, environment, rows

pytest.importorskip("nni_node", reason="the web UI needs the extra [nni]")
playwright = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(280),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


class Page:
    """A page and what went wrong on it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1500, "height": 1250})
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)

    def text(self) -> str:
        return str(self.page.inner_text("body"))

    def shows(self, pattern: str, seconds: float = 60.0) -> bool:
        """Whether the page has this text within some seconds."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text()):
            if time.monotonic() > end:
                return False
            self.page.wait_for_timeout(250)
        return True


class Search:
    """A search with the web UI, in a process of its own."""

    def __init__(self, out: Path, *options: str) -> None:
        self.out = out
        given = ("--budget", "5K", "--no-baseline", "--no-final", "--workers", "1", "--out", str(out), "--nni", "0")
        self.process = subprocess.Popen(
            command(*given, *options), env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        said = next(line for line in self.process.stderr if "NNI web UI" in line)
        self.address = said.split()[-1].rstrip("/")

    def end(self) -> int:
        """Wait for its end, and give the exit status."""
        self.process.communicate(timeout=100)
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Search]]:
    """Starts a search; one that a failed test leaves behind is ended."""
    started: list[Search] = []

    def make(*options: str) -> Search:
        started.append(Search(tmp_path / "run", *options))
        return started[-1]

    yield make
    for search in started:
        search.process.kill()
        search.process.communicate()


def test_both_pages_are_open_during_a_whole_search(browser: Any, start: Callable[..., Search]) -> None:
    """More than a hundred trials: from there on the page asks for metrics in ranges."""
    search = start("--trials", "240", "--epochs", "3")
    pages = [Page(browser, f"{search.address}/{name}") for name in ("oview", "detail")]
    assert pages[0].shows("RUNNING", 30)
    assert pages[0].shows(r"Top trials")
    while search.process.poll() is None and len(rows(search.out / "trials.jsonl")) < 235:
        for page in pages:
            page.page.wait_for_timeout(500)
    for page in pages:
        assert page.errors == []
    assert search.end() == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("finished") / "run"
    given = ("--budget", "5K", "--no-baseline", "--no-final", "--workers", "1", "--out", str(out))
    subprocess.run(command(*given, "--trials", "30", "--epochs", "3"), env=environment(), check=True, timeout=200)
    return out


@pytest.fixture
def served(finished: Path) -> Iterator[str]:
    """The address of `python -m nas.monitor RUN`."""
    given = [*command()[:2], "nas.monitor", str(finished), "--port", "0"]
    server = subprocess.Popen(given, env=environment(), stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield server.stdout.readline().split()[1].rstrip("/")
    server.terminate()
    server.communicate(timeout=20)


def test_a_finished_run_shows_the_numbers_of_its_log(browser: Any, finished: Path, served: str) -> None:
    trials = rows(finished / "trials.jsonl")
    best = sorted((t for t in trials if t["values"]), key=lambda t: -t["values"][0])
    page = Page(browser, f"{served}/oview")
    assert page.shows("DONE")
    assert page.shows(f"{best[0]['values'][0]:.6f}")
    shown = page.page.inner_text("#succTable").split("\n")
    for trial in best[:5]:
        assert f"trial-{trial['number']}" in shown
        assert f"{trial['values'][0]:.6f}".rstrip("0") in [value.rstrip("0") for value in shown]
    assert page.errors == []


def test_the_detail_page_shows_every_chart(browser: Any, served: str) -> None:
    page = Page(browser, f"{served}/detail")
    for tab in ("Hyper-parameter", "Duration", "Intermediate result", "Default metric"):
        page.page.get_by_text(tab, exact=True).first.click()
        page.page.wait_for_timeout(500)
        assert page.page.locator("canvas, svg").count() > 0
    text = page.text()
    assert "SUCCEEDED" in text or "EARLY_STOPPED" in text
    assert page.errors == []


def test_the_kill_button_stops_a_trial(browser: Any, start: Callable[..., Search]) -> None:
    search = start("--trials", "2", "--epochs", "20000", "--patience", "20000", "--fix", "depth=2")
    page = Page(browser, f"{search.address}/detail")
    for _ in range(2):
        assert page.shows("RUNNING")
        page.page.locator("button[title=kill]:not([disabled])").first.click()
        page.page.get_by_text("Yes", exact=True).click()
        page.page.get_by_role("button", name="Close").click()
        page.page.wait_for_timeout(1500)
        page.page.get_by_text("Refresh", exact=True).first.click()
    assert search.end() == 1  # no trial has a result
    stopped = [json.loads(line)["error"] for line in (search.out / "trials.jsonl").read_text().splitlines()]
    assert all(str(error).startswith("Stopped: stopped by hand in epoch") for error in stopped)
    assert len(stopped) == 2
    assert page.errors == []
