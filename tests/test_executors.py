"""Conformance of every executor, found by name: a failure, a death and a job that hangs cost themselves alone."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy
from searching import Search
from toy import Toy, gone, line

import nas
from nas import plugins
from nas.executor import Backend, JobFailed, Workers, spoils
from nas.executors._reply import Held, Reply
from nas.final import FinalTraining
from nas.finalists import Again
from nas.job import Job, Outcome
from nas.placement import FOLDER
from nas.store import TrialLog

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.timeout(900)  # where the machine is busy Ray takes minutes to start

LIMIT = 400.0  # seconds that a test waits for what is said to happen at once
NAMES = plugins.names(FOLDER)
SLOW = {"ray": [pytest.mark.slow]}  # for each worker it starts a process that imports torch
TIMEOUT = 2.0  # of a trial
STOPPED = "stopped after 2 s (--trial-timeout)"


@pytest.fixture(scope="module", params=[pytest.param(name, marks=SLOW.get(name, [])) for name in NAMES])
def backend(request: pytest.FixtureRequest) -> Iterator[tuple[str, Backend]]:
    """One for all tests of an executor: a Ray cluster takes seconds to start."""
    made: Backend = plugins.make(FOLDER, request.param, Backend)
    try:
        made.open("cpu", 3, 1)  # two for all, and one more
    except ValueError as error:
        pytest.skip(str(error))
    yield request.param, made
    made.close()


@pytest.fixture(scope="module")
def workers(backend: tuple[str, Backend]) -> Iterator[Workers]:
    """Two workers for all tests of an executor; whatever one of them does to these, the next finds two."""
    executor = backend[1].workers(Troubled(failing=False), ["cpu", "cpu"], timeout=TIMEOUT)
    yield executor
    executor.shutdown(cancel_futures=True)


@pytest.fixture
def apart(backend: tuple[str, Backend], workers: Workers) -> Workers:
    """Those whose workers are processes of their own, and so can end."""
    if backend[0] == "inline":
        pytest.skip("the worker is this process")
    return workers


class Troubled(Toy):
    """Of five trials one has its process killed, as systems do where memory is short, and one gives up by itself.

    Of the final trainings the second one hangs.
    """

    def __call__(self, job: Job) -> Outcome:
        if job.final and job.number == 1:
            hang(self)
        if not job.final and job.number % 5 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if not job.final and job.number % 5 == 3:
            raise MemoryError("no 2 GiB left")
        return super().__call__(job)


class AcceleratorError(RuntimeError):
    """Stands for that of torch, which is told by its name."""


class OutOfMemoryError(RuntimeError):
    """Likewise."""


def hang(evaluator: Toy) -> None:
    """In native code, with Python's lock: no signal handler and no other thread can run."""
    ctypes.PyDLL(None).sleep(1000)


def fail(evaluator: Toy, kind: type[Exception], words: str) -> None:
    raise kind(words)


def fail_among_others(evaluator: Toy, jobs: list[Any]) -> Iterator[tuple[int, Any]]:
    """What comes of jobs that are done together."""
    yield from enumerate([1, JobFailed.of(RuntimeError("CUDA error: device-side assert triggered")), 3])


def last_first(evaluator: Toy, jobs: list[int]) -> Iterator[tuple[int, int]]:
    """Twice each number; a negative one is an error."""
    for position in reversed(range(len(jobs))):
        if jobs[position] < 0:
            raise LookupError("negative")
        yield position, 2 * jobs[position]


def when_told(evaluator: Toy, jobs: list[str]) -> Iterator[tuple[int, str]]:
    """Ends each but the first when the file that it names is there."""
    for position, job in enumerate(jobs):
        while position and not Path(job).exists():
            time.sleep(0.01)
        yield position, job


def die_after_one(evaluator: Toy, jobs: list[int]) -> Iterator[tuple[int, int]]:
    yield 0, jobs[0]
    os.kill(os.getpid(), signal.SIGKILL)


def error_of(workers: Workers, fn: Any, *args: Any) -> JobFailed:
    error = workers.submit(fn, *args).exception(LIMIT)
    assert isinstance(error, JobFailed)
    return error


