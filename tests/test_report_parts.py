"""The parts of a report by themselves: fronts, importance, intervals of options, tables, drawings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from test_report import row

from nas.record import State
from nas.reporting.conditions import stopping
from nas.reporting.facts import Run, Tried
from nas.reporting.fronts import _logarithmic, _short, costs, front
from nas.reporting.importance import EPOCHS, effects, encoded, importance, reason_against
from nas.reporting.svg import inline
from nas.reporting.tables import Table, failures, neighbours


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


@pytest.mark.parametrize("costs", [[0.1234], [1.005], [0.105], [998, 999.7], [0, 0], [0, 5], [1e-5], [3, 4e6]])
def test_an_axis_of_costs_has_ticks_no_two_of_which_are_called_the_same(costs: list[float]) -> None:
    axes = Figure().subplots()
    _logarithmic(axes, costs, _short)
    low, high = axes.get_xlim()
    labels = [_short(tick) for tick in axes.get_xticks()]
    assert 0 < low < high
    assert max(costs) <= high
    assert labels
    assert len(set(labels)) == len(labels)


def test_a_row_with_fewer_values_than_objectives_costs_the_report_a_figure_and_no_more() -> None:
    rows = [tried(0, 0.5, values=[0.5, -12.0]), tried(1, 0.6, values=[0.6])]
    config = {"objective": ["accuracy", "-flops"]}
    run = SimpleNamespace(config=config, budget=100, tried=rows[:1])
    assert [cost.name for cost in costs(run)] == ["size", "flops"]  # type: ignore[arg-type]  # all that it looks at
    run.tried = rows
    assert [cost.name for cost in costs(run)] == ["size"]  # type: ignore[arg-type]  # all that it looks at


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
    assert reason_against(rows[:9]) == "Importance needs at least 10 networks; there are 9."


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


def rungs(*given: tuple[int, float]) -> Run:
    """A search whose trials are of these networks, at these shares of a schedule over nine epochs."""
    rows = [tried(n, 0.5, choices={"a": a}, fidelity=share, horizon=1.0) for n, (a, share) in enumerate(given)]
    return Run(Path(), {"epochs": 9, "patience": 3}, State(), rows, [], [], [], {})


def test_of_a_network_trained_on_its_furthest_training_counts() -> None:
    run = rungs((1, 1 / 9), (2, 1 / 9), (3, 1 / 9), (2, 1 / 3), (2, 1.0), (3, 1 / 3))
    assert [row.number for row in run.trained] == [0, 4, 5]
    assert [row.number for row in run.ranked] == [4, 3, 5, 0, 1, 2]


def test_a_search_by_rungs_says_which() -> None:
    said = stopping(rungs((1, 1 / 9), (2, 1 / 3), (3, 1.0)))
    assert said.endswith("trainings were left after 1 or 3 epochs, and the best of them gone on with, up to 9")
    assert rungs((1, 1.0)).rungs == []
