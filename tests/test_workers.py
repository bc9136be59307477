"""Conformance of the executors: results are right, a failure costs its own job alone, workers end when they should."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
import toy
from toy import Toy, gone

from nas.executor import JobFailed, Workers
from nas.executors.inline import Inline
from nas.executors.local import Local

LIMIT = 60.0  # seconds that a test waits for what is said to happen at once
MAKE: dict[str, Callable[[Any], Workers]] = {
    "inline": lambda evaluator: Inline(evaluator, "cpu"),
    "local": lambda evaluator: Local(evaluator, ["cpu", "cpu"]),
}


@pytest.fixture(params=MAKE)
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    executor = MAKE[request.param](Toy())
    yield executor
    executor.shutdown(cancel_futures=True)


@pytest.fixture
def local() -> Iterator[Workers]:
    executor = MAKE["local"](Toy())
    yield executor
    executor.shutdown(cancel_futures=True)


class Unprepared(Toy):
    """An evaluator that cannot be prepared."""

    def prepare(self, device: str) -> None:
        raise MemoryError("the data does not fit")


class Late(Toy):
    """An evaluator that can be prepared at the second attempt, as on a device that was busy."""

    def prepare(self, device: str) -> None:
        super().prepare(device)
        if self.prepared == 1:
            raise MemoryError("busy")


def test_every_job_gets_its_own_result(workers: Workers) -> None:
    futures = [workers.submit(toy.add, n, 2 * n) for n in range(20)]
    assert [future.result(LIMIT) for future in futures] == [3 * n for n in range(20)]


def test_arguments_may_be_given_by_keyword(workers: Workers) -> None:
    assert workers.submit(toy.add, 3, b=4).result(LIMIT) == 7


def test_a_job_that_raises_costs_itself_alone_and_brings_its_traceback(workers: Workers) -> None:
    futures = [workers.submit(toy.add, 1), workers.submit(toy.boom, "no such thing"), workers.submit(toy.add, 2)]
    wait(futures, LIMIT)
    error = futures[1].exception()
    assert isinstance(error, JobFailed)
    assert str(error) == "LookupError: no such thing"
    assert "in boom" in error.trace
    assert "raise LookupError(word)" in error.trace
    assert [futures[0].result(), futures[2].result()] == [1, 2]


def test_the_evaluator_is_prepared_once_a_worker_and_told_its_device(workers: Workers) -> None:
    for _ in range(6):
        assert workers.submit(toy.prepared).result(LIMIT) == 1
    assert workers.submit(toy.device).result(LIMIT) == ["cpu"]


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_an_evaluator_that_cannot_be_prepared_fails_its_jobs(make: Callable[[Any], Workers]) -> None:
    workers = make(Unprepared())
    errors = [workers.submit(toy.add, 1).exception(LIMIT) for _ in range(2)]
    workers.shutdown(cancel_futures=True)
    assert [str(error) for error in errors] == ["MemoryError: the data does not fit"] * 2
    assert all("in prepare" in error.trace for error in errors if isinstance(error, JobFailed))


@pytest.mark.parametrize("make", [MAKE["inline"], lambda evaluator: Local(evaluator, ["cpu"])], ids=MAKE)
def test_a_preparation_that_failed_is_tried_again(make: Callable[[Any], Workers]) -> None:
    workers = make(Late())
    futures = [workers.submit(toy.add, 1), workers.submit(toy.prepared)]
    wait(futures, LIMIT)
    workers.shutdown(cancel_futures=True)
    assert "busy" in str(futures[0].exception())
    assert futures[1].result() == 2


def test_there_are_as_many_workers_as_slots_and_each_computes_with_one_thread(local: Workers) -> None:
    assert local.slots == 2
    pids = {future.result(LIMIT) for future in [local.submit(toy.pid, 0.3) for _ in range(4)]}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert [local.submit(toy.threads).result(LIMIT) for _ in range(3)] == [1] * 3


@pytest.mark.parametrize(
    ("fn", "arguments", "said"),
    [
        (toy.leave, (3,), "ended with exit status 3"),
        (toy.leave, (0,), "ended with exit status 0"),
        (toy.be_killed, (), "was ended by SIGKILL; the system may have run out of memory"),
    ],
    ids=["leaves", "leaves in peace", "is killed"],
)
def test_a_worker_that_dies_costs_its_own_job_alone_and_is_replaced(
    local: Workers, fn: Any, arguments: tuple[Any, ...], said: str
) -> None:
    before = [local.submit(toy.pid, 0.3) for _ in range(2)]
    pids = {future.result(LIMIT) for future in before}
    others = [local.submit(toy.add, n) for n in range(3)]
    dead = local.submit(fn, *arguments)
    others += [local.submit(toy.add, n) for n in range(3, 20)]
    error = dead.exception(LIMIT)
    assert isinstance(error, JobFailed)
    assert said in str(error)
    assert [future.result(LIMIT) for future in others] == list(range(20))
    after = {future.result(LIMIT) for future in [local.submit(toy.pid, 0.3) for _ in range(4)]}
    assert len(after) == 2
    assert len(after & pids) == 1
    assert local.submit(toy.prepared).result(LIMIT) == 1


def test_many_deaths_in_a_row_leave_the_executor_alive_and_each_says_why(local: Workers) -> None:
    deaths = [local.submit(toy.be_killed) for _ in range(20)]
    assert all("was ended by SIGKILL" in str(future.exception(LIMIT)) for future in deaths)
    assert local.submit(toy.add, 1, 1).result(LIMIT) == 2


def test_a_worker_that_dies_between_two_jobs_costs_none() -> None:
    workers = Local(Toy(), ["cpu"])
    pid = workers.submit(toy.pid).result(LIMIT)
    os.kill(pid, signal.SIGKILL)
    assert gone([pid], LIMIT)
    error = workers.submit(toy.add, 1, 1).exception(LIMIT)
    workers.shutdown(cancel_futures=True)
    assert error is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # so that the assertion is seen
@pytest.mark.parametrize("unsendable", ["function", "argument"])
def test_a_job_that_cannot_be_sent_fails_and_the_next_goes_on(unsendable: str) -> None:
    workers = Local(Toy(), ["cpu"])
    bad = (lambda evaluator: 1,) if unsendable == "function" else (toy.add, lambda: 1)
    try:
        futures = [workers.submit(*bad), workers.submit(toy.add, 1, 1)]
        done = wait(futures, 8).done
    except (pickle.PicklingError, AttributeError, TypeError):
        return  # refused at the door is as good
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
    assert len(done) == 2, "a future never ends"
    assert futures[0].exception() is not None
    assert futures[1].result() == 2


def test_a_result_that_cannot_be_sent_is_a_failure_that_says_so(local: Workers) -> None:
    error = local.submit(toy.not_to_be_sent).exception(LIMIT)
    assert isinstance(error, JobFailed)
    assert "pickle" in f"{error} {error.trace}"
    assert local.submit(toy.add, 1, 1).result(LIMIT) == 2


@pytest.mark.parametrize("started", [True, False], ids=["at work", "not yet started"])
def test_shutdown_lets_the_workers_end_what_was_submitted(local: Workers, started: bool) -> None:
    if started:
        assert local.submit(toy.add, 1).result(LIMIT) == 1
    futures = [local.submit(toy.pid, 0.5) for _ in range(4)]
    local.shutdown()
    pids = {future.result(0) for future in futures}
    assert gone(pids, LIMIT)


def test_shutdown_with_cancel_futures_kills_at_once(local: Workers) -> None:
    pids = {future.result(LIMIT) for future in [local.submit(toy.pid, 0.3) for _ in range(2)]}
    futures = [local.submit(toy.pid, 1000) for _ in range(5)]
    time.sleep(0.2)
    began = time.monotonic()
    local.shutdown(cancel_futures=True)
    assert time.monotonic() - began < 10
    assert gone(pids, LIMIT)
    assert all(future.cancelled() or isinstance(future.exception(LIMIT), JobFailed) for future in futures)


def test_nothing_can_be_submitted_after_shutdown(local: Workers) -> None:
    local.shutdown()
    local.shutdown(cancel_futures=True)
    with pytest.raises(RuntimeError, match="shut down"):
        local.submit(toy.add, 1)


def test_a_cancelled_job_is_not_run(tmp_path: Path) -> None:
    workers = Local(Toy(), ["cpu"])
    running = workers.submit(toy.pid, 1.0)
    waiting = workers.submit(toy.touch, str(tmp_path / "ran"), 0.0)
    last = workers.submit(toy.add, 1)
    assert waiting.cancel()
    assert running.result(LIMIT) != os.getpid()
    assert last.result(LIMIT) == 1
    workers.shutdown()
    assert not (tmp_path / "ran").exists()
