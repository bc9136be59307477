"""The budget: reading it, printing it, refusing an impossible one."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nas.budget import Budget, BudgetError, format_size, parse_size
from search_spaces.mlp import MLP


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("20M", 20_000_000),
        ("2.5e6", 2_500_000),
        ("800K", 800_000),
        ("20_000_000", 20_000_000),
        ("20m", 20_000_000),
        (" 1.5 G ", 1_500_000_000),
        ("2B", 2_000_000_000),
        (".5M", 500_000),
        ("1", 1),
        (14_091, 14_091),
        (2e6, 2_000_000),
        ("16.1M", 16_100_000),  # 16.1 * 10**6 is 16_100_000.000000002 in binary
        ("2.01K", 2_010),
    ],
)
def test_a_size_is_read(text: str | int | float, params: int) -> None:
    size = parse_size(text)
    assert size == params
    assert isinstance(size, int)


@pytest.mark.parametrize(
    "text",
    ["", "M", "20X", "20MM", "-5M", "0", "0.5", "1.5", "1.0005K", "M20", "2,5M", "2.5.1M", "nan", "1e16", "1e999"],
)
def test_what_is_no_size_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="20M") as refusal:
        parse_size(text)
    assert repr(text) in str(refusal.value)


@given(st.integers(1, 10**6), st.sampled_from("KMG"))
def test_a_size_in_thousandths_of_a_unit_is_read_exactly(thousandths: int, unit: str) -> None:
    text = f"{thousandths // 1000}.{thousandths % 1000:03d}{unit}"
    assert parse_size(text) == thousandths * {"K": 1, "M": 1000, "G": 10**6}[unit]


def test_a_printed_size_is_read_back_within_half_a_percent_and_up_never_falls_below() -> None:
    for params in (*range(1, 3000), *(n * 10**e + d for n in range(100, 1000) for e in (1, 4, 7) for d in (-1, 0, 1))):
        assert abs(parse_size(format_size(params)) - params) <= params / 200
        assert params <= parse_size(format_size(params, up=True)) <= params * 1.01


@given(st.integers(1, 999), st.sampled_from(["", "K", "M", "G"]))
def test_a_size_of_three_digits_prints_as_it_was_written(digits: int, unit: str) -> None:
    assert format_size(parse_size(f"{digits}{unit}")) == f"{digits}{unit}"


@pytest.mark.parametrize("bad", [0, -1])
def test_a_budget_below_one_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=f"{bad}"):
        Budget(bad)


@pytest.mark.parametrize("fill", [-0.1, 1.1, math.nan, math.inf])
def test_a_fill_that_is_no_share_is_refused(fill: float) -> None:
    with pytest.raises(ValueError, match=f"{fill}"):
        Budget(100, fill)


@example(100, 7)  # 100 * 0.07 is 7.000000000000001 in binary
@given(st.integers(1, 10**6), st.integers(0, 100))
def test_the_least_is_the_fill_rounded_up(most: int, percent: int) -> None:
    budget = Budget(most, percent / 100)
    assert budget.least == -(-most * percent // 100)
    assert all(params in budget for params in (budget.least, most))
    assert not any(params in budget for params in (budget.least - 1, most + 1))


def test_an_impossible_budget_is_explained_within_a_second() -> None:
    start = time.process_time()
    with pytest.raises(BudgetError) as refusal:
        MLP((868,), 11, Budget(5000)).check()
    assert time.process_time() - start < 1
    for fact in ("868", "11", "14,091", "13,904", "first layer", "5,000", "14.1K"):
        assert fact in str(refusal.value)


def test_the_budget_that_the_refusal_names_suffices_and_one_parameter_less_than_the_smallest_does_not() -> None:
    MLP((868,), 11, Budget(parse_size("14.1K"))).check()
    MLP((868,), 11, Budget(14_091)).check()
    with pytest.raises(BudgetError, match="14,091"):
        MLP((868,), 11, Budget(14_090)).check()


def test_a_fill_that_no_network_reaches_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"0\.9 of the parameter budget 1,000,000") as refusal:
        MLP((8,), 3, Budget(1_000_000, 0.9), max_depth=2, max_width=64).check()
    assert "--fill" in str(refusal.value)
