"""The benchmark's cells: parameters, functions, and what is held but not computed."""

from __future__ import annotations

import csv
import gzip
import itertools
import random

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from toy import SHARED

from nas.architecture import Architecture
from nas.budget import Budget
from nas.network import Network
from nas.plan import plan
from nas.source import HELD, source
from search_spaces.nasbench201 import EDGES, OPERATIONS, NASBench201, choices

TABLE = SHARED / "nasbench201.csv.gz"
CELLS = ["".join(digits) for digits in itertools.product("01234", repeat=len(EDGES))]


def network(ops: str, cells: int = 5, channels: int = 16) -> Architecture:
    return NASBench201((3, 32, 32), 10, cells=cells, channels=channels).replay(with_recipe(ops)).architecture


def with_recipe(ops: str) -> dict[str, object]:
    space, rng = NASBench201((3, 32, 32), 10, cells=1, channels=1), np.random.default_rng(0)
    return {**space.sample(rng).values, **choices(ops)}  # type: ignore[return-value]


def published(ops: str) -> int:
    return 73_306 + 28_000 * ops.count("2") + 243_040 * ops.count("3")


def strings(ops: str, *, zeros: bool) -> str:
    """What a cell computes as the authors write it: sums of strings of paths, none of them shared.

    zeros: as in their code, which keeps the nothing of an edge as a term of its sum.
    """
    cell = choices(ops)
    nodes: list[list[str]] = [["0"]]
    for node in (1, 2, 3):
        terms: list[str] = []
        for start in range(node):
            operation, before = str(cell[f"edge{start}{node}"]), nodes[start]
            if operation == "none" or not before or before == ["#"]:
                terms += ["#"] if zeros else []
            elif operation == "skip":
                terms += ["+".join(before)] if zeros else before
            else:
                terms.append(f"({'+'.join(before)})@{operation}")
        nodes.append(sorted(terms))
    return "+".join(nodes[3])


def test_the_parameters_are_those_of_the_benchmark() -> None:
    for ops in [*random.Random(0).sample(CELLS, 200), "000000", "111111", "333333", "444444"]:
        assert network(ops).num_params == published(ops), ops


@pytest.mark.skipif(not TABLE.exists(), reason="the benchmark's table is not on this machine (../shared/data)")
def test_the_parameters_are_those_of_the_table() -> None:
    with gzip.open(TABLE, "rt") as file:
        rows = random.Random(1).sample(list(csv.DictReader(file)), 200)
    for row in rows:
        assert network(row["ops"]).num_params == int(row["cifar10_params_exact"]), row["arch"]


@pytest.mark.slow
def test_all_cells_have_the_parameters_of_the_benchmark_and_5260_functions() -> None:
    space = NASBench201((3, 32, 32), 10, cells=1)
    functions: dict[str, set[str]] = {}
    for ops in CELLS:
        cell = {edge: str(operation) for edge, operation in choices(ops).items()}
        found = space.network(cell)
        assert found.num_params == space.params(ops.count("2"), ops.count("3"))
        functions.setdefault(found.digest, set()).add(strings(ops, zeros=False))
    assert all(len(written) == 1 for written in functions.values())  # no digest joins two functions
    assert len({strings(ops, zeros=True) for ops in CELLS}) == 6466  # as published
    assert len({strings(ops, zeros=False) for ops in CELLS}) == 4930  # without the terms that are nothing
    assert len(functions) == 5260  # where two paths of one layer differ from two layers alike


@pytest.mark.parametrize("ops", ["333132", "102030", "002003", "000000", "002000", "443214", "111111"])
def test_the_module_and_its_source_hold_what_is_counted_and_compute_the_same(ops: str) -> None:
    found = network(ops, cells=2, channels=4)
    module, text = Network(found).eval(), source(plan(found))
    names: dict[str, type[torch.nn.Module]] = {}
    exec(compile(f"import torch\nfrom torch import nn\n\n\n{text}", "model.py", "exec"), names)
    twin = names["Network"]().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
    twin.load_state_dict(module.state_dict())
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert torch.equal(module(x), twin(x))
    assert counter.get_total_flops() == 2 * 2 * found.flops  # two networks, two samples: nothing held is computed
    space = NASBench201((3, 32, 32), 10, cells=2, channels=4)
    assert found.num_params == space.params(ops.count("2"), ops.count("3"))
    assert sum(p.numel() for p in module.parameters()) == sum(p.numel() for p in twin.parameters()) == found.num_params
    assert (HELD in text) == (len(found.computed) < len(found.nodes))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("130000", "003000"),  # one edge to the output, directly and through a skip ... which leads nowhere
        ("300010", "000300"),  # a convolution, then a skip: the same as the convolution from the input
        ("020002", "200020"),  # two layers in a row, through node 1 or through node 2
        ("110101", "110110"),  # sums of skips
        ("000222", "000200"),  # convolutions of nothing
    ],
)
def test_cells_that_compute_the_same_have_one_digest(one: str, other: str) -> None:
    same = strings(one, zeros=False) == strings(other, zeros=False)
    assert (network(one, 1).digest == network(other, 1).digest) == same


def test_a_cell_of_nothing_is_zero() -> None:
    found = network("000000", cells=1)
    assert [node.op for node in found.nodes].count("zero") == 3


def test_dead_convolutions_are_told_apart_by_size_but_not_by_digest() -> None:
    with_dead, without = network("000203", 1), network("000200", 1)
    assert with_dead == without
    assert with_dead.num_params > without.num_params
    assert with_dead.flops == without.flops


def test_replay_of_six_digits() -> None:
    assert list(choices("012340").values()) == [*OPERATIONS, "none"]
    for wrong in ("33313", "333135", "abcdef"):
        with pytest.raises(ValueError, match="six digits"):
            choices(wrong)


@pytest.mark.parametrize("shape", [(64,), (3, 30, 32), (3, 7, 7)])
def test_samples_that_do_not_fit_the_skeleton_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 4") as refusal:
        NASBench201(shape, 10)
    assert str(shape) in str(refusal.value)


@pytest.mark.parametrize("budget", [Budget(300_000), Budget(700_000, 0.9)])
def test_completions_are_counted_exactly(budget: Budget) -> None:
    space, taken = NASBench201((3, 32, 32), 10, budget), {"edge01": "conv3x3", "edge02": "skip"}
    fitting = [ops for ops in CELLS if published(ops) in budget and ops.startswith("31")]
    wanted = [float(sum(ops[2] == digit for ops in fitting)) for digit in "01234"]
    assert space.completions(taken, "edge12", OPERATIONS) == wanted
