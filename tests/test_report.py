"""The report of a run: its numbers are those of the logs, nothing in it points outside, odd runs are told as such."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import nas
from nas.architecture import Architecture, Sketch
from nas.report import main, write_report
from nas.reporting.facts import Run, Tried
from nas.reporting.figures import front
from nas.reporting.finals import finalists, luckiest
from nas.reporting.importance import EPOCHS, effects, encoded, importance, reason_against
from nas.reporting.svg import inline
from nas.reporting.tables import Table, failures, neighbours
from nas.selection import difference

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


@pytest.mark.parametrize("theirs", [[0.8, 0.81, 0.85], [0.7, 0.9], [0.8, 0.8, 0.8]], ids=["three", "two", "alike"])
def test_the_interval_of_a_difference_is_that_of_welchs_test_also_where_seeds_agree(theirs: list[float]) -> None:
    found = difference([0.91, 0.92, 0.93, 0.92], theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of values that are alike
        interval = stats.ttest_ind([0.91, 0.92, 0.93, 0.92], theirs, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


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
    assert "Importance needs at least 10 trained networks; there are 1." in page.text
    assert "There is nothing to compare" in page.text


def test_equal_values_do_not_matter_and_are_drawn(tmp_path: Path) -> None:
    rows = [row(n, 0.5) for n in range(12)]
    again = final(rows[0], (0, 1), (0.5, 0.5)) + final(rows[1], (2, 3), (0.5, 0.5))
    page = report(make(tmp_path / "run", rows, [row(0, 0.5, choices={"depth": 7})], again))
    assert "All networks have the same accuracy" in page.text
    assert "50.00 ± 0.00 % validation accuracy" in page.text
    assert (tmp_path / "run" / "figures" / "progress.svg").exists()


def test_an_older_run_with_one_seed_a_finalist_says_nothing_of_chance(tmp_path: Path) -> None:
    rows = several(4)
    path = make(tmp_path / "run", rows, again=final(rows[0], (0,), (0.9,)) + final(rows[1], (1,), (0.8,)))
    (path / "state.json").unlink()
    page = report(path)
    assert "measured with one fresh seed, so that no interval can be given" in page.text
    assert "Each finalist was trained with one seed, so that nothing can be said of chance." in page.text
    assert "Random search at equal cost was not run" in page.text


def test_an_exported_network_that_is_not_the_best_any_more_lends_it_no_test_accuracy(tmp_path: Path) -> None:
    page = report(make(tmp_path / "run", several(4), best={"params": 1, "number": 0}))
    assert "The network in best/ is another one" in page.text
    assert "on the test part" not in page.text


def test_an_ensemble_that_was_chosen_is_the_answer_and_has_the_test_accuracy(tmp_path: Path) -> None:
    rows = several(4)
    path = make(tmp_path / "run", rows, again=final(rows[0], (0, 1), (0.9, 0.92)), best={**rows[0], "number": 1})
    best = json.loads((path / "best" / "config.json").read_text())
    (path / "best" / "config.json").write_text(json.dumps({**best, "test_accuracy": None}))
    (path / "ensemble").mkdir()
    facts = {"parameters": 9_000, "validation_accuracy": 0.97, "validation_accuracy_crossed": 0.95, "members": [{}, {}]}
    (path / "ensemble" / "config.json").write_text(json.dumps({**facts, "test_accuracy": 0.875}))
    page = report(path)
    assert "95.00 % validation accuracy of an ensemble of 2 networks, 87.50 % on the test part, 9,000" in page.text
    assert "The best network has 91.00 % validation accuracy" in page.text
    assert "the ensemble has 87.50 %" in page.text
    assert "ensemble/predict.py samples.npy" in page.text
    assert "not tested" in page.text


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


def tried(number: int, value: float | None, **given: Any) -> Tried:
    return Tried.of("search", row(number, value, **given))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_the_pareto_front_holds_what_nothing_beats_and_nothing_else(points: list[tuple[int, int]]) -> None:
    rows = [tried(n, value / 10, params=params) for n, (params, value) in enumerate(points)]
    found = {(r.params, r.score) for r in front(rows)}
    assert len(found) == len(front(rows))
    for one in rows:
        beaten = any(
            r.params <= one.params and r.score >= one.score and (r.params, r.score) != (one.params, one.score)
            for r in rows
        )
        assert ((one.params, one.score) in found) != beaten
    assert [r.params for r in front(rows)] == sorted(r.params for r in front(rows))


def test_importance_finds_the_choice_that_the_accuracy_follows_and_the_epochs_that_move_it() -> None:
    rng = np.random.default_rng(1)
    rows = []
    for n in range(120):
        choices = {"a": int(rng.integers(3)), "b": str(rng.integers(3)), "same": 1}
        if choices["a"]:
            choices["c"] = float(rng.integers(2))
        fidelity = float(rng.integers(1, 3))
        value = 0.3 + 0.1 * choices["a"] + 0.02 * fidelity + 0.005 * float(rng.normal())
        rows.append(tried(n, value, choices=choices, fidelity=fidelity))
    assert reason_against(rows) is None
    found = importance(rows)
    assert found.names[0] == "a"
    assert set(found.names) == {"a", "b", "c", EPOCHS}
    assert found.skill > 0.8
    assert found == importance(rows)
    assert encoded(rows).shape == (120, 4)
    assert reason_against(rows[:9]) == "Importance needs at least 10 trained networks; there are 9."


def test_the_mean_of_an_option_has_students_interval_as_worked_by_hand() -> None:
    rows = [tried(n, v, choices={"a": a}) for n, (a, v) in enumerate([(1, 0.1), (1, 0.2), (1, 0.6), (2, 0.4)])]
    one, two = effects(rows, "a")
    # mean 0.3; deviation sqrt((0.04 + 0.01 + 0.09) / 2) = 0.264575; t of 2 degrees of freedom 4.302653
    assert one.mean == pytest.approx(0.3)
    assert one.half_width == pytest.approx(4.302653 * 0.264575 / 3**0.5, rel=1e-5)
    assert (two.option, two.trials, two.half_width) == ("2", 1, None)


def test_many_numbers_are_gathered_in_ranges_and_what_was_not_asked_stands_apart() -> None:
    rows = [tried(n, 0.5, choices={"w": n} if n % 2 else {}) for n in range(100)]
    found = effects(rows, "w")
    assert found[0].option == "not asked"
    assert found[0].trials == 50
    assert len(found) == 7
    assert found[1].option.startswith("1 to ")
    assert sum(effect.trials for effect in found) == 100


def test_a_neighbour_differs_in_one_choice_and_in_what_follows_from_it() -> None:
    best = tried(0, 0.9, choices={"depth": 1, "lr": 0.1})
    deeper = tried(1, 0.8, choices={"depth": 2, "width2": 8, "lr": 0.1})
    other = tried(2, 0.7, choices={"depth": 2, "width2": 8, "lr": 0.2})
    assert neighbours([best, deeper, other], best) == [("depth", "1", "2", deeper)]


def test_the_table_to_paste_escapes_what_markdown_and_latex_read_as_commands() -> None:
    table = Table("50 % of a_b", ("choice", "x"), (("a|b_c & $", "−1"),))
    assert "| a\\|b\\_c & $ | −1 |" in table.markdown
    assert "a|b\\_c \\& \\$ & $-$1 \\\\" in table.latex
    assert "\\caption{50 \\% of a\\_b}" in table.latex


def test_the_luckiest_of_several_equals_the_tabled_mean_of_the_largest_normal() -> None:
    assert luckiest(1) == 0.0
    assert luckiest(2) == pytest.approx(1 / np.pi**0.5, abs=1e-4)
    assert luckiest(10) == pytest.approx(1.53875, abs=1e-4)


def test_failures_without_a_message_are_counted_too() -> None:
    assert [(f.message, f.trials) for f in failures([tried(0, None, error=""), tried(1, None, error=None)])] == [
        ("the log holds no value", 2)
    ]


def test_the_ids_of_a_drawing_and_what_refers_to_them_are_renamed_together() -> None:
    svg = '<?xml?><svg viewBox="0 0 10 20"><metadata>http://x</metadata><path id="a"/><use xlink:href="#a"/></svg>'
    page = str(inline(svg, "one", 'a "picture" <of>'))
    assert 'id="one-a"' in page
    assert 'xlink:href="#one-a"' in page
    assert "metadata" not in page
    assert "&lt;of&gt;" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{tmp}/nowhere"], "'{tmp}/nowhere' is no run directory (it has no config.yaml); give the folder of a search"),
        (["{tmp}"], "is no run directory"),
        ([], "Missing argument 'RUN'"),
        (["{tmp}", "--what"], "No such option"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_two(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said.format(tmp=tmp_path) in captured.err
    assert captured.err.count("\n") == 1


def test_a_config_that_is_no_searchs_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("[")
    assert main([str(tmp_path)]) == 2
    assert "is damaged, or no search's; restore the file" in capsys.readouterr().err


def test_the_report_of_a_real_search_repeats_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = nas.search(space="mlp:max_depth=2,max_width=32", budget="5K", trials=3, epochs=2, workers=0, out=tmp_path)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert f"{100 * result.best.value:.2f}" in page.text
    assert result.test_accuracy is not None
    assert f"{100 * result.test_accuracy:.2f} % on the test part" in page.text
    assert f"{result.best.params:,} parameters" in page.text
    assert {file.stem for file in (tmp_path / "figures").glob("*.svg")} >= {"progress", "size", "architecture"}


@pytest.mark.reported
def test_every_search_ends_with_its_report(tmp_path: Path) -> None:
    given: dict[str, Any] = {"space": "mlp:max_depth=2,max_width=32", "budget": "5K", "trials": 2, "epochs": 1}
    nas.search(**given, workers=0, baseline=False, final_epochs=0, out=tmp_path / "run")
    assert "validation accuracy" in (tmp_path / "run" / "report.html").read_text()
    nas.search(**given, workers=0, baseline=False, final_epochs=0, out=tmp_path / "without", report=False)
    assert not (tmp_path / "without" / "report.html").exists()


@pytest.mark.reported
@pytest.mark.parametrize("failure", [OSError("no space left"), KeyError("choices"), KeyboardInterrupt()])
def test_a_search_is_not_lost_to_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: BaseException
) -> None:
    def broken(path: Path) -> Path:
        raise failure

    monkeypatch.setattr("nas.report.write_report", broken)
    result = nas.search("mlp:max_depth=2,max_width=32", "5K", trials=2, epochs=1, workers=0, baseline=False,
                        final_epochs=0, out=tmp_path / "run", verbose=True)  # fmt: skip  # options
    assert result.test_accuracy is not None
    assert "warning: no report was written" in capsys.readouterr().err


def test_a_test_part_that_was_used_for_several_choices_is_said_to_be(tmp_path: Path) -> None:
    given: dict[str, Any] = {"budget": "4K", "workers": 0, "baseline": False, "epochs": 1, "out": tmp_path / "run"}
    nas.search(**given, trials=2, final_epochs=0)
    assert "which was used once" in write_report(tmp_path / "run").read_text()
    nas.search(**given, trials=2, final_epochs=2, finalists=1, final_seeds=1)
    assert "which was used for 2 choices of this run" in write_report(tmp_path / "run").read_text()
