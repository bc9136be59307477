"""Which networks are trained again, how often, for how long and on how many threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
import torch
from finals import candidate, learned, trial

from nas.budget import Budget
from nas.choosing import Ended, chosen_again, probed
from nas.executor import JobFailed, Workers
from nas.finalists import (
    FINALISTS,
    THREADS,
    affordable,
    contenders,
    finalists,
    gain_of,
    threads,
    with_baseline,
)
from nas.options import Options
from nas.train.fused import plan
from nas.train.threads import gain
from nas.trial import Trial
from search_spaces.mlp import MLP


def test_finalists_are_the_best_of_different_networks_and_recipes() -> None:
    a, b, c = candidate(1, 4), candidate(1, 8), candidate(1, 8, lr=1e-2)
    trials = [trial(0, a, 0.9), trial(1, replace(a, fidelity=0.5), 0.95), trial(2, b, 0.8), trial(3, c, 0.7)]
    assert [t.number for t in finalists(trials, 2)] == [1, 2]
    assert [t.number for t in finalists(trials, 9)] == [1, 2, 3]
    assert len(finalists(trials)) == FINALISTS
    assert finalists([Trial(0, a, 0, error="failed")]) == []


@pytest.mark.parametrize(
    ("by_heart", "seconds", "expected"),
    [
        (False, 1.0, [(8, 1)]),  # no time: the epochs of the search, the best network on all cores
        (False, 15.0, [(55, 1)]),
        (False, 32.0, [(8 * 8, 1)] * 2),  # one network a worker
        (False, 250.0, [(8 * 8, 3)] * 3),  # more of them, but not for fewer epochs
        (False, 1e6, [(8 * 8, 5)] * 5),
        (True, 16.0, [(4 * 8, 1)] * 2),  # more epochs would not help, more networks and seeds may
        (True, 24.0, [(3 * 8, 1)] * 3),  # three quarters of the epochs, and a network more
        (True, 35.0, [(int(32 * 35 / 48), 2)] * 3),
        (True, 1e6, [(4 * 8, 5)] * 5),
    ],
)
def test_the_time_left_is_cut_into_networks_seeds_and_epochs(
    monkeypatch: pytest.MonkeyPatch, by_heart: bool, seconds: float, expected: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr("nas.finalists.cores", lambda: 2)
    monkeypatch.setattr("nas.finalists.HALF", 1e-6)  # as if these were large networks
    trials = [learned(number, by_heart) for number in range(8)]
    found = affordable(trials, seconds, ["cpu"] * 2, epochs=8, samples=1000)
    assert [(again.epochs, again.seeds) for again in found] == expected
    assert [again.trial.number for again in found] == list(range(len(expected)))


@pytest.mark.parametrize(("seconds", "epochs"), [(1.0, 8), (15.0, 30), (32.0, 64)])
def test_a_small_network_that_a_second_core_makes_no_faster_leaves_it_to_another(
    monkeypatch: pytest.MonkeyPatch, seconds: float, epochs: int
) -> None:
    monkeypatch.setattr("nas.finalists.cores", lambda: 2)
    trials = [learned(number, by_heart=False) for number in range(8)]
    two = affordable(trials, seconds, ["cpu"] * 2, epochs=8, samples=1000)
    assert [(again.epochs, again.seeds) for again in two] == [(epochs, 1)] * 2
    (one,) = affordable(trials[:1], seconds, ["cpu"] * 2, epochs=8, samples=1000, growing=[(1, 1)])
    assert one.epochs == epochs  # no more than one core can do


def test_networks_and_seeds_that_the_user_asks_for_are_trained_however_little_the_time() -> None:
    trials = [learned(number, by_heart=True) for number in range(8)]
    found = affordable(trials, 1.0, ["cpu"] * 2, 8, 1000, growing=[(2, 5)] * 5)
    assert [(again.epochs, again.seeds) for again in found] == [(8, 5)] * 2


def test_the_best_of_random_search_is_a_finalist_too() -> None:
    searched = [trial(n, candidate(1, width), 0.9 - n / 100) for n, width in enumerate((4, 8, 16, 32))]
    random = [trial(0, candidate(2, 4), 0.5), trial(1, candidate(2, 8), 0.4)]
    chosen = with_baseline(searched, random, number=2, seeds=3, epochs=8)
    assert [again.trial for again in chosen] == [searched[0], searched[1], random[0]]
    assert [again.trial for again in with_baseline(searched, [], 2, 3, 8)] == searched[:2]
    assert with_baseline(random, searched, 1, 3, 8)[-1].trial is random[0]


def test_epochs_on_all_the_data_take_longer_than_those_on_a_sample() -> None:
    trials = [learned(number, by_heart=False) for number in range(2)]
    found = affordable(trials, 24.0, ["cuda:0"] * 2, epochs=8, samples=9, share=0.5)
    assert [again.epochs for again in found] == [24, 24]


def test_an_epoch_of_a_promotion_that_had_nothing_left_to_train_takes_as_long_as_its_curve_says() -> None:
    rows = ({"train_accuracy": 0.99, "val_accuracy": 0.9, "seconds": 0.5},) * 4
    promoted = replace(trial(0, candidate(), 0.9, seconds=0.001, epochs=0), curve=rows)
    trained = replace(promoted, metrics={"seconds": 2.0, "epochs": 4})
    found = [affordable([one], 8.0, ["cuda:0"], epochs=8, samples=9) for one in (promoted, trained)]
    assert [again.epochs for again in found[0]] == [again.epochs for again in found[1]] == [16]


@pytest.mark.parametrize(("samples", "longer"), [(10_000, 8), (40_000, 6), (100_000, 4), (10**7, 4)])
def test_samples_that_have_been_seen_often_are_not_worth_more_epochs(samples: int, longer: int) -> None:
    found = affordable([learned(0, by_heart=False)], 1e6, ["cuda:0"], epochs=8, samples=samples)
    assert [again.epochs for again in found] == [8 * longer]


@pytest.mark.parametrize(("more", "company"), [({}, 2), ({"workers": 0}, 1), ({"ensemble": True}, 0)], ids=str)
def test_what_eight_shared_in_the_search_fewer_share_in_the_final_training(more: dict[str, Any], company: int) -> None:
    trained = replace(learned(3, by_heart=False), metrics={"seconds": 2.0, "epochs": 4, "together": 8})
    left = 79.0 * (1 + ("ensemble" in more))  # half of it is for small networks
    ended = Ended([trained], [], [], spent=left)

    def epochs(fused: bool) -> int:
        told = {"time": 2 * left, "epochs": 10, "budget": 5000, "finalists": 1, "final_seeds": 2, "fused": fused}
        return chosen_again(Options.of({**told, **more}), ended, ["cpu"], 9, 9)[0].epochs

    slower = plan.share(trained.candidate, company) / plan.share(trained.candidate, 8)
    assert slower > 1.5
    assert epochs(fused=True) * slower == pytest.approx(epochs(fused=False), rel=0.1) == pytest.approx(79)


@pytest.mark.parametrize(("spent", "seconds", "more", "trained"), [
    (30.0, 30.0, {}, 0), (30.0, 2.0, {}, 1), (9.0, 30.0, {}, 1), (30.0, 30.0, {"ensemble": True}, 1)
])  # fmt: skip  # a line each
def test_after_the_time_nothing_is_trained_of_which_an_epoch_is_longer_than_was_kept_for_it(
    spent: float, seconds: float, more: dict[str, Any], trained: int
) -> None:
    one = replace(learned(0, by_heart=False), metrics={"seconds": seconds, "epochs": 1})
    told = {"time": 10, "epochs": 10, "budget": 5000, "finalists": 1, "final_seeds": 1, **more}
    assert len(chosen_again(Options.of(told), Ended([one], [], [], spent), ["cpu"], 9, 9)) == trained


class Measuring(Workers):
    """A worker that has found out what a second thread adds."""

    slots = 1

    def __init__(self, found: float | JobFailed) -> None:
        self.found, self.asked = found, 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked += 1
        future: Future[Any] = Future()
        if isinstance(self.found, JobFailed):
            future.set_exception(self.found)
        else:
            future.set_result(self.found)
        return future

    def stream(self, fn: Callable[..., Any], jobs: Sequence[Any]) -> list[Future[Any]]:
        raise NotImplementedError("one question is asked")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...


@pytest.mark.parametrize(("found", "each"), [(0.9, 2), (0.4, 2), (-0.5, 1), (JobFailed("no memory"), 1)], ids=str)
def test_a_network_has_a_second_thread_where_that_was_seen_to_make_it_faster(
    found: float | JobFailed, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.finalists.cores", lambda: 2)
    large = MLP((700,), 10, Budget(5_000_000)).default()
    one = Trial(0, large, 0, (0.9,), {"seconds": 20.0, "epochs": 4}, curve=({"train_accuracy": 0.8},))
    options, devices = Options.of({"time": 100, "budget": "5M", "epochs": 4}), ["cpu"] * 2
    ended = probed(Ended([one], [], [], 50.0), options, devices, worker := Measuring(found))
    assert worker.asked == 1
    assert threads(devices, 1, ended.adds) == each
    (again,) = chosen_again(replace(options, finalists=1, final_seeds=1), ended, devices, 9, 9)
    assert again.epochs == int(50 / 5 * (1 + min(gain_of(one), ended.adds) * (each - 1)))
    small = replace(one, candidate=candidate())
    assert threads(devices, 1, probed(Ended([small], [], [], 50.0), options, devices, worker).adds) == 1
    assert worker.asked == 1  # its steps are calls, which no thread makes faster


def test_what_a_thread_adds_is_measured_and_leaves_as_many_threads_as_there_were() -> None:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    assert -1 < gain(None, candidate(), 2) < 3
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_fewer_networks_than_workers_are_no_hindrance() -> None:
    assert [again.epochs for again in affordable([learned(0, by_heart=True)], 1e6, ["cpu"] * 4, 8, 9)] == [32]
    assert affordable([Trial(0, candidate(), 0, error="failed")], 10.0, ["cpu"] * 2, 8, 9) == []


def test_a_network_that_had_few_epochs_is_not_beaten_by_one_that_had_more() -> None:
    widths = {0: (4, 1.0), 1: (8, 1.0), 2: (16, 0.5), 3: (32, 0.25)}
    given = {n: replace(candidate(1, width), fidelity=share) for n, (width, share) in widths.items()}
    trials = [trial(n, given[n], value) for n, value in enumerate((0.9, 0.89, 0.7, 0.6))]
    assert [t.number for t in contenders(trials, 3)] == [0, 2, 3]
    assert [t.number for t in contenders(trials, 9)] == [0, 2, 3, 1]
    assert [t.number for t in contenders([*trials, trial(4, replace(candidate(2), fidelity=0.25), 0.8)], 2)] == [0, 4]


def test_idle_cores_are_shared_among_the_networks_trained_and_gpus_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.finalists.cores", lambda: 6)
    assert [threads(["cpu"] * 6, networks) for networks in (1, 2, 3, 6, 8)] == [THREADS, 3, 2, 1, 1]
    assert threads(["cpu"] * 12, 2) == 3  # more workers than cores
    assert threads(["cuda:0"] * 6, 1) == 1
