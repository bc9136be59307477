"""Names at the door: files, entry points and classes of one's own, and the messages about those that are wrong."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from nas import plugins
from nas.space import SearchSpace
from nas.strategy import Strategy
from search_spaces.mlp import MLP
from strategies.evolution import Evolution
from strategies.random import Random


def make(spec: str) -> Strategy:
    strategy: Strategy = plugins.make("strategies", spec, Strategy, MLP((8,), 3))
    return strategy


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings a strategy `annealing`, and a `broken` one that is none."""
    points = (
        EntryPoint("annealing", "strategies.evolution:Evolution", "nas.strategies"),
        EntryPoint("broken", "nas.budget:Budget", "nas.strategies"),
        EntryPoint("elsewhere", "search_spaces.mlp:MLP", "nas.search_spaces"),
    )
    monkeypatch.setattr(plugins, "installed", lambda: EntryPoints(points))


def test_every_file_of_a_folder_is_a_name() -> None:
    assert {"random", "evolution", "reinforce"} <= set(plugins.names("strategies"))
    assert "mlp" in plugins.names("search_spaces")
    assert not [name for name in plugins.names("strategies") if name.startswith("_")]


def test_a_name_finds_its_class() -> None:
    assert plugins.find("strategies", "evolution", Strategy) is Evolution
    assert plugins.find("search_spaces", "mlp", SearchSpace) is MLP


@pytest.mark.parametrize(
    ("folder", "wrong", "said"),
    [
        ("strategies", "evolutoin", "no strategy 'evolutoin'; did you mean 'evolution'?"),
        ("search_spaces", "mpl", "no space 'mpl'; did you mean 'mlp'?"),
        ("strategies", "xyz", "no strategy 'xyz'; known: "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(folder: str, wrong: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        plugins.find(folder, wrong, object)


def test_the_list_of_known_names_is_whole() -> None:
    with pytest.raises(ValueError, match="known") as refusal:
        plugins.find("strategies", "xyz", Strategy)
    assert all(name in str(refusal.value) for name in plugins.names("strategies"))


@pytest.mark.parametrize(
    ("spec", "name", "options"),
    [
        ("random", "random", {}),
        ("evolution:population=20,sample=5", "evolution", {"population": 20, "sample": 5}),
        ("evolution: population = 20 , crossover=0.5", "evolution", {"population": 20, "crossover": 0.5}),
        ("reinforce:lr=1e-3", "reinforce", {"lr": 0.001}),
        ("reinforce:lr=5e-3,entropy=1.0e-2", "reinforce", {"lr": 0.005, "entropy": 0.01}),
        ("npz:path=data/x.npz,flat=true", "npz", {"path": "data/x.npz", "flat": True}),
        ("npz:path=C:/data/x.npz", "npz", {"path": "C:/data/x.npz"}),
        ("my.module:Class", "my.module:Class", {}),
        ("my.module:Class:population=7", "my.module:Class", {"population": 7}),
    ],
)
def test_a_specification_is_a_name_and_options(spec: str, name: str, options: dict[str, Any]) -> None:
    found = plugins.split(spec)
    assert found == (name, options)
    assert [type(value) for value in found[1].values()] == [type(value) for value in options.values()]


def test_options_reach_the_plug_in() -> None:
    evolution = make("evolution:population=20,sample=5,crossover=1")
    assert isinstance(evolution, Evolution)
    assert (evolution.population.maxlen, evolution.sample, evolution.crossover) == (20, 5, 1)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("evolution:populaton=20", "strategy evolution has no option 'populaton'; did you mean 'population'?"),
        ("evolution:zzz=20", "no option 'zzz'; known: crossover, population, sample"),
        ("random:zzz=20", "no option 'zzz'; it has none"),
        ("evolution:population=many", "population must be like its default 10, got 'many'"),
        ("evolution:population=2.5", "population must be like its default 10, got 2.5"),
        ("evolution:population=true", "population must be like its default 10, got True"),
        ("evolution:crossover=true", "crossover must be like its default 0.0, got True"),
        ("evolution:population=", "population must be like its default 10, got ''"),
        ("evolution:population=20,sample", "key=value, got 'sample'"),
        ("evolution:population=20,population=5", "gives population twice; leave one out"),
        ("evolution:population", "key=value, got 'population'"),
        ("evolution:population=[1", "[1"),
        ("evolution:space=3", "no option 'space'"),
        ("no.such.module:Class", "'no.such.module:Class' cannot be imported"),
        ("strategies.evolution:Revolution", "'strategies.evolution:Revolution' cannot be imported"),
        ("nas.budget:Budget", "'nas.budget:Budget' is not a subclass of nas.strategy.Strategy"),
        ("nas.budget:parse_size", "'nas.budget:parse_size' is not a subclass"),
        (".relative:Class", "'.relative:Class' cannot be imported"),
        (":Class", "':Class' cannot be imported"),
    ],
)
def test_a_wrong_specification_is_refused_in_words(spec: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make(spec)


def test_a_class_of_ones_own_is_named_by_module_and_class() -> None:
    assert type(make("strategies.random:Random")) is Random
    evolution = make("strategies.evolution:Evolution:population=7,sample=2")
    assert isinstance(evolution, Evolution)
    assert evolution.population.maxlen == 7


@pytest.mark.usefixtures("installed")
def test_an_installed_package_brings_a_strategy_by_entry_point() -> None:
    assert "annealing" in plugins.names("strategies")
    assert "elsewhere" not in plugins.names("strategies")
    assert "elsewhere" in plugins.names("search_spaces")
    evolution = make("annealing:population=9,sample=2")
    assert isinstance(evolution, Evolution)
    assert evolution.population.maxlen == 9
    with pytest.raises(ValueError, match="did you mean 'annealing'"):
        make("anealing")


@pytest.mark.usefixtures("installed")
def test_an_entry_point_that_is_no_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="'broken' is not a subclass"):
        make("broken")


def test_a_file_without_a_class_of_its_kind_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="mlp"):
        plugins.find("search_spaces", "mlp", Strategy)
