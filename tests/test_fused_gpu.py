"""Groups as a GPU has them, tried on a CPU: products of one shape as one, dropout by hashes, nothing asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fused import CLASSES, DATA, FEATURES, SPACE, VALIDATION, alone, assert_same, network, recipe, together
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.architecture import Architecture, Sketch
from nas.candidate import Candidate
from nas.ops import ACTIVATIONS
from nas.recipe import Recipe
from nas.train.checkpoint import Segment
from nas.train.fused import descent, group, plan
from nas.train.fused.group import Group
from nas.train.fused.member import Lane, Member
from nas.train.fused.plan import COSTS, FUSED
from nas.train.fused.ways import WAYS
from nas.train.loop import Patience
from nas.train.resident import Resident

GPU = replace(WAYS["cuda"], recorded=False)
some_optimizers = st.sampled_from([FUSED, *[(name,) for name in FUSED]])


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WAYS, "cpu", GPU)


def drawn(seed: int, optimizers: Sequence[str], number: int, batch: int = 32) -> list[Member]:
    rng = np.random.default_rng(seed)
    return [
        Member(
            SPACE.sample(rng).architecture, recipe(rng, optimizers, batch), k, Patience(99), order=int(rng.integers(2))
        )
        for k in range(number)
    ]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    optimizers=some_optimizers,
    number=st.integers(2, 8),
    batch=st.sampled_from([25, 110]),
)
def test_a_member_gets_the_same_numbers_in_any_company(
    seed: int, optimizers: Sequence[str], number: int, batch: int
) -> None:
    members = drawn(seed, optimizers, number, batch)
    for member, found in zip(members, together(members, 5), strict=True):
        assert_same(found, together([member], 5)[0])


def wide(activation: str, norm: str, width: int, skip: bool) -> Architecture:
    """Two blocks and no dropout, so that training alone draws no other masks."""
    net = Sketch((FEATURES,))
    x = net.input
    for _ in range(2):
        y = net(activation, net(norm, net("linear", x, out=width, bias=norm != "batchnorm")))
        x = net.residual(x, y) if skip else y
    return net.done(net("linear", x, out=CLASSES))


@pytest.mark.parametrize("optimizer", ["adamw", "nesterov"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_dropout_a_member_gets_the_numbers_that_it_gets_alone(activation: str, optimizer: str) -> None:
    made = [(n, w, s) for n in ("none", "batchnorm", "layernorm") for w in (8, 8, 12) for s in (False, True)]
    told = Recipe(optimizer, 3e-3, weight_decay=0.01, l1=1e-4, batch_size=32, precision="float32")
    group = [Member(wide(activation, n, w, s), told, k, Patience(9)) for k, (n, w, s) in enumerate(made)]
    for member, found in zip(group, together(group, 3), strict=True):
        assert_same(found, alone(member, 3))


class Calls(TorchDispatchMode):
    """Counts them; on which devices their tensors lie."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.devices = Counter[str](), set[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.number[func._opname if hasattr(func, "_opname") else func.name()] += 1
        self.devices |= {leaf.device.type for leaf in tree_leaves((args, kwargs, found)) if torch.is_tensor(leaf)}
        return found


@torch.inference_mode()
def test_products_of_one_shape_are_one_call() -> None:
    same, other = network(width=8), network(width=16)
    numbers = []
    for architectures in ([same] * 2, [same] * 6, [same, other] * 3):
        members = [Member(a, Recipe(batch_size=32, clip=0.0), k, Patience(9)) for k, a in enumerate(architectures)]
        trainings = [Lane(member, DATA, VALIDATION, 2) for member in members]
        going = Group(sorted(trainings, key=lambda t: t.likeness), DATA, VALIDATION)
        going.evaluate()  # writes the step down
        with Calls() as calls:
            going.evaluate()
        numbers.append(calls.number)
    two, six, mixed = numbers
    assert two == six
    assert mixed["baddbmm"] == 2 * two["baddbmm"] > 0
    assert "addmm" not in two


