"""The final selection in a report: which trainings count, what they leave to chance, what was handed over."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_report import Rows, final, make, report, row, several

from nas.reporting.facts import Run
from nas.reporting.finals import finalists, handed_over, leads, luckiest
from nas.selection import difference


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


@pytest.mark.parametrize("theirs", [[0.8, 0.81, 0.85], [0.7, 0.9], [0.8, 0.8, 0.8]], ids=["three", "two", "alike"])
def test_the_interval_of_a_difference_is_that_of_welchs_test_also_where_seeds_agree(theirs: list[float]) -> None:
    found = difference([0.91, 0.92, 0.93, 0.92], theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of values that are alike
        interval = stats.ttest_ind([0.91, 0.92, 0.93, 0.92], theirs, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_luckiest_of_several_equals_the_tabled_mean_of_the_largest_normal() -> None:
    assert luckiest(1) == 0.0
    assert luckiest(2) == pytest.approx(1 / np.pi**0.5, abs=1e-4)
    assert luckiest(10) == pytest.approx(1.53875, abs=1e-4)


def decided(
    path: Path,
    final: Sequence[int],
    handed: Sequence[str] = ("best",),
    chosen: str = "best",
    joining: Sequence[int] = (),
) -> None:
    """What a search writes at its end."""
    facts = {"final": list(final), "distilled": [], "joining": list(joining), "handed": list(handed), "chosen": chosen}
    (path / "selection.json").write_text(json.dumps(facts))


def test_a_small_network_that_was_trained_for_the_ensemble_does_not_count_among_the_finalists(tmp_path: Path) -> None:
    rows = several(4)
    again = [*final(rows[0], (0, 1), (0.9, 0.92)), *final(rows[1], (2, 3), (0.5, 0.52))]
    path = make(tmp_path / "run", rows, again=again)
    decided(path, (0, 1, 2, 3))
    assert leads(finalists(Run.read(path))) is not None
    decided(path, (0, 1, 2, 3), joining=(2, 3))
    assert leads(finalists(Run.read(path))) is None
    assert "small, for the ensemble" in report(path).text


def shorter(rows: Rows) -> Rows:
    return [{**one, "fidelity": 0.25} for one in rows]


def test_trainings_that_a_later_session_does_not_go_by_are_not_averaged_with_its_own(tmp_path: Path) -> None:
    rows = several(4)
    again = [*final(rows[0], (0, 1), (0.5, 0.6)), *final(rows[1], (2, 3), (0.97, 0.99))]
    again += final(rows[0], (4, 5), (0.9, 0.92))
    path = make(tmp_path / "run", rows, again=again, best={**rows[0], "number": 5})
    decided(path, (4, 5))
    page = report(path)
    assert [f.values for f in finalists(Run.read(path))] == [[0.9, 0.92]]
    assert "The best network has 91.00 % validation accuracy" in page.text
    assert "98.00 %" not in page.text
    assert "6 final trainings" in page.text  # the cost is that of all


def test_without_a_selection_a_network_has_the_mean_of_its_longest_trainings(tmp_path: Path) -> None:
    rows = several(4)
    again = shorter(final(rows[0], (0, 1), (0.95, 0.99))) + final(rows[0], (2, 3), (0.9, 0.92))
    path = make(tmp_path / "run", rows, again=again + shorter(final(rows[1], (4,), (0.8,))))
    assert [f.values for f in finalists(Run.read(path))] == [[0.9, 0.92], [0.8]]
    (path / "selection.json").write_text('{"final": "torn')
    assert [f.values for f in finalists(Run.read(path))] == [[0.9, 0.92], [0.8]]


def test_a_shorter_training_in_best_lends_the_longer_one_no_test_accuracy(tmp_path: Path) -> None:
    rows = several(4)
    again = shorter(final(rows[0], (0,), (0.95,))) + final(rows[0], (1, 2), (0.9, 0.92))
    page = report(make(tmp_path / "run", rows, again=again, best={**rows[0], "number": 0}))
    assert "The network in best/ is another one" in page.text
    assert "on the test part" not in page.text


def folder(path: Path, accuracy: float, **facts: Any) -> None:
    """A folder of a network or an ensemble that an earlier session has tested."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"parameters": 9_000, "test_accuracy": accuracy, **facts}))


def crowded(path: Path) -> Path:
    """A run that has been ended with an ensemble, with one that taught, and without any; all left their folders."""
    rows = several(4)
    make(path, rows, again=final(rows[0], (0, 1), (0.9, 0.92)), best={**rows[0], "number": 1})
    (path / "distilled.jsonl").write_text("".join(json.dumps(r) + "\n" for r in final(rows[0], (0,), (0.99,))))
    folder(path / "ensemble", 0.875, validation_accuracy=0.97, members=[{}, {}])
    folder(path / "distilled", 0.625)
    return path


def test_folders_that_an_earlier_session_has_left_are_not_of_what_was_handed_over(tmp_path: Path) -> None:
    path = crowded(tmp_path / "run")
    decided(path, (0, 1))
    page = report(path)
    assert [one.folder for one in handed_over(Run.read(path), finalists(Run.read(path)))] == ["best"]
    assert "91.00 ± 12.71 % validation accuracy, 90.00 % on the test part" in page.text
    assert "87.50 %" not in page.text
    assert "62.50 %" not in page.text