def both(workers: Workers) -> set[int]:
    """The processes of both workers, once both have started."""
    pids: set[int] = set()
    limit = time.monotonic() + LIMIT
    while len(pids) < 2 and time.monotonic() < limit:
        pids |= {future.result(LIMIT) for future in [workers.submit(toy.pid, 0.2) for _ in range(2)]}
    return pids


def test_every_kind_of_executor_is_found_by_name() -> None:
    assert {"inline", "local", "ray"} <= set(NAMES)


def test_results_are_right_and_a_job_that_raises_costs_itself_alone(workers: Workers) -> None:
    good = [workers.submit(toy.add, n, b=n) for n in range(6)]
    bad = error_of(workers, toy.boom, "no such thing")
    good += [workers.submit(toy.add, n, n) for n in range(6, 12)]
    assert (str(bad), "in boom" in bad.trace) == ("LookupError: no such thing", True)
    assert [future.result(LIMIT) for future in good] == [2 * n for n in range(12)]
    assert workers.submit(toy.device).result(LIMIT) == ["cpu"]


def test_a_job_or_a_result_that_cannot_be_sent_is_a_failure(apart: Workers) -> None:
    for fn, *args in ((toy.not_to_be_sent,), (toy.add, lambda: 1)):
        assert isinstance(apart.submit(fn, *args).exception(LIMIT), JobFailed)
    assert apart.submit(toy.add, 1, 1).result(LIMIT) == 2


def test_a_worker_that_dies_costs_its_job_alone_and_is_replaced(apart: Workers) -> None:
    before = both(apart)
    others = [apart.submit(toy.add, n) for n in range(3)]
    dead = apart.submit(toy.leave, 3)
    others += [apart.submit(toy.add, n) for n in range(3, 12)]
    assert isinstance(dead.exception(LIMIT), JobFailed)
    assert [future.result(LIMIT) for future in others] == list(range(12))
    after = both(apart)
    assert len(after) == 2
    assert after != before


def test_a_job_that_hangs_in_native_code_is_stopped_and_its_worker_replaced(apart: Workers) -> None:
    before = both(apart)
    hanging, others = apart.submit(hang), [apart.submit(toy.add, n) for n in range(6)]
    assert str(hanging.exception(LIMIT)) == STOPPED
    assert [future.result(LIMIT) for future in others] == list(range(6))
    assert len(both(apart) - before) == 1


