"""The convolutional spaces: budgets used, limits kept, cells recognised, sources that read as a person writes."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture
from nas.budget import Budget, BudgetError
from nas.network import Network
from nas.plan import plan
from nas.source import source
from nas.space import SearchSpace
from nas.widths import solve
from search_spaces.cell import Cell, Cells, Form
from search_spaces.cnn import CNN

IMAGE = (3, 32, 32)
SMALL: dict[str, Any] = {"cnn": CNN((3, 16, 16), 5, Budget(20_000)), "cell": Cells((3, 16, 16), 5, Budget(20_000))}


def built(text: str) -> torch.nn.Module:
    names: dict[str, Any] = {}
    exec(compile(f"import torch\nfrom torch import nn\n\n\n{text}", "model.py", "exec"), names)
    return names["Network"]()  # type: ignore[no-any-return]


@pytest.mark.parametrize("space", [CNN, Cells])
def test_samples_that_are_no_images_are_refused(space: type[SearchSpace]) -> None:
    for shape in ((64,), (28, 28)):
        with pytest.raises(ValueError, match="channels, height, width") as refusal:
            space(shape, 10)
        assert str(shape) in str(refusal.value)


@pytest.mark.parametrize(("space", "least"), [(CNN, 0.7), (Cells, 0.9)])
def test_most_draws_use_five_sixths_of_the_budget_or_more(space: type[SearchSpace], least: float) -> None:
    drawn, rng = space(IMAGE, 10, Budget(300_000)), np.random.default_rng(0)
    sizes = [drawn.sample(rng).architecture.num_params for _ in range(60)]
    assert max(sizes) <= 300_000
    assert np.mean(np.array(sizes) >= 250_000) > least


@pytest.mark.parametrize("space", [CNN, Cells])
@pytest.mark.parametrize("budget", [None, Budget(1_000_000), Budget(40_000, 0.9)])
def test_no_draw_costs_more_than_its_flops(space: type[Any], budget: Budget | None) -> None:
    drawn, rng = space((1, 28, 28), 10, budget, max_flops=20e6), np.random.default_rng(0)
    assert all(drawn.sample(rng).architecture.flops <= 20e6 for _ in range(15))


@pytest.mark.parametrize("space", [CNN, Cells])
def test_a_limit_that_no_network_keeps_is_refused_at_once(space: type[Any]) -> None:
    with pytest.raises(ValueError, match="max_flops must be at least"):
        space(IMAGE, 10, max_flops=1e4)
    with pytest.raises(BudgetError, match="raise --budget"):
        space(IMAGE, 10, Budget(100)).check()


@pytest.mark.parametrize("name", SMALL)
def test_the_cost_of_a_form_is_that_of_its_network(name: str) -> None:
    space, rng = SMALL[name].within(None), np.random.default_rng(1)
    for _ in range(25):
        candidate = space.sample(rng)
        form = space.answered(candidate.values, {})
        widths = form.width if name == "cell" else space._channels(form)
        assert space._cost(form, widths) == (candidate.architecture.num_params, candidate.architecture.flops)


@pytest.mark.parametrize("name", SMALL)
def test_the_smallest_network_fits_a_budget_of_its_size_and_none_smaller(name: str) -> None:
    space, rng = SMALL[name], np.random.default_rng(0)
    smallest = space.smallest().num_params
    for seed in range(3):
        rng = np.random.default_rng(seed)
        tight = type(space)((3, 16, 16), 5, Budget(smallest))
        assert tight.sample(rng).architecture.num_params <= smallest
    unlimited = space.within(None)
    assert all(unlimited.sample(rng).architecture.num_params >= smallest for _ in range(30))


@given(st.integers(1, 400), st.integers(0, 300), st.integers(1, 9), st.sampled_from([None, 0.5, 0.9]))
def test_a_width_is_solved_as_trying_them_all_would(most: int, base: int, slope: int, fill: float | None) -> None:
    def cost(width: int, grain: int) -> tuple[int, int]:
        return base + slope * width, 2 * width

    width, grain = solve(cost, Budget(most, fill), 120, 3, 70)
    fitting = [w for w in range(3, 71) if cost(w, 1)[0] in Budget(most, fill) and 2 * w <= 120]
    good = [w for w in fitting if cost(w, 1)[0] >= 0.9 * most or (fill is None and 2 * w >= 0.9 * 120)]
    assert (width > 0) == bool(fitting)
    if good:
        wanted = next(max(ws) for g in (8, 4, 1) if (ws := [w for w in good if w % g == 0]))
        assert fill == 0.5 or width == wanted
    assert width % grain == 0


@pytest.mark.parametrize("name", SMALL)
def test_every_network_is_written_as_it_is_computed(name: str) -> None:
    space, rng = SMALL[name], np.random.default_rng(2)
    for _ in range(12):
        architecture = space.sample(rng).architecture
        again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
        text = source(plan(architecture))
        assert source(plan(again)) == text  # the names of the parts survive
        network, twin = Network(architecture).eval(), built(text).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
        twin.load_state_dict(network.state_dict())
        x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            assert torch.equal(network(x), twin(x)), text
        assert sum(p.numel() for p in twin.parameters()) == architecture.num_params
        assert max(map(len, text.splitlines())) <= 110


def test_blocks_alike_share_a_class_with_their_widths_as_parameters() -> None:
    values = {"stages": 3, "profile": "growing", "width": 16, "growth": 2.0, "block": "residual", "down": "stride"}
    space = CNN(IMAGE, 10)
    text = source(plan(space.built(space.answered({}, {**values, "blocks": 3, "kernel": 3, "norm": "batch"}))))  # type: ignore[arg-type]  # nothing is closed
    assert text.count("class ") == 3  # with a shortcut, without, and the network
    assert "self.stage2_residual1 = Residual2(16, 32)" in text
    assert "self.stage3_residual2 = Residual(64)" in text
    assert text.count("\n") < 75


def renumbered(cell: Cell, random_: random.Random) -> Cell:
    """The same cell with its nodes in another order and the two inputs of each swapped or not."""
    nodes = len(cell)
    place: dict[int, int] = {0: 0, 1: 1}
    order: list[int] = []
    while len(order) < nodes:
        ready = [n for n in range(nodes) if n not in order and all(i in place for i, _ in cell[n])]
        node = random_.choice(ready)
        place[node + 2] = len(order) + 2
        order.append(node)
    written = []
    for node in order:
        edges = [(place[i], operation) for i, operation in cell[node]]
        random_.shuffle(edges)
        written.append((edges[0], edges[1]))
    return tuple(written)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_isomorphic_cells_have_one_digest(seed: int, random_: random.Random) -> None:
    space = Cells((3, 16, 16), 5, max_repeats=2)
    candidate = space.sample(np.random.default_rng(seed))
    form = space.answered(candidate.values, {})
    assert isinstance(form, Form)
    twin = replace(form, normal=renumbered(form.normal, random_), reduction=renumbered(form.reduction, random_))
    assert space.built(twin) == candidate.architecture
    (first, second), *rest = form.normal
    other = "conv1x1" if first[1] != "conv1x1" else "sep5x5"
    changed = replace(form, normal=(((first[0], other), second), *rest))
    if first[1] != second[1] or first[0] != second[0]:
        assert space.built(changed) != candidate.architecture


def test_every_cell_of_a_network_is_computed() -> None:
    space, rng = Cells((3, 16, 16), 5), np.random.default_rng(3)
    for _ in range(20):
        candidate = space.sample(rng)
        scopes = {node.scope.partition(".")[0] for node in candidate.architecture.nodes}
        assert {f"cell{i + 1}" for i in range(3 * int(candidate.values["repeats"]))} <= scopes


@pytest.mark.parametrize("size", [16, 64, 128])
def test_no_stage_is_asked_for_that_the_image_is_too_small_for(size: int) -> None:
    space = CNN((3, size, size), 10, Budget(1_000_000), max_stages=7)
    for seed in range(60):
        assert space.sample(np.random.default_rng(seed)).architecture.num_params <= 1_000_000


def test_where_flops_bind_widths_stay_multiples_of_the_grain() -> None:
    assert solve(lambda width, grain: (width, 10 * width), Budget(10**6), 1000, 8, 512) == (96, 8)
