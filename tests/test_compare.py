"""Strategies compared: searches side by side in one folder, and what can be said of their differences."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from toy import Diverging, Line, Ring, rows, timeless

import nas.compare
from nas.compare import compare
from nas.comparing import table
from nas.comparing.figure import draw
from nas.comparing.runs import Comparison, Found
from nas.options import Options
from nas.result import Result

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread", "here")

SMALL: dict[str, Any] = {"space": Line, "budget": "2K", "data": Ring(), "trials": 3, "epochs": 2, "workers": 0}
TESTS = {"random": (0.90, 0.92, 0.91, 0.95), "evolution": (0.93, 0.94, 0.94, 0.98), "local": (0.80, 0.99, 0.91, 0.90)}


def searched(**options: Any) -> Comparison:
    return compare(("random", "evolution"), out="all", **{**SMALL, "final_epochs": 0, **options})


def found(strategy: str, seed: int, test: float, epochs: float = 8.0) -> Found:
    course = ((1.0, float("nan")), (2.0, 0.5), (4.0, 0.7))
    return Found(strategy, seed, test, 0.7, 100, 3, epochs, 4.0, Path(strategy), course)


def compared(tests: dict[str, tuple[float, ...]], path: Path = Path("all")) -> Comparison:
    whole = Comparison.of(path, list(tests), 0, max(map(len, tests.values())))
    whole.found = {(s, seed): found(s, seed, test) for s, values in tests.items() for seed, test in enumerate(values)}
    return whole


def test_each_strategy_searches_with_each_seed_in_a_folder_of_its_own() -> None:
    whole = searched(seeds=2)
    assert list(whole.found) == [("random", 0), ("evolution", 0), ("random", 1), ("evolution", 1)]
    for (strategy, seed), one in whole.found.items():
        assert one.path == Path("all", strategy, f"seed{seed}")
        alone = nas.search(
            **SMALL, final_epochs=0, strategy=strategy, seed=seed, baseline=False, out=f"alone-{strategy}-{seed}"
        )
        assert timeless(rows(one.path / "trials.jsonl")) == timeless(alone.trials)
        assert one.test == alone.test_accuracy
        assert one.searched == alone.best.value == one.course[-1][1]
        assert (one.trials, one.seconds) == (3, one.course[-1][0])


def test_the_same_call_trains_nothing_again_and_more_seeds_add_to_it() -> None:
    before = searched(seeds=1)
    logs = {path: path.read_bytes() for path in Path("all").rglob("trials.jsonl")}
    after = searched(seeds=2)
    assert {key: after.found[key] for key in before.found} == before.found
    assert {path: path.read_bytes() for path in logs} == logs
    with Path("all/comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["strategy"], int(line["seed"]), float(line["test"])) for line in lines] == [
        (strategy, seed, one.test) for (strategy, seed), one in after.found.items()
    ]
    assert Path("all/comparison.md").read_text() == table.markdown(after)
    assert "random" in Path("all/comparison.svg").read_text()


@pytest.mark.parametrize(
    ("strategies", "options", "message"),
    [
        (["random"], {}, "at least two strategies, got random"),
        (["random", "local", "random"], {}, "--strategy random is given twice"),
        (["random", nas.Strategy], {}, r"by name, such as my_package.module:Class, got <class"),
        (["random", "local"], {"seeds": 0}, "seeds must be a whole number of at least 1, got 0"),
        (["random", "local"], {"seeds": 1.5}, r"seeds must be a whole number of at least 1, got 1\.5"),
        (["random", "random:"], {}, "--strategy random is given twice"),
        (["random", "local"], {"seed": 7}, "seed=7 is no option of each search"),
        (["random", "local"], {"strategy": "local"}, "strategy='local' is no option of each search"),
        (["random", "evolutoin"], {}, "did you mean 'evolution'"),
        (["random", "evolution:population=0"], {}, "population"),
        (["random", "evolution"], {"budget": "9"}, "raise --budget"),
        (["random", "evolution"], {"trails": 3}, "unknown option 'trails'"),
    ],
)
def test_a_mistake_is_said_before_the_first_search(strategies: list[Any], options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(strategies, out="all", **{**SMALL, **options})
    assert not Path("all").exists()


def test_searches_are_not_made_shorter_and_compared_with_longer_ones() -> None:
    searched(seeds=1, trials=3)
    with pytest.raises(ValueError, match="all holds searches of 3 trials; give as much or more, or another --out"):
        searched(seeds=2, trials=2)
    with pytest.raises(ValueError, match="holds searches of 3 trials"):
        searched(seeds=2, trials=None, time="2s")
    assert [one.trials for one in searched(seeds=2, trials=4).found.values()] == [4] * 4


def test_what_there_is_when_interrupted_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Options] = []

    def run(options: Options, console: Any, original: Callable[..., Result] = nas.compare.run) -> Result:
        ended.append(options)
        return replace(original(options, console), interrupted=len(ended) == 4)

    monkeypatch.setattr(nas.compare, "run", run)
    whole = searched(seeds=2)
    assert whole.interrupted
    assert list(whole.found) == [("random", 0), ("evolution", 0), ("random", 1)]
    assert "| random | " in Path("all/comparison.md").read_text()


def test_a_search_without_a_result_is_left_out_and_named() -> None:
    whole = searched(space=Diverging, seeds=1)
    assert not whole.found
    assert whole.failed == [("random", 0), ("evolution", 0)]
    assert draw(whole) is None


def test_a_difference_is_the_mean_over_pairs_and_all_intervals_hold_together() -> None:
    whole = compared(TESTS)
    for strategy in ("evolution", "local"):
        apart = table.difference(whole, strategy)
        assert apart is not None
        values = [a - b for a, b in zip(TESTS[strategy], TESTS["random"], strict=True)]
        wanted = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 2)
        assert (apart.low, apart.high) == pytest.approx((wanted.low, wanted.high))
    assert table.difference(whole, "random") is None
    assert "On the test part, against random: better (evolution), not told apart (local)." in table.notes(whole)
    assert "In the search, against random: nothing can be said (evolution, local)." in table.notes(whole)  # all equal


def test_a_seed_that_one_has_not_is_in_no_difference_and_no_rank() -> None:
    whole = compared({**TESTS, "local": TESTS["local"][:2]})
    apart = table.difference(whole, "local")
    assert apart is not None
    assert apart.value == pytest.approx((0.80 - 0.90 + 0.99 - 0.92) / 2)
    assert table.ranks(whole) == {"random": 2.5, "evolution": 1.5, "local": 2.0}


def test_one_seed_says_nothing_of_chance() -> None:
    whole = compared({name: tests[:1] for name, tests in TESTS.items()})
    assert table.rows(whole)[1][:4] == ["evolution", "1", "93.00", "+3.00"]
    assert "On the test part, against random: nothing can be said (evolution, local)." in table.notes(whole)


def test_unequal_costs_are_said(tmp_path: Path) -> None:
    whole = compared(TESTS, tmp_path)
    said = "They have not trained for as many epochs"
    assert not any(note.startswith(said) for note in table.notes(whole))
    whole.found["local", 0] = found("local", 0, 0.8, epochs=80.0)
    whole.failed = [("local", 9)]
    assert [note for note in table.notes(whole) if note.startswith(said)]
    assert table.notes(whole)[-1] == "Left out, since no network was trained to the end: local with seed 9."
    assert draw(whole) == tmp_path / "comparison.svg"


def test_the_command_prints_the_table_and_takes_the_options_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--space toy:Line --data toy:Ring --budget 2K --trials 2 --epochs 1 --workers 0 --no-final --seeds 2 --out all"
    )
    Path("c.yaml").write_text("strategy: local\nseed: 7\ntrials: 5\nreport: true\n")
    arguments = [*words.split(), "--config", "c.yaml", "--strategy", "random", "--strategy", "evolution"]
    assert nas.compare.main(arguments) == 0
    shown = capsys.readouterr()
    assert "Everything is in all/: comparison.md, comparison.csv, comparison.svg" in shown.out
    assert "seed 1, evolution: " in shown.err
    assert len(rows(Path("all/random/seed0/trials.jsonl"))) == 2
    assert not list(Path("all").rglob("report.html"))
    assert nas.compare.main(["--budget", "2K", "--strategy", "random", "--out", "other"]) == 2
    assert capsys.readouterr().err == "error: a comparison is of at least two strategies, got random\n"


def test_the_command_says_where_to_go_on_when_nothing_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any) -> Result:
        return Result(Path("all"), [], [], [], None, interrupted=True)

    monkeypatch.setattr(nas.compare, "run", stopped)
    assert nas.compare.main(["--budget", "2K", "--space", "toy:Line", "--data", "toy:Ring", "--out", "all"]) == 130
    assert "No search has ended; the same command goes on in all" in capsys.readouterr().out
