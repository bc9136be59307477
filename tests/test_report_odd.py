"""Odd runs in a report: empty, running, killed, failed, damaged, huge; each is told as what it is."""

from __future__ import annotations

import time
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from test_report import final, make, report, row, several


def test_a_search_without_a_trial_says_so_and_what_it_is_doing(tmp_path: Path) -> None:
    page = report(make(tmp_path / "run", [], phase="search"))
    assert "No trial has ended yet, so that there is no network to report." in page.text
    assert "The search was killed" in page.text  # nobody holds its lock
    assert list((tmp_path / "run" / "figures").iterdir()) == []


def test_a_run_directory_with_a_config_alone_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("budget: 20000\n")
    page = report(tmp_path)
    assert "No network yet" in page.text
    assert "not recorded" in page.text


def test_a_search_that_is_running_is_told_apart_from_one_that_was_killed(tmp_path: Path) -> None:
    from filelock import FileLock

    path = make(tmp_path / "run", several(3), phase="final")
    with FileLock(path / ".lock"):
        assert "The final training is still running. This page shows what had ended" in report(path).text
    assert "The search was killed" in report(path).text


def test_a_search_of_failures_alone_tells_what_they_were(tmp_path: Path) -> None:
    page = report(make(tmp_path / "run", [row(n, None, error="out of memory") for n in range(5)]))
    assert "No network was trained to the end: all of the 5 trials failed." in page.text
    assert "out of memory 5 0, 1, 2, 3, 4" in page.text


def test_one_trial_is_reported_with_what_it_cannot_tell(tmp_path: Path) -> None:
    page = report(make(tmp_path / "run", [row(0, 0.625)]))
    assert "The best of 1 trial has 62.50 % validation accuracy" in page.text
    assert "There was no final training" in page.text
    assert "Importance needs at least 10 networks; there are 1." in page.text
    assert "There is nothing to compare" in page.text


def test_equal_values_do_not_matter_and_are_drawn(tmp_path: Path) -> None:
    rows = [row(n, 0.5) for n in range(12)]
    again = final(rows[0], (0, 1), (0.5, 0.5)) + final(rows[1], (2, 3), (0.5, 0.5))
    page = report(make(tmp_path / "run", rows, [row(0, 0.5, choices={"depth": 7})], again))
    assert "All networks have the same accuracy" in page.text
    assert "50.00 % validation accuracy, " in page.text
    assert "both seeds agree, so there is no interval" in page.text
    assert "The seeds of each finalist agree, so that it cannot be told" in page.text
    assert "± 0.00" not in page.source
    assert (tmp_path / "run" / "figures" / "progress.svg").exists()


def test_damaged_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    path = make(tmp_path / "run", several(4))
    with (path / "trials.jsonl").open("a") as file:
        file.write('nonsense\n{"number": 1}\n{"number": "x", "values": [NaN], "choices": 3}\n{"torn')
    page = report(path)
    assert "Of the logs 3 lines could not be read" in page.text
    assert "The best of 4 trials" in page.text


def test_names_and_options_that_are_markup_or_formulas_are_text(tmp_path: Path) -> None:
    odd = "$<b>&\"'_{^名\x1b[0m\ud800"
    rows = [row(n, 0.1 * n, choices={odd: n % 2, "b": odd if n % 3 else "]]>--"}, network=odd) for n in range(1, 12)]
    page = report(make(tmp_path / "run", rows))
    assert "<b>" not in page.source
    for file in (tmp_path / "run" / "figures").glob("*.svg"):
        ET.fromstring(file.read_bytes())


def test_ten_thousand_trials_take_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [row(n, float(rng.random()), params=int(rng.integers(100, 20_000))) for n in range(10_000)]
    path = make(tmp_path / "run", rows)
    began = time.monotonic()
    page = report(path)
    assert time.monotonic() - began < 60  # 20 seconds where nobody else is at work
    assert "drawn from 10,000" in page.text
    assert len(page.source) < 3_000_000
