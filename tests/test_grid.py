"""Grid search: every network once, in an order that does not depend on chance, and then the search ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from searching import Search
from toy import Line, Shuffled, Toy, line, timeless

from nas.dryrun import _ways
from nas.strategy import Exhausted
from search_spaces.mlp import MLP
from strategies.grid import Grid, shuffled

pytest_plugins = ("fixtures_run",)
ALL = 168  # candidates of the space
each_order = pytest.mark.parametrize("order", ["lexicographic", "shuffled"])


def values(candidates: object) -> list[str]:
    return [str(c.values) for c in candidates]  # type: ignore[attr-defined]  # candidates or what yields them


@each_order
def test_every_network_is_trained_once_and_the_search_ends(search: Search, order: str) -> None:
    trials = search(f"grid:order={order}", trials=500)
    assert sorted(values(t.candidate for t in trials)) == sorted(values(line()))
    assert len(trials) == ALL


def test_the_lexicographic_order_is_that_of_the_space(search: Search) -> None:
    trials = search("grid:order=lexicographic", trials=20)
    assert values(t.candidate for t in trials) == values(line())[:20]


def test_a_shuffled_search_cut_short_has_seen_every_option() -> None:
    drawn = [candidate for candidate, _ in zip(shuffled(line(), np.random.default_rng(0)), range(16), strict=False)]
    met = {(choice.name, choice.value) for candidate in drawn for choice in candidate.choices}
    assert met >= {("depth", d) for d in (1, 2, 3)} | {("width0", w) for w in (4, 8, 16, 32)} | {("lr", 1e-3)}


def test_another_init_seed_is_another_order(search: Search, tmp_path: Path) -> None:
    first, second = search("grid", trials=20), Search(tmp_path / "b")("grid:init_seed=1", trials=20)
    assert values(t.candidate for t in first) != values(t.candidate for t in second)


def test_a_search_continued_leaves_nothing_out(search: Search) -> None:
    whole = timeless(search("grid", trials=ALL))
    search.keep([row for number, row in enumerate(search.lines) if number < 40 and number % 3])  # workers were killed
    trials = search("grid", trials=500)
    assert sorted(str(t.candidate.values) for t in trials) == sorted(str(row["choices"]) for row in whole)


def test_several_workers_share_the_grid(search: Search, shuffled: Callable[..., Shuffled]) -> None:
    trials = search("grid", executor=shuffled(Toy(), slots=4), trials=500)
    assert sorted(values(t.candidate for t in trials)) == sorted(values(line()))


def test_halving_around_a_grid_still_promotes_when_the_grid_is_done(search: Search) -> None:
    trials = search("asha:inner=grid,least=3", trials=500)
    lowest = [t for t in trials if t.candidate.fidelity < 0.5]
    assert len(lowest) == ALL
    assert len(trials) - len(lowest) >= ALL // 3  # asked early, some are not of the best third in the end


def test_hyperband_goes_on_with_the_other_brackets_when_the_grid_of_one_is_done(search: Search) -> None:
    trials = search("hyperband:inner=grid,least=3", trials=700)
    begun = {
        fidelity: values(t.candidate for t in trials if t.candidate.fidelity == fidelity) for fidelity in (1 / 3, 1)
    }
    assert [len(set(map(str, found))) for found in begun.values()] == [ALL, ALL]


def test_what_is_in_training_is_not_asked_for_again() -> None:
    grid, candidates = Grid(line()), list(line())
    assert grid.ask(np.random.default_rng(0), candidates[:-1]) == candidates[-1]
    with pytest.raises(Exhausted, match="168 networks"):
        grid.ask(np.random.default_rng(0), candidates)


def test_failures_have_had_their_turn(search: Search) -> None:
    trials = search("grid", evaluator=Toy(), trials=500, space=Line((6,), 3))
    assert any(t.error for t in trials)
    assert len(trials) == ALL


def test_a_dry_run_says_how_many_networks_a_grid_has() -> None:
    rng = np.random.default_rng(0)
    assert _ways(line(), rng) == str(ALL)
    assert _ways(MLP((64,), 10), rng).startswith("about 10^")
