"""Conformance: whatever lies in `search_spaces/` keeps its promises, at every budget and input that it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch

from nas import plugins
from nas.architecture import Architecture
from nas.budget import Budget, BudgetError
from nas.narrow import Narrowing, family
from nas.network import Network
from nas.recipe import DEFAULTS, Recipe
from nas.space import Candidate, SearchSpace
from search_spaces.cell import Cells
from search_spaces.cnn import CNN
from search_spaces.mlp import MLP
from search_spaces.nasbench201 import NASBench201

SPACES = plugins.names("search_spaces")
BUDGETS = (Budget(50_000), Budget(1_000_000), Budget(20_000_000))
INPUTS = ((64,), (1, 28, 28), (868,))
IMAGES = ((3, 32, 32), (1, 28, 28), (1, 8, 8))


@dataclass(frozen=True)
class Suite:
    """What a space is tried on. One budget after another, since a space may keep what it counted for one."""

    limits: tuple[Budget | None, ...] = (None, *(Budget(b.most, fill) for b in BUDGETS for fill in (None, 0.9)))
    inputs: tuple[tuple[int, ...], ...] = INPUTS
    draws: int = 12  # of each kind
    seconds: float = 0.005  # most that a draw takes


CONVOLUTIONAL = Suite((None, Budget(50_000), Budget(300_000, 0.9), Budget(1_000_000)), IMAGES, 3, 0.3)
SUITES = {
    "cnn": CONVOLUTIONAL,
    "cell": CONVOLUTIONAL,
    "nasbench201": Suite((None, Budget(200_000, 0.9), Budget(700_000), Budget(1_600_000, 0.9)), IMAGES[:2], 4, 0.01),
}
CASES = [
    (name, inputs, budget)
    for name in SPACES
    for budget, inputs in product(SUITES.get(name, Suite()).limits, SUITES.get(name, Suite()).inputs)
]


@dataclass(frozen=True)
class Drawn:
    """A space by name, and what its verbs gave."""

    name: str
    space: SearchSpace
    samples: tuple[Candidate, ...]
    mutants: tuple[tuple[Candidate, Candidate], ...]  # parent, child
    crossed: tuple[tuple[Candidate, Candidate, Candidate], ...]  # both parents, child
    answered: tuple[Candidate, ...]  # by an answerer that knows no weights

    @property
    def all(self) -> list[Candidate]:
        return [*self.samples, *(m for _, m in self.mutants), *(c for *_, c in self.crossed), *self.answered]


def build(name: str, inputs: tuple[int, ...], budget: Budget | None) -> SearchSpace:
    space: SearchSpace = plugins.find("search_spaces", name, SearchSpace)(inputs, 10, budget)
    space.check()
    return space


@cache
def draw_all(name: str, inputs: tuple[int, ...], budget: Budget | None) -> Drawn | str:
    """Everything drawn from one case; or, in words, why no network of the space fits it."""
    try:
        space = build(name, inputs, budget)
    except BudgetError as error:
        return str(error)
    rng, draws = np.random.default_rng(11), SUITES.get(name, Suite()).draws
    samples = [space.sample(rng) for _ in range(draws)]
    mutants = [(parent, space.mutate(parent, rng)) for parent in samples]
    mutants += [(parent, space.mutate(parent, rng)) for _, parent in mutants]  # and their children
    pairs = [*pairwise(samples), (samples[0], samples[0])]
    crossed = [(a, b, space.crossover(a, b, rng)) for a, b in pairs]
    answered = [space.draw(lambda name, options, weights: int(rng.integers(len(options)))) for _ in range(draws)]
    return Drawn(name, space, tuple(samples), tuple(mutants), tuple(crossed), tuple(answered))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'x'.join(map(str, case[1]))}-{case[2]}")
def drawn(request: pytest.FixtureRequest) -> Drawn:
    found = draw_all(*request.param)
    if isinstance(found, str):
        pytest.skip(f"nothing to draw from: {found}")
    return found


@pytest.mark.slow  # it draws what the others draw each for itself
@pytest.mark.parametrize("name", SPACES)
def test_a_space_fits_most_budgets_and_inputs(name: str) -> None:
    found = [draw_all(*case) for case in CASES if case[0] == name]
    refused = [words for words in found if isinstance(words, str)]
    assert len(refused) <= len(found) // 2, refused


def test_every_candidate_is_inside_the_budget(drawn: Drawn) -> None:
    budget = drawn.space.budget
    for candidate in drawn.all:
        params = candidate.architecture.num_params
        assert budget is None or (budget.fill or 0) * budget.most <= params <= budget.most
        assert candidate.architecture.shapes[-1] == (10,)


def test_the_parameters_counted_are_those_of_the_module(drawn: Drawn) -> None:
    for candidate in drawn.all[::10]:
        with torch.device("meta"):  # nothing is allocated
            module = Network(candidate.architecture)
            output = module.eval()(torch.empty(2, *drawn.space.input_shape))
        assert sum(p.numel() for p in module.parameters()) == candidate.architecture.num_params
        assert tuple(output.shape) == (2, 10)


def test_a_candidate_survives_json_and_replay(drawn: Drawn) -> None:
    inputs = drawn.space.input_shape
    fresh = build(drawn.name, inputs, drawn.space.budget) if inputs in (INPUTS[0], IMAGES[0]) else drawn.space
    for candidate in drawn.all[::2]:
        network = Architecture.from_json(json.loads(json.dumps(candidate.architecture.to_json())))
        assert network == candidate.architecture
        assert network.nodes == candidate.architecture.nodes
        again = fresh.replay(json.loads(json.dumps(candidate.values)), candidate.fidelity)
        assert again == candidate
        assert again.key == candidate.key


def test_the_same_seed_draws_the_same(drawn: Drawn) -> None:
    space, (a, b, *_) = drawn.space, drawn.samples
    for verb in (space.sample, lambda rng: space.mutate(a, rng), lambda rng: space.crossover(a, b, rng)):
        first, second = ([verb(np.random.default_rng(seed)) for seed in range(5)] for _ in range(2))
        assert first == second
        assert len({str(candidate.values) for candidate in first}) > 1


def test_a_mutation_differs_from_its_parent_in_one_decision_at_least(drawn: Drawn) -> None:
    assert all(child.values != parent.values for parent, child in drawn.mutants)


def test_a_mutation_keeps_every_other_decision_that_is_still_offered(drawn: Drawn) -> None:
    for parent, child in drawn.mutants:
        changed = [c for c in child.choices if c.name in parent.values and c.value != parent.values[c.name]]
        assert all(parent.values[choice.name] not in choice.options for choice in changed[1:])


def test_a_crossover_takes_every_decision_from_a_parent_where_one_is_offered(drawn: Drawn) -> None:
    for a, b, child in drawn.crossed:
        for choice in child.choices:
            inherited = {parent.values[choice.name] for parent in (a, b) if choice.name in parent.values}
            if inherited and inherited <= set(choice.options):
                assert choice.value in inherited
    a, b, child = drawn.crossed[-1]
    assert a is b
    assert child == a


def test_a_child_is_to_be_trained_in_full_however_far_its_parent_was(drawn: Drawn) -> None:
    parent = drawn.space.replay(drawn.samples[0].values, 0.25)
    rng = np.random.default_rng(0)
    assert drawn.space.mutate(parent, rng).fidelity == drawn.space.crossover(parent, parent, rng).fidelity == 1


def test_the_default_network_fits_and_is_what_the_space_says(drawn: Drawn) -> None:
    space = drawn.space
    default = space.default()
    assert space.budget is None or default.architecture.num_params in space.budget
    assert default == space.default()
    own = {"weight_decay": default.recipe.weight_decay}
    if default.values.get("dropout") == 0.1:
        own["lr"] = 4e-3  # of a perceptron whose layers are narrow
    assert default.recipe == Recipe.from_json({**DEFAULTS, **space.defaults, **own})
    if space.budget is None and isinstance(space, MLP):  # others have limits of their own
        assert all(space.defaults.get(family(name), value) == value for name, value in default.values.items())


def test_a_replay_names_what_is_missing_or_not_offered(drawn: Drawn) -> None:
    values = drawn.samples[0].values
    fork = next(iter(values))
    with pytest.raises(ValueError, match=fork):
        drawn.space.replay({name: value for name, value in values.items() if name != fork})
    with pytest.raises(ValueError, match="no such option"):
        drawn.space.replay({**values, fork: "no such option"})


def test_a_draw_is_quick(drawn: Drawn) -> None:
    seconds, most = [], SUITES.get(drawn.name, Suite()).seconds
    draws = 40 if most < 0.02 else 8
    for _ in range(3):  # the first round may count; of the others the best, for the machine has other work
        rng, start = np.random.default_rng(5), time.process_time()
        for _ in range(draws):
            drawn.space.sample(rng)
        seconds.append(time.process_time() - start)
    assert min(seconds[1:]) < draws * most


Tiny = Callable[[type[SearchSpace], Budget | None], SearchSpace]
TINY: dict[str, tuple[Tiny, int]] = {  # of every space, an instance small enough to list, and a budget for half of it
    "mlp": (lambda free_mlp, budget: _quiet(free_mlp)((5,), 2, budget, max_depth=2, min_width=4, max_width=8), 90),
    "cnn": (lambda _, budget: _few(CNN, FEW_CNN)((1, 4, 4), 2, budget, max_blocks=2, max_width=12), 2500),
    "cell": (
        lambda _, budget: _few(Cells, FEW_CELLS)(
            (1, 4, 4), 2, budget, nodes=1, max_repeats=2, min_width=4, max_width=8
        ),
        900,
    ),
    "nasbench201": (
        lambda _, budget: _few_edges()((1, 4, 4), 2, budget, cells=1, channels=2).on(narrowing=Narrowing(FEW_EDGES)),
        1600,
    ),
}
FEW_CNN: dict[str, tuple[Any, ...]] = {
    "profile": ("free",),
    "block": ("plain",),
    "kernel": (3,),
    "squeeze": (False,),
    "norm": ("batch",),
    "down": ("maxpool",),
    "head": ("average",),
    "activation": ("relu",),
    "dropout": (0.0,),
}
FEW_CELLS: dict[str, tuple[Any, ...]] = {
    "width": (4, 5, 6, 7, 8),
    "normal_op": ("identity", "conv3x3"),
    "reduction_op": ("identity", "conv3x3"),
    "dropout": (0.0,),
}
FEW_EDGES: dict[str, tuple[Any, ...]] = {"edge": ("none", "conv1x1", "conv3x3"), "edge01": ("skip",)}


def _few_edges() -> type[Any]:
    return type("Few", (NASBench201,), {"recipe": lambda self, choose: Recipe()})


def _few(space: type[Any], few: dict[str, tuple[Any, ...]]) -> type[Any]:
    """`space` with some of the options only."""

    def form(self: Any, choose: Callable[..., Any]) -> Any:
        def ask(name: str, options: Any) -> Any:
            return choose(name, few.get(family(name), options))

        return space.form(self, ask)

    return type("Few", (space,), {"form": form, "recipe": lambda self, choose: Recipe()})


def _quiet(space: type[SearchSpace]) -> type[Any]:
    """`space` with one answer only at the forks that cost no parameters."""

    def describe(self: SearchSpace, choose: Callable[..., Any]) -> Architecture:
        free = {"activation": "relu", "dropout": 0.0}
        return space.describe(self, lambda name, options: choose(name, (free[name],) if name in free else options))

    return type("Quiet", (space,), {"describe": describe})


def _chosen(candidate: Candidate) -> tuple[tuple[str, Any], ...]:
    """The choices of the architecture, without a width that a budget solves."""
    return tuple(item for item in candidate.values.items() if item[0] != "width")


@pytest.mark.parametrize("fill", [None, 0.7])
@pytest.mark.parametrize("name", SPACES)
def test_listing_a_space_gives_each_network_that_fits_once(
    name: str, fill: float | None, free_mlp: type[SearchSpace]
) -> None:
    if name not in TINY:
        pytest.fail(f"space {name!r} has no tiny instance: add one to TINY in tests/test_spaces.py")
    tiny, most = TINY[name]
    budget = Budget(most, fill)
    free = tiny(free_mlp, None)
    listed = [_chosen(candidate) for candidate in tiny(free_mlp, budget)]
    everything = [(_chosen(candidate), candidate.architecture.num_params) for candidate in free]
    fitting = {values for values, params in everything if params in budget}
    assert len(listed) == len(set(listed))
    assert set(listed) == fitting
    assert 0 < len(fitting) < len({values for values, _ in everything})