@pytest.mark.parametrize(("chosen", "test"), [("best", 0.9), ("ensemble", 0.875)])
def test_what_was_chosen_alone_is_tested_whatever_accuracies_lie_in_the_folders(
    tmp_path: Path, chosen: str, test: float
) -> None:
    path = crowded(tmp_path / "run")
    decided(path, (0, 1), ("best", "ensemble"), chosen)
    page = report(path)
    found = handed_over(Run.read(path), finalists(Run.read(path)))
    assert {one.folder: one.tested for one in found} == {"best": None, "ensemble": None, chosen: test}
    assert page.text.count("not tested") == 1
    assert f"{chosen}/predict.py" in page.text


def test_without_a_selection_one_folder_at_most_is_the_tested_one(tmp_path: Path) -> None:
    run = Run.read(crowded(tmp_path / "run"))
    assert [one.tested for one in handed_over(run, finalists(run))] == [0.9, None, None]


def test_seeds_that_all_agree_give_no_interval_and_no_verdict(tmp_path: Path) -> None:
    rows, random = several(4), [row(0, 0.7, choices={"depth": 9})]
    again = final(rows[0], (0, 1, 2), (0.9, 0.9, 0.9)) + final(random[0], (3, 4, 5), (0.8, 0.8, 0.8))
    rows[0]["values"] = [0.99]
    page = report(make(tmp_path / "run", rows, random, again, best={**rows[0], "number": 1}))
    assert "90.00 % validation accuracy, 90.00 % on the test part" in page.text
    assert "the mean of 3 fresh seeds (all 3 seeds agree, so there is no interval)" in page.text
    assert page.text.count("all 3 seeds agree, so there is no interval") == 3
    assert "The difference is +10.00 points. All seeds of each agree" in page.text
    assert "With one seed" not in page.text
    assert "± 0.00" not in page.text


def failing(of: dict[str, Any], numbers: Sequence[int]) -> Rows:
    return [{**row(n, None), "choices": of["choices"], "fidelity": 4.0} for n in numbers]


def test_a_finalist_with_a_failed_seed_says_so_and_stands_behind_those_that_are_whole(tmp_path: Path) -> None:
    rows = several(4)
    again = [*final(rows[0], (0, 1), (0.98, 0.99)), *failing(rows[0], (2,)), *failing(rows[2], (6, 7))]
    again += final(rows[1], (3, 4, 5), (0.9, 0.91, 0.92))
    path = make(tmp_path / "run", rows, again=again)
    page = report(path)
    assert [(f.failed, len(f.values)) for f in finalists(Run.read(path))] == [(0, 3), (1, 2)]
    assert "The best network has 91.00 % validation accuracy" in page.text
    assert "98.00, 99.00 (2 of 3 seeds)" in page.text
    assert "90.00, 91.00, 92.00 " in page.text
    assert "of 3 seeds" not in page.text.replace("2 of 3 seeds", "")
    assert "1 more finalist is not shown: its seeds all failed." in page.text


def test_a_best_network_with_failed_seeds_says_how_many(tmp_path: Path) -> None:
    rows = several(4)
    two, one = final(rows[0], (0, 1), (0.9, 0.92)), final(rows[0], (0,), (0.9,))
    said = report(make(tmp_path / "two", rows, again=two + failing(rows[0], (2,)))).text
    assert "(mean of 2 fresh seeds, 1 more failed, and its 95 % interval)" in said
    said = report(make(tmp_path / "one", rows, again=one + failing(rows[0], (1, 2)))).text
    assert "measured with one fresh seed, 2 more failed, so that no interval" in said


@pytest.mark.parametrize("counting", [None, (), range(6)], ids=["no selection", "none", "all"])
def test_final_trainings_that_have_all_failed_leave_the_flattered_accuracy(
    tmp_path: Path, counting: Sequence[int] | None
) -> None:
    rows = several(4)
    path = make(tmp_path / "run", rows, again=failing(rows[0], range(3)) + failing(rows[1], range(3, 6)))
    if counting is not None:
        decided(path, counting)
    page = report(path)
    assert "All 6 final trainings failed; the accuracy below is the flattered one of the search." in page.text
    assert "There was no final training" not in page.text
    assert "not trained again" not in page.text


def test_the_intervals_say_that_they_leave_out_the_sample_of_the_validation_part(tmp_path: Path) -> None:
    rows = several(4)
    said = report(make(tmp_path / "some", rows, again=final(rows[0], (0, 1), (0.9, 0.92)))).text
    half = 196 * (0.91 * 0.09 / 359) ** 0.5
    assert "An interval here is over seeds alone; the validation part of 359 samples adds" in said
    assert f"adds its own uncertainty: ± {half:.2f} points at 91.00 % (binomial, 95 %)." in said
    said = report(make(tmp_path / "all", rows, again=final(rows[0], (0, 1), (1.0, 1.0)))).text
    assert "359 samples adds its own uncertainty. " in said  # the formula has nothing to say of an accuracy of 1
    path = make(tmp_path / "unknown", rows, again=final(rows[0], (0, 1), (0.9, 0.92)))
    (path / "config.yaml").write_text("budget: 20000\n")
    assert "over seeds alone" not in report(path).text