@pytest.mark.parametrize(
    ("kind", "words", "ends"),
    [
        (AcceleratorError, "an illegal memory access was encountered", True),
        (RuntimeError, "CUDA error: device-side assert triggered", True),
        (OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB", False),
        (RuntimeError, "mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_a_worker_whose_gpu_has_failed_it_is_replaced(apart: Workers, kind: Any, words: str, ends: bool) -> None:
    before = both(apart)
    assert words in str(error_of(apart, fail, kind, words))
    assert len(both(apart) - before) == ends


def test_a_gpu_that_has_failed_one_of_several_jobs_is_seen_in_their_results(apart: Workers) -> None:
    before = both(apart)
    found = [future.result(LIMIT) for future in apart.stream(fail_among_others, [0, 0, 0])]
    assert found[::2] == [1, 3]
    assert "CUDA error" in str(found[1])
    assert len(both(apart) - before) == 1


def test_each_of_several_jobs_has_a_result_of_its_own(workers: Workers) -> None:
    assert [future.result(LIMIT) for future in workers.stream(last_first, [1, 2, 3])] == [2, 4, 6]


def test_what_fails_several_jobs_is_no_failure_of_those_that_had_ended(workers: Workers) -> None:
    first, second, third = workers.stream(last_first, [1, -1, 3])
    assert third.result(LIMIT) == 6
    for future in (first, second):
        assert "LookupError: negative" in str(future.exception(LIMIT))


def test_a_result_comes_when_its_job_ends_not_when_the_last_of_several_does(apart: Workers, tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in "abc"]
    futures = apart.stream(when_told, files)
    for future, file in zip(futures, files, strict=True):
        Path(file).touch()
        assert future.result(LIMIT) == file


def test_a_worker_that_ends_among_several_jobs_costs_those_that_had_not_ended(apart: Workers) -> None:
    first, *others = apart.stream(die_after_one, [5, 6, 7])
    assert first.result(LIMIT) == 5
    for future, job in zip(others, (6, 7), strict=True):  # of which some executors make a second attempt
        assert isinstance(future.exception(LIMIT), JobFailed) or future.result() == job
    assert apart.submit(toy.add, 1, 1).result(LIMIT) == 2


def test_a_cuda_error_is_seen_through_the_error_that_it_led_to() -> None:
    error = ValueError("the training failed")
    error.__cause__ = AcceleratorError("unspecified launch failure")
    assert spoils(error)
    assert not spoils(ValueError("CUDA error is a word of the user's"))


class Spent(Toy):
    spoilt = True


@pytest.mark.parametrize("fn", [toy.add, divmod])
def test_a_process_whose_evaluator_is_spent_is_said_to_be_spoilt_whatever_came_of_the_job(fn: Any) -> None:
    for evaluator, wanted in ((Spent(), True), (Toy(), False)):
        replies = Held(evaluator, "cpu").answer(b"", lambda job: (fn, (1, 1), {}), pickle.dumps)
        assert [Reply.read(bytes(reply)).spoilt for reply in replies] == [wanted]


def test_where_every_fifth_trial_is_killed_all_others_have_their_results(apart: Workers, search: Search) -> None:
    trials = search("random", executor=apart, trials=10, seed=1)
    assert sorted(trial.number for trial in trials) == list(range(10))
    assert all(trial.copy_of is None for trial in trials)  # with this seed
    errors = {trial.number: trial.error for trial in trials if not trial.values}
    assert sorted(errors) == [0, 3, 5, 8]
    for number in (0, 5):  # Ray may take longer to say so than a trial may last, where the machine is busy
        assert "memory" in (errors[number] or "") or errors[number] == STOPPED
    assert errors[3] == errors[8] == "MemoryError: no 2 GiB left"


def test_a_final_training_that_hangs_is_stopped(apart: Workers, tmp_path: Path) -> None:
    space, live = line(), tmp_path / "live"
    live.mkdir()
    log = TrialLog(tmp_path / "final.jsonl", space)
    places = (lambda n: tmp_path / f"{n}.weights", lambda n: live / f"{n}.jsonl", tmp_path / "errors.log")
    candidate = space.replay({"depth": 1, "lr": 1e-3, "width0": 4})
    told = FinalTraining(log, apart, 0, 1, *places).run([Again(nas.Trial(0, candidate, 0), 4, 3)])
    log.close()
    assert {trial.number: trial.error for trial in told} == {0: None, 1: STOPPED, 2: None}
    assert STOPPED in (tmp_path / "errors.log").read_text()
    assert {path.name for path in tmp_path.glob("*.weights")} == {"0.weights", "2.weights"}


@pytest.mark.parametrize("cancelled", [False, True], ids=["waits", "kills"])
def test_shutdown_ends_what_was_submitted_or_kills_it_at_once(
    backend: tuple[str, Backend], apart: Workers, cancelled: bool
) -> None:
    executor = backend[1].workers(Toy(), ["cpu"])
    pid = executor.submit(toy.pid).result(LIMIT)
    futures = [executor.submit(toy.pid, 1000 if cancelled else 0.1) for _ in range(3)]
    began = time.monotonic()
    executor.shutdown(cancel_futures=cancelled)
    assert time.monotonic() - began < 10
    assert gone([pid], LIMIT)
    if cancelled:
        assert all(future.cancelled() or isinstance(future.exception(LIMIT), JobFailed) for future in futures)
    else:
        assert {future.result(0) for future in futures} == {pid}
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(toy.add, 1)


def test_trials_of_the_search_and_of_its_baseline_are_stopped(tmp_path: Path) -> None:
    given = {"space": "toy:Line", "budget": "5K", "data": "digits", "trials": 2, "workers": 2, "device": "cpu"}
    endless = {"epochs": 10**6, "patience": 10**6, "trial_timeout": "2s", "final_epochs": 0}
    result = partial(nas.search, out=tmp_path / "run")(**given, **endless, baseline=True)
    errors = [trial.error for trial in [*result.trials, *result.baseline]]
    assert errors == [STOPPED] * 4
