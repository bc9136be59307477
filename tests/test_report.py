"""The report of a whole run: its numbers are those of the logs, and nothing in it points outside."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from scipy import stats

from nas.architecture import Architecture, Sketch
from nas.report import write_report
from nas.reporting.facts import Run
from nas.reporting.finals import finalists

FIGURES = {"progress", "size", "curves", "durations", "importance", "effects"}
CONFIG = {
    "budget": 20_000,
    "space": "mlp",
    "data": "digits",
    "strategy": "evolution",
    "trials": 24,
    "epochs": 4,
    "patience": 3,
    "min_change": 0.001,
    "seed": 7,
    "record": {
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "git_commit": "c0ffee",
        "data": {"fingerprint": "feed", "samples": [1079, 359, 359], "input_shape": [1, 8, 8], "classes": 10},
    },
}
Rows = list[dict[str, Any]]


def network() -> Architecture:
    net = Sketch((1, 8, 8))
    x = net("relu", net("linear", net("flatten", net.input), out=32))
    return net.done(net("linear", x, out=10))


PARAMS = network().num_params


def row(number: int, value: float | None = 0.5, **given: Any) -> dict[str, Any]:
    choices = {"depth": 1 + number % 3, "lr": (1e-3, 1e-2)[number % 2], "skip": number % 4 == 0}
    if choices["depth"] > 1:
        choices["width2"] = 16 * (1 + number % 5)
    heights = np.linspace(0.1, value or 0.2, 4)
    made = {
        "number": number,
        "values": [] if value is None else [value],
        "params": PARAMS + 101 * number,
        "network": f"network {number}",
        "choices": choices,
        "fidelity": 1.0,
        "seed": number,
        "metrics": {} if value is None else {"epochs": 4, "seconds": 2.5, "best_epoch": 4},
        "curve": [{"epoch": n, "val_accuracy": float(height)} for n, height in enumerate(heights, 1)],
        "error": "it broke" if value is None else None,
        "copy_of": None,
        "elapsed": 3.0 * (number + 1),
    }
    return {**made, **given}


def several(number: int = 16) -> Rows:
    rng = np.random.default_rng(0)
    rows = [row(n) for n in range(number)]
    for one in rows:
        one["values"] = [round(0.8 + 0.1 * (one["choices"]["lr"] == 1e-3) + 0.01 * float(rng.normal()), 4)]
    return rows


def final(of: dict[str, Any], numbers: Sequence[int], values: Sequence[float]) -> Rows:
    pairs = zip(numbers, values, strict=True)
    cost = {"epochs": 16, "seconds": 9.0}
    return [{**of, "number": n, "seed": 90 + n, "values": [v], "fidelity": 4.0, "metrics": cost} for n, v in pairs]


def make(
    path: Path,
    search: Rows,
    random: Rows = (),
    again: Rows = (),
    phase: str = "done",
    best: dict[str, Any] | None = None,
) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    for name, rows in (("trials", search), ("baseline", random), ("final", again)):
        (path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    state = {"phase": phase, "began": 1.7e9, "ended": 1.7e9 + 95 if phase == "done" else None, "pid": 1, "slots": 2}
    (path / "state.json").write_text(json.dumps(state))
    if best is not None:
        (path / "best").mkdir()
        facts = {"parameters": best["params"], "trial": best["number"], "test_accuracy": 0.9}
        (path / "best" / "config.json").write_text(json.dumps({**facts, "architecture": network().to_json()}))
    return path


class Page(HTMLParser):
    """What a page says, and all that it might fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.ids, self.fetched, self.scripts = "", list[str](), list[str](), 0
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.scripts += tag == "script"
        self.ids += [given["id"] or ""] if "id" in given else []
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action", "data", "srcset")]
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def report(path: Path) -> Page:
    return Page(write_report(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with both searches, three seeds a finalist, copies and failures; its report is written."""
    rows = several()
    random = [row(n, 0.75 + 0.001 * n, choices={"depth": 9, "lr": 0.1 * n, "skip": True}) for n in range(8)]
    best, theirs = max(rows, key=lambda r: r["values"]), random[7]
    rows += [
        {**best, "number": 16, "copy_of": best["number"], "metrics": {**best["metrics"], "epochs": 0, "seconds": 0.0}}
    ]
    random += [row(8, None, error="loss 3.5 in step 17\nmore"), row(9, None, error="loss 2.25 in step 4")]
    random += [row(10, None, error="<script>alert('$x')</script> & co")]
    again = final(best, (0, 1, 2), (0.91, 0.92, 0.93)) + final(theirs, (3, 4, 5), (0.80, 0.81, 0.85))
    path = make(tmp_path_factory.mktemp("runs") / "whole", rows, random, again, best={**best, "number": 1})
    write_report(path)
    return path


@pytest.fixture(scope="module")
def page(whole: Path) -> Page:
    return Page(whole / "report.html")


def test_the_head_gives_the_mean_of_fresh_seeds_its_interval_the_test_and_the_size(page: Page) -> None:
    half = 4.302653 * 1.0 / 3**0.5  # t of 2 degrees of freedom, times the deviation of 91, 92, 93
    assert f"92.00 ± {half:.2f} % validation accuracy, 90.00 % on the test part" in page.text
    share = 100 * finalists(Run.read(Path(page_path(page))))[0].first.params / 20_000
    assert f"{share:.1f} % of the budget of 20K" in page.text
    assert "best/predict.py samples.npy" in page.text
    for fact in ("1,079 training, 359 validation, 359 test", "feed", "c0ffee", "torch 2.13.0", "search: seed 7"):
        assert fact in page.text
    assert "at most 4 epochs; ended after 3 epochs without 0.10 points more validation accuracy" in page.text
    assert "17 trials of the search and 11 trials of random search, 6 final trainings" in page.text


def page_path(page: Page) -> str:
    found = re.search(r"python (\S+)/best/predict.py", page.text)
    assert found
    return found[1]


def test_finalists_stand_with_their_scores_in_the_search_and_each_of_their_seeds(whole: Path, page: Page) -> None:
    ours, theirs = finalists(Run.read(whole))
    assert [len(ours.values), len(theirs.values)] == [3, 3]
    assert ours.searched is not None
    assert theirs.searched is not None
    assert ours.searched.copy_of is None
    for text in ("91.00, 92.00, 93.00", "80.00, 81.00, 85.00", f"{100 * ours.searched.score:.2f} %", "75.70 %"):
        assert text in page.text
    assert f"search, trial {ours.searched.number}" in page.text
    assert "random search, trial 7" in page.text
    assert "flattered by chance" in page.text
    assert "so that the flattery is not their difference" in page.text  # the final training is longer


def test_the_difference_from_random_search_has_welchs_interval_and_a_verdict(page: Page) -> None:
    interval = stats.ttest_ind([0.91, 0.92, 0.93], [0.80, 0.81, 0.85], equal_var=False).confidence_interval(0.95)
    said = f"+10.00 points (95 % interval +{100 * interval.low:.2f} to +{100 * interval.high:.2f})"
    assert said in page.text
    assert "The search's best network is significantly better." in page.text
    assert "Each of the two searches was run once" in page.text


def test_the_cost_table_adds_up_what_the_rows_say(page: Page) -> None:
    for cells in ("search 17 0 1 40.0 2.5 64", "random search 11 3 0 20.0 2.5 32", "final training 6 0 0 54.0 9.0 96"):
        assert cells in page.text
    assert "together 34 3 1 114.0 9.0 192" in page.text


def test_the_table_of_layers_adds_up_to_the_network(page: Page) -> None:
    assert "linear 32" in page.text
    assert f"{64 * 32 + 32:,} {100 * (64 * 32 + 32) / 20_000:.1f} %" in page.text
    assert f"together {PARAMS:,}" in page.text


def test_failures_are_counted_by_message_whatever_its_numbers_and_escaped(page: Page) -> None:
    assert "loss 3.5 in step 17 2 random 8, random 9" in page.text
    assert "<script>alert" not in page.source
    assert "&lt;script&gt;alert(&#39;$x&#39;)&lt;/script&gt; &amp; co" in page.source
    assert page.scripts == 1


def test_nothing_on_the_page_is_fetched_from_anywhere_and_no_id_is_given_twice(page: Page) -> None:
    assert page.fetched
    assert [link for link in page.fetched if not link.startswith("#")] == []
    assert not re.search(r"@import|url\((?!#)", page.source)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.fetched} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page.source)) <= set(page.ids)


def test_the_figures_are_files_too_and_the_same_ones_each_time(whole: Path, page: Page) -> None:
    written = {file.stem: file.read_bytes() for file in (whole / "figures").glob("*.svg")}
    assert set(written) == FIGURES | {"architecture"}
    for drawing in written.values():
        assert ET.fromstring(drawing).tag.endswith("svg")
    for label in re.findall(r'<svg[^>]*aria-label="([^"]*)"', page.source):
        assert len(label) > 20
    assert page.source.count('role="img"') == len(written)
    before = page.source
    write_report(whole)
    assert {file.stem: file.read_bytes() for file in (whole / "figures").glob("*.svg")} == written
    assert (whole / "report.html").read_text(encoding="utf-8") == before


def test_every_column_of_every_table_has_a_header(page: Page) -> None:
    assert page.source.count("<th") > 20
    assert re.findall(r"<th(?![^>]*scope=)(?!ead)", page.source) == []
