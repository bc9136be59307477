"""Steps as CUDA graphs, tried on a CPU with a stand-in that records calls and replays them."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from recording import Cuda, Graph
from test_fused import DATA, SPACE, VALIDATION, assert_same, in_order, recipe

from nas import evaluate
from nas.options import Options
from nas.problem import Problem
from nas.train.fused import graph, trial, ways
from nas.train.fused.graph import BRANCHES, Aside, Recording
from nas.train.fused.group import Group, train_together
from nas.train.fused.member import Lane, Member
from nas.train.fused.ways import WAYS
from nas.train.loop import Patience


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    monkeypatch.setitem(ways.WAYS, "cpu", WAYS["cuda"])
    monkeypatch.setattr(Recording, "works", True)
    graph._streams.cache_clear()
    yield Cuda(monkeypatch)
    graph._streams.cache_clear()


def members(optimizers: tuple[str, ...] = ("adamw", "adam"), number: int = 6) -> list[Member]:
    """Of many kinds, one of which stops early."""
    rng = np.random.default_rng(3)
    found = [
        Member(SPACE.sample(rng).architecture, recipe(rng, optimizers, 32), k, Patience(99), order=k % 2)
        for k in range(number)
    ]
    found[0].stopping = Patience(1)
    return found


def trained(optimizers: tuple[str, ...] = ("adamw", "adam"), epochs: int = 5) -> list[Any]:
    return in_order(train_together(members(optimizers), DATA, VALIDATION, epochs=epochs))


@pytest.mark.parametrize("optimizers", [("adamw", "nesterov"), ("adamw", "adam"), ("nesterov",), ("sgd",)])
def test_what_is_replayed_is_to_the_bit_what_is_taken_step_by_step(
    cuda: Cuda, optimizers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = trained(optimizers)
    assert sum(made.replays for made in Graph.made) > 12
    monkeypatch.setattr(Recording, "works", False)
    for one, other in zip(replayed, trained(optimizers), strict=True):
        assert [{**row, "seconds": 0} for row in one.curve] == [{**row, "seconds": 0} for row in other.curve]
        for name, tensor in one.network.state_dict().items():
            assert torch.equal(tensor, other.network.state_dict()[name]), name


def test_a_step_is_recorded_the_second_time_it_is_taken_and_once_for_each_size_of_batch(cuda: Cuda) -> None:
    group = [member for member in members() if member.stopping.patience > 1]
    list(train_together(group, DATA, VALIDATION, epochs=3))  # 110 samples: three batches of 32 and one of 14
    assert sorted(made.replays for made in Graph.made) == [2, 2, 3 * 3 - 1]  # last, evaluation, all others


@torch.inference_mode()
def test_a_group_that_has_lost_a_member_records_anew_and_lets_go_of_what_was(cuda: Cuda) -> None:
    trainings = [Lane(member, DATA, VALIDATION, 4) for member in members()]
    group = Group(trainings, DATA, VALIDATION)
    group.train()
    group.train()
    (tape, *_), recorded = group.tapes.values(), len(Graph.made)
    left = [weakref.ref(tape), *(weakref.ref(made) for made in Graph.made)]
    del tape
    Graph.made.clear()
    emptied = cuda.emptied
    group._go_on([1, 2, 3, 4, 5])
    assert [ref() for ref in left] == [None] * len(left)
    assert cuda.emptied > emptied  # what they held is for others
    group.train()
    group.train()
    assert len(Graph.made) == recorded == 2


def test_calls_that_do_not_touch_each_other_are_recorded_in_branches_which_come_together_again(cuda: Cuda) -> None:
    seen: list[Any] = []
    many = Aside([lambda: seen.append(torch.cuda.current_stream()) for _ in range(3 * BRANCHES)])
    many()
    assert seen == [cuda.streams[0]] * len(seen)
    seen.clear()
    Graph.capturing = True
    many()
    assert len({id(stream) for stream in seen}) == BRANCHES
    assert cuda.streams == [cuda.streams[0]]
    Aside([lambda: seen.append(torch.cuda.current_stream())])()
    assert seen[-1] is cuda.streams[0]


@pytest.mark.parametrize("when", ["capture_begin", "capture_end"])
def test_where_nothing_can_be_recorded_steps_are_taken_as_they_are_which_is_said_once(
    cuda: Cuda, when: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = trained()
    monkeypatch.setattr(Graph, when, _fails(getattr(Graph, when)))
    Graph.made = []
    with caplog.at_level(logging.WARNING, "nas"):
        found = trained()
    assert [record.getMessage() for record in caplog.records] == [
        "steps are not recorded as CUDA graphs: CUDA error: operation not permitted when stream is capturing"
    ]
    assert not any(made.replays for made in Graph.made)
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


def test_after_one_recording_has_failed_none_is_replayed_and_the_process_is_of_no_more_use(
    cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, calls = trained(), list[int]()
    begin = Graph.capture_begin

    def second_fails(self: Graph, capture_error_mode: str) -> None:
        calls.append(sum(made.replays for made in Graph.made))
        begin(self, capture_error_mode)
        if len(calls) == 2:
            self.capture_end()
            raise torch.OutOfMemoryError("CUDA out of memory")

    digits = evaluate.Training(Problem.of(Options.of({"budget": "20K"})).load(), evaluate.Stopping(1, 1))
    monkeypatch.setattr(Graph, "capture_begin", second_fails)
    Graph.made = []
    assert not digits.spoilt
    found = trained()
    assert len(calls) == 2
    assert sum(made.replays for made in Graph.made) == calls[1] > 0
    assert digits.spoilt
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


def test_where_a_trial_cannot_record_there_are_no_groups(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graph, "capture_end", _fails(Graph.capture_end))
    verdict = trial.trial(torch.device("cpu"))
    assert verdict.said in (
        "steps cannot be recorded as CUDA graphs on cpu",
        f"a group is not faster than its members alone on cpu: {verdict.said[-10:]}",  # where the machine is busy
    )
    assert not verdict.works


def _fails(call: Any) -> Any:
    def failing(*args: Any, **kwargs: Any) -> None:
        call(*args, **kwargs)
        if call.__name__ == "capture_begin":
            args[0].capture_end()
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    return failing


def test_a_step_that_takes_a_number_from_the_host_would_be_found_out(cuda: Cuda) -> None:
    x, total = torch.ones(3), torch.zeros(3)
    with pytest.raises(AssertionError, match="asks for a value"):
        _record(lambda: total.add_(float(x.sum())))
    with pytest.raises(AssertionError, match="numbers of the host"):
        _record(lambda: total.add_(torch.tensor([1.0, 2.0, 3.0])))
    recorded = _record(lambda: total.add_(x * 2))
    assert total.tolist() == [0, 0, 0]
    x.fill_(5)
    recorded.replay()
    assert total.tolist() == [10, 10, 10]


def _record(step: Any) -> Graph:
    made = Graph()
    made.capture_begin("thread_local")
    try:
        step()
    finally:
        made.capture_end()
    return made
