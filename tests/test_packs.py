"""Which jobs go to a worker together, what becomes of those whose worker dies, and of those that need more memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import Toy

from nas.architecture import Sketch
from nas.candidate import Candidate
from nas.evaluate import Stopping, Training
from nas.executor import JobFailed, Workers
from nas.job import Job, Outcome
from nas.options import Options
from nas.packs import WAITING, Flight, Waiting
from nas.problem import Problem
from nas.recipe import Recipe
from nas.train.fused import plan
from nas.train.fused.chain import chain_of
from nas.train.fused.group import Group
from nas.train.fused.member import Lane, Member
from nas.train.loop import Patience
from nas.train.resident import Resident
from search_spaces.mlp import MLP

SPACE = MLP((64,), 10, None, max_depth=3, min_width=8, max_width=64)


def jobs(number: int, **recipe: Any) -> list[Job]:
    rng = np.random.default_rng(0)
    plain = Recipe(batch_size=64, precision="float32")
    drawn = [replace(SPACE.sample(rng), recipe=replace(plain, **recipe)) for _ in range(number)]
    return [Job(k, candidate, k, order=0) for k, candidate in enumerate(drawn)]


def waiting(number: int, room: int = 4) -> Waiting:
    """Jobs of which every third is alike."""
    found = Waiting(lambda candidate: (candidate.recipe.batch_size, room))
    for job in jobs(number):
        found.add(replace(job, candidate=replace(job.candidate, recipe=Recipe(batch_size=1 + job.number % 3))))
    return found


def test_the_oldest_goes_with_those_that_are_like_it() -> None:
    line = waiting(12, room=3)
    assert [job.number for job in line.take(9)] == [0, 3, 6]
    assert [job.number for job in line.take(2)] == [1, 4]
    assert [job.number for job in line.take(9)] == [2, 5, 8]
    assert [job.number for job in line.jobs] == [7, 9, 10, 11]


def test_more_is_asked_for_until_the_next_pack_is_full_or_enough_wait() -> None:
    assert waiting(0).hungry(1)
    assert waiting(9).hungry(4)
    assert not waiting(10).hungry(4)
    assert not waiting(9).hungry(3)
    assert not waiting(WAITING, room=WAITING).hungry(WAITING)


def mixed(fitting: Sequence[int], sizes: Sequence[int]) -> Waiting:
    """A job for each of `fitting`, so many of which are a pack, with one batch size after the other."""
    line, told = (
        Waiting(lambda candidate: (candidate.recipe.batch_size, fitting[round(candidate.fidelity) - 1])),
        jobs(1)[0],
    )
    for number in range(len(fitting)):
        recipe = replace(told.candidate.recipe, batch_size=sizes[number % len(sizes)])
        line.add(replace(told, number=number, candidate=replace(told.candidate, recipe=recipe, fidelity=number + 1.0)))
    return line


@given(st.lists(st.integers(1, 32), min_size=1, max_size=60), st.integers(1, 5), st.floats(0.5, 20))
def test_a_pack_is_full_at_most_and_takes_no_longer_than_its_share_but_for_half_a_job(
    fitting: list[int], kinds: int, fair: float
) -> None:
    line = mixed(fitting, sizes := [16 << kind for kind in range(kinds)])
    times = {number: (number + 1) / many / sizes[number % kinds] for number, many in enumerate(fitting)}
    seen = []
    while line:
        limit = fair * sum(times[job.number] for job in line.jobs) / len(line)
        taken = [job.number for job in line.take(fair=fair)]
        assert sum(1 / fitting[number] for number in taken) <= 1 + 1e-6
        spent = sum(times[number] for number in taken)
        assert len(taken) == 1 or spent <= limit + max(times[number] for number in taken[1:]) / 2 + 1e-9
        assert len({number % kinds for number in taken}) == 1
        seen += taken
    assert sorted(seen) == list(range(len(fitting)))


def test_a_large_job_does_not_keep_small_ones_from_being_asked_for() -> None:
    assert mixed([2, *[32] * 10], [64]).hungry()
    assert not mixed([2, *[32] * 16], [64]).hungry()
    assert mixed([32, 2], [64]).hungry()


class Lethal(Toy):
    """Job 5 takes its worker with it; several are answered one by one."""

    def together(self, given: Sequence[Job]) -> Iterator[tuple[int, Outcome | Exception]]:
        return enumerate(self(job) for job in given)


class Mortal(Workers):
    """Runs what is submitted at once; a pack with job 5 kills it."""

    slots = 1

    def __init__(self) -> None:
        self.packs: list[list[int]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.packs.append([job.number for job in args[1]])
        future: Future[Any] = Future()
        if 5 in self.packs[-1]:
            future.set_exception(JobFailed("worker 0 was ended by SIGKILL"))
        else:
            future.set_result(fn(Lethal(failing=False), *args))
        return future


def test_a_job_that_kills_its_worker_is_found_by_halves_and_costs_itself_alone() -> None:
    flight, executor = Flight(mortal := Mortal()), mortal
    flight.send(jobs(8))
    found: list[Any] = []
    while flight:
        found += flight.landed()
    assert sorted(job.number for job, _ in found) == list(range(8))
    assert [job.number for job, result in found if isinstance(result, BaseException)] == [5]
    assert len(executor.packs) == 7  # 8, 4 and 4, 2 and 2, 1 and 1


def test_no_more_go_together_than_a_step_gains_by_it_or_memory_holds() -> None:
    small, large = (jobs(1)[0].candidate for _ in range(2))
    wide = MLP((64,), 10, None, max_depth=3, min_width=200, max_width=255)
    large = replace(wide.sample(np.random.default_rng(0)), recipe=large.recipe)
    assert plan.together(small)[1] > plan.together(large)[1] >= 1
    chain = chain_of(small.architecture)
    assert chain is not None
    assert plan.together(small, memory=2 * plan.bytes_of(small.architecture, 64, chain))[1] == 2
    assert plan.together(small, memory=0)[1] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": "sam"},
        {"optimizer": "rmsprop"},
        {"optimizer": "adagrad"},
        {"average": "ema"},
        {"mixup": 0.2},
        {"precision": "bfloat16"},
    ],
)
def test_what_a_group_cannot_do_is_trained_alone(changed: dict[str, Any]) -> None:
    assert plan.together(jobs(1, **changed)[0].candidate) == (None, 1)


def test_candidates_that_share_batch_size_and_fidelity_are_alike_whatever_their_optimizer() -> None:
    (one,) = jobs(1)
    like = replace(one.candidate, recipe=replace(one.candidate.recipe, lr=1.0, optimizer="sgd"))
    assert plan.likeness(one.candidate) == plan.likeness(like)
    others: list[Candidate] = [replace(one.candidate, fidelity=0.5), replace(one.candidate, fidelity=0.5, horizon=1.0)]
    others += [replace(like, recipe=replace(like.recipe, batch_size=32))]
    assert len({plan.likeness(candidate) for candidate in [like, *others]}) == 4


def test_a_group_that_is_too_large_for_the_memory_is_trained_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.train.fused import group

    training = Training(Problem.of(Options.of({"space": "mlp", "budget": "20K"})).load(), Stopping(2, 2))
    training.prepare("cpu")
    wanted = dict(training.together(pack := jobs(5)))
    sizes: list[int] = []
    train = group.train_together

    def tight(members: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(members))
        if len(members) > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
        return train(members, *args, **kwargs)

    monkeypatch.setattr(group, "train_together", tight)
    found = dict(training.together(pack))
    assert sizes == [5, 2, 3, 1, 2]
    for position in range(5):
        one, other = found[position], wanted[position]
        assert isinstance(one, Outcome)
        assert isinstance(other, Outcome)
        assert one.values == other.values


def test_one_that_ends_its_whole_group_is_found_by_halves_and_costs_itself_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nas.train.fused import group

    training = Training(Problem.of(Options.of({"space": "mlp", "budget": "20K"})).load(), Stopping(1, 1))
    training.prepare("cpu")
    train = group.train_together

    def fragile(members: Any, *args: Any, **kwargs: Any) -> Any:
        if any(member.seed == 3 for member in members):
            raise RuntimeError("shapes do not fit")
        return train(members, *args, **kwargs)

    monkeypatch.setattr(group, "train_together", fragile)
    found = dict(training.together(jobs(5)))
    assert [isinstance(found[k], Outcome) for k in range(5)] == [True, True, True, False, True]
    assert str(found[3]) == "shapes do not fit"


def test_what_a_cuda_error_has_left_of_a_group_is_not_tried_in_the_process_that_it_has_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nas.train.fused import group

    training, sizes = Training(Problem.of(Options.of({"budget": "20K"})).load(), Stopping(1, 1)), list[int]()
    training.prepare("cpu")

    def broken(members: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(members))
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(group, "train_together", broken)
    with pytest.raises(RuntimeError, match="CUDA error"):
        list(training.together(jobs(5)))
    assert sizes == [5]


@pytest.mark.parametrize("fused", [True, False])
def test_batchnorm_that_is_given_one_sample_at_a_time_fails_alone_and_says_what_to_do(fused: bool) -> None:
    digits = Problem.of(Options.of({"space": "mlp", "budget": "20K"})).load()
    training = Training(digits, Stopping(1, 1), sample=0.1, fused=fused)
    training.prepare("cpu")
    space, rng = MLP((1, 8, 8), 10, None, max_depth=3, min_width=8, max_width=64), np.random.default_rng(0)
    by_norm = {drawn.values["norm"]: drawn for drawn in (space.sample(rng) for _ in range(30))}
    one = Recipe(batch_size=1, precision="float32")
    three = [replace(by_norm[norm], recipe=one) for norm in ("none", "batchnorm", "layernorm")]
    found = dict(training.together([Job(k, candidate, k, order=0) for k, candidate in enumerate(three)]))
    assert [isinstance(found[k], Outcome) for k in range(3)] == [True, False, True]
    assert "batch_size 1 leaves batchnorm nothing to compare" in str(found[1])


def held() -> int:
    """Bytes of all tensors that there are."""
    gc.collect()
    tensors = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


@torch.inference_mode()
@pytest.mark.parametrize("own_orders", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize(("features", "norm"), [(784, "none"), (784, "layernorm"), (16, "batchnorm")])
def test_a_group_holds_no_more_memory_than_was_said(features: int, norm: str, p: float, own_orders: bool) -> None:
    net = Sketch((features,))
    x = net("dropout", net.input, p=p)
    for _ in range(3):
        y = net("dropout", net("gelu", net(norm, net("linear", x, out=32))), p=p)
        x = net.residual(x, y)
    architecture, batch = net.done(net("linear", x, out=10)), 256
    chain = chain_of(architecture)
    assert chain is not None
    said = plan.bytes_of(architecture, batch, chain)
    data = Resident(torch.randn(5 * batch // 2, features), torch.randint(10, (5 * batch // 2,)))
    recipe = Recipe("adamw", 1e-3, batch_size=batch, precision="float32")
    members = [Member(architecture, recipe, n, Patience(9), order=n * own_orders) for n in range(4)]
    before = held()
    group = Group([Lane(member, data, data, 1) for member in members], data, data)
    group.train()
    taken = held() - before
    assert said / 6 < taken / len(members) < said
