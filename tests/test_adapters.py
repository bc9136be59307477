"""Strategies of other libraries: what they are told of a space's forks, and that asking leaves no trace in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from searching import Search
from toy import Single, line, score, timeless

from nas import plugins
from nas.budget import Budget
from nas.ops import Scalar
from nas.space import SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial
from search_spaces.mlp import MLP
from search_spaces.nasbench201 import NASBench201
from strategies._parameters import Parameters

pytest_plugins = ("fixtures_run",)
SAMPLERS = ["tpe", "cmaes", "nsgaii,population=4", "qmc", "random", "gp"]


def mlp() -> SearchSpace:
    return MLP((8,), 3, Budget(3000), max_depth=3, min_width=4, max_width=64)


def make(spec: str, space: SearchSpace) -> Strategy:
    pytest.importorskip(spec.partition(":")[0], reason="an extra of the project, not installed here")
    made: Strategy = plugins.make("strategies", spec, Strategy, space)
    return made


def told(strategy: Strategy, trials: int) -> list[Trial]:
    history = []
    for number in range(trials):
        candidate = strategy.ask(np.random.default_rng((0, number)), ())
        history.append(Trial(number, candidate, 0, (score(candidate),)))
        strategy.tell(history[-1])
    return history


def test_rates_of_optimizers_that_share_none_are_two_parameters() -> None:
    found = {p.name: p for p in Parameters(mlp()).all if p.fork == "lr"}
    assert sorted(p.options for p in found.values()) == [(5e-4, 1e-3, 2e-3, 4e-3, 8e-3), (1e-2, 2e-2, 5e-2, 1e-1, 2e-1)]


def test_numbers_are_sorted_and_nothing_else_is_ordered() -> None:
    ordered = {p.name: p.ordered for p in Parameters(mlp()).all}
    assert (ordered["depth"], ordered["dropout"], ordered["skip"], ordered["norm"]) == (True, True, False, False)
    assert all(p.options == tuple(sorted(p.options)) for p in Parameters(mlp()).all if p.ordered)


def test_forks_of_one_option_are_no_parameters() -> None:
    assert all(len(p.options) > 1 for p in Parameters(mlp()).all)
    assert Parameters(Single((4,), 2)).all == ()


def test_parameters_that_are_asked_together_are_one_block() -> None:
    block = {p.name: p.block for p in Parameters(line()).all}
    assert block["depth"] == block["width0"] == block["lr"]
    assert len({block["width0"], block["width1"], block["width2"]}) == 3


def test_a_wish_the_budget_rules_out_becomes_the_nearest_number() -> None:
    rng, widths = np.random.default_rng(0), next(p for p in Parameters(line()).all if p.name == "width0")
    assert widths.options == (4, 8, 16, 32)
    assert widths.answer(3, (4, 8, 16), (1.0, 1.0, 1.0), rng) == 2
    assert widths.answer(0, (8, 16), (1.0, 1.0), rng) == 0


def test_a_wish_of_no_order_the_budget_rules_out_is_drawn() -> None:
    norm = next(p for p in Parameters(mlp()).all if p.name == "norm")
    left: Sequence[Scalar] = [option for option in norm.options if option != norm.options[0]]
    drawn = {norm.answer(0, left, (1.0, 1.0), np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {0, 1}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_asked_for_what_is_in_training_forgets_it(sampler: str) -> None:
    asked, quiet = (make(f"optuna:sampler={sampler}", line()) for _ in range(2))
    history = told(quiet, 14)
    for trial in history:
        asked.ask(np.random.default_rng(9), [t.candidate for t in history[:3]])
        asked.tell(trial)
    assert asked.ask(np.random.default_rng(5), ()) == quiet.ask(np.random.default_rng(5), ())


def test_tpe_turns_away_from_what_is_in_training() -> None:
    strategy = make("optuna", line())
    told(strategy, 30)
    pending = [strategy.ask(np.random.default_rng(1), ())] * 4
    alone = [strategy.ask(np.random.default_rng(seed), ()) for seed in range(6)]
    assert [strategy.ask(np.random.default_rng(seed), pending) for seed in range(6)] != alone


@pytest.mark.parametrize("spec", ["optuna", "optuna:sampler=nsgaii,population=4", "smac:startup=4,searches=1"])
def test_a_search_resumed_after_any_trial_is_the_uninterrupted_one(spec: str, search: Search) -> None:
    make(spec, line())
    whole, lines = timeless(search(spec)), search.lines
    for kept in (1, 6, 11):
        search.keep(lines[:kept])
        assert timeless(search(spec)) == whole


def test_the_qmc_sequence_goes_on_where_it_was() -> None:
    """One point after another: no two of a sequence are equal, and another sequence has others."""
    strategy = make("optuna:sampler=qmc", mlp())
    first = told(strategy, 16)
    assert len({t.candidate.key for t in first}) == 16
    assert told(make("optuna:sampler=qmc,init_seed=1", mlp()), 3) != first[:3]


def test_cmaes_refuses_a_space_without_numbers() -> None:
    cell = type("Cell", (NASBench201,), {"recipe": lambda self, choose: line().default().recipe})((3, 8, 8), 2)
    assert make("optuna:sampler=cmaes", line())
    with pytest.raises(ValueError, match=r"sampler=cmaes needs two forks of numbers, .* has 0; take tpe"):
        make("optuna:sampler=cmaes", cell)


def test_optuna_says_nothing(
    search: Search, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    make("optuna", line())
    with caplog.at_level(logging.DEBUG):
        search("optuna", trials=16)
        search("optuna:sampler=gp", trials=24)
    assert not [record for record in caplog.records if record.name.startswith("optuna")]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("spec", ["optuna", "smac"])
def test_a_space_with_nothing_to_choose_has_one_answer(spec: str) -> None:
    strategy = make(spec, Single((4,), 2))
    assert {str(trial.candidate.values) for trial in told(strategy, 12)} == {"{}"}


@pytest.mark.parametrize(("spec", "library"), [("optuna", "optuna"), ("smac", "smac")])
def test_a_library_that_is_missing_is_named_with_the_remedy(
    spec: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, f"strategies.{spec}", raising=False)
    monkeypatch.setattr("nas.extras.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"--strategy {spec} needs {library}; pip install 'nas-search\[{spec}\]'"):
        plugins.make("strategies", spec, Strategy, line())


@pytest.mark.parametrize(("spec", "trials"), [("optuna", 60), ("optuna:sampler=nsgaii,population=8", 60)])
def test_it_learns_where_the_answer_is_known(spec: str, trials: int) -> None:
    def wide(trial: Trial) -> float:
        return sum(float(v) for name, v in trial.candidate.values.items() if name.startswith("width"))

    means = {}
    for name in (spec, "random"):
        strategy, last = make(name, line()), []
        for number in range(trials):
            candidate = strategy.ask(np.random.default_rng((3, number)), ())
            trial = Trial(number, candidate, 0, (0.0,))
            last.append(wide(trial))
            strategy.tell(Trial(number, candidate, 0, (last[-1],)))
        means[name] = float(np.mean(last[-20:]))
    assert means[spec] > means["random"] + 15