@pytest.mark.parametrize("optimizers", [FUSED, ("adamw", "adam"), ("sgd",), ("nesterov",)])
@torch.inference_mode()
def test_a_step_asks_nothing_and_takes_nothing_from_the_host(
    optimizers: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors of the device `meta` hold no numbers: asking for one raises, and mixing them with the host's is seen."""
    monkeypatch.setitem(WAYS, "meta", GPU)
    monkeypatch.setattr(descent.Momentum, "KERNEL", "which torch does not have for such tensors")
    seen = Calls()

    class Watched(group.TrainingStep):
        def take(self) -> None:
            with seen:
                super().take()

    class Evaluated(group.EvaluationStep):
        def take(self) -> None:
            with seen:
                super().take()

    monkeypatch.setattr(group, "TrainingStep", Watched)
    monkeypatch.setattr(group, "EvaluationStep", Evaluated)
    there = Resident(DATA.x.to("meta"), DATA.y.to("meta"))
    for seed in range(4):
        trainings = [Lane(member, DATA, VALIDATION, 2) for member in drawn(seed, optimizers, 5)]
        for training in trainings:
            training.begins = [tensor.to("meta") for tensor in training.begins]
        going = Group(trainings, there, there)
        going.train()
        going.evaluate()
        with pytest.raises(RuntimeError, match="meta"):  # the end of an epoch is where it waits
            going._measured([0.0] * 5)
    assert seen.devices == {"meta"}
    assert sum(seen.number.values()) > 1000


@pytest.mark.parametrize("optimizer", ["adamw", "nesterov"])
def test_what_goes_on_from_a_segment_drops_what_it_would_have_dropped(optimizer: str, tmp_path: Path) -> None:
    members = drawn(1, (optimizer,), 4)

    def run(epochs: int, before: str | None, after: str | None) -> list[Any]:
        for k, member in enumerate(members):
            files = [None if name is None else tmp_path / f"{name}{k}" for name in (before, after)]
            member.segment = Segment(7, *files)
        return together(members, epochs)

    whole = run(7, None, None)
    run(2, None, "low")
    for one, other in zip(whole, run(7, "low", None), strict=True):
        assert other.before == 2
        assert_same(one, other)


def test_a_checkpoint_of_a_group_that_draws_is_not_for_one_that_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Member(network(), Recipe(batch_size=32), 1, Patience(9), segment=Segment(7, after=tmp_path / "low"))
    together([member], 2)
    member.segment = Segment(7, before=tmp_path / "low")
    assert together([member], 7)[0].before == 2
    monkeypatch.setitem(WAYS, "cpu", replace(GPU, hashed=False))
    assert together([member], 7)[0].before == 0


@pytest.mark.parametrize(("optimizer", "kind"), [("adamw", "Adam"), ("sgd", "Momentum"), ("nesterov", "Momentum")])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_without_the_kernel_that_has_a_private_name_an_optimizer_is_the_same(
    optimizer: str, kind: str, momentum: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Member(network(), Recipe(optimizer, 0.01, momentum, batch_size=32), 1, Patience(9))
    (usual,) = together([member], 4)
    monkeypatch.setattr(getattr(descent, kind), "KERNEL", "of no version of torch")
    assert_same(usual, together([member], 4)[0])


def test_a_gpu_takes_more_networks_together_and_leaves_alone_what_fills_it() -> None:
    candidate = SPACE.sample(np.random.default_rng(0))
    small = replace(candidate, recipe=Recipe(batch_size=128, precision="float32"))
    cpu, cuda = (plan.together(small, memory=1 << 40, costs=COSTS[kind])[1] for kind in ("cpu", "cuda"))
    assert cpu < cuda == COSTS["cuda"].most
    costly = replace(COSTS["cuda"], layer=100 * COSTS["cuda"].layer)
    assert plan.together(small, memory=1 << 40, costs=costly)[1] < cuda
    enough = int(COSTS["cuda"].large) // small.architecture.num_params
    fits: list[Candidate] = [
        replace(small, recipe=Recipe(batch_size=size, precision="float32")) for size in (enough, enough + 1)
    ]
    assert [plan.likeness(one, "cuda") is None for one in fits] == [False, True]
    assert all(plan.likeness(one, "cpu") for one in fits)


def test_a_group_is_cut_to_what_the_gpu_has_free(monkeypatch: pytest.MonkeyPatch) -> None:
    members = drawn(0, ("adamw", "adam"), 6)
    trainings = [Lane(member, DATA, VALIDATION, 2) for member in members]
    sizes = [plan.bytes_of(t.member.architecture, t.batch, t.chain) for t in trainings]
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5)
    for room in (1, 2 * max(sizes), sum(sizes)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, room=room: (plan.SPARED * room, 1 << 40))
        parts = group._fitting(trainings, torch.device("cuda"))
        assert [training for part in parts for training in part] == trainings
        assert all(len(part) == 1 or sum(sizes[trainings.index(t)] for t in part) <= room for part in parts)
        assert len(parts) == {1: 6, sum(sizes): 1}.get(room, len(parts))
    assert group._fitting(trainings, torch.device("cpu")) == [trainings]
