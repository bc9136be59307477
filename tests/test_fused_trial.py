"""Before a GPU trains groups it is tried: what it says where they work, fail, disagree or gain nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from nas import grouping
from nas import run as whole
from nas.evaluate import Training
from nas.executor import JobFailed, Workers
from nas.grouping import grouped, tried
from nas.options import Options
from nas.packs import apart
from nas.train.fused import trial
from nas.train.fused.plan import COSTS, Verdict

CPU = torch.device("cpu")
Doctored = Callable[[list[Any]], None]


def doctored(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[list[Any], Any], None]) -> None:
    """Groups whose results are spoilt before they are handed over: (members, what came of one)."""
    train = trial.train_together

    def spoilt(members: Any, *args: Any, **kwargs: Any) -> Iterator[tuple[int, Any]]:
        for position, found in train(members, *args, **kwargs):
            spoil(members, found)
            yield position, found

    monkeypatch.setattr(trial, "train_together", spoilt)


def test_a_trial_says_how_much_faster_a_group_is_and_what_it_costs() -> None:
    verdict = trial.trial(CPU)
    assert verdict.works, verdict.said
    assert "times as fast together" in verdict.said
    assert verdict.costs.once > 0 < verdict.costs.layer
    assert verdict.costs.most == COSTS["cuda"].most


def test_a_group_that_fails_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(members: list[Any], found: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    doctored(monkeypatch, fails)
    verdict = trial.trial(CPU)
    assert not verdict.works
    assert "RuntimeError: CUDA error: an illegal memory access" in verdict.said


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
@pytest.mark.parametrize("optimizer", ["adamw", "nesterov"])
def test_a_group_that_disagrees_with_autograd_is_not_to_be_had(
    wrong: float, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def errs(members: list[Any], found: Any) -> None:
        if members[0].recipe.optimizer == optimizer:
            found.curve[-1]["val_loss"] += wrong

    doctored(monkeypatch, errs)
    verdict = trial.trial(CPU)
    assert not verdict.works
    assert "disagrees with autograd on cpu" in verdict.said


def test_dropout_that_depends_on_the_company_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def errs(members: list[Any], found: Any) -> None:
        found.curve[0]["train_loss"] += 1e-3 * (len(members) == 1)

    doctored(monkeypatch, errs)
    verdict = trial.trial(CPU)
    assert not verdict.works
    assert "dropout depends on the company" in verdict.said


def test_a_group_that_gains_nothing_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([1.0, 1.25])

    def seconds(self: Any, call: Callable[[], object]) -> float:
        call()
        return next(taken)

    monkeypatch.setattr(trial._Trial, "seconds", seconds)
    verdict = trial.trial(CPU)
    assert not verdict.works
    assert "not faster than its members alone on cpu: 0.80 times" in verdict.said


class One(Workers):
    """A worker that answers with what it is given, or never."""

    slots = 1

    def __init__(self, answer: object) -> None:
        self.answer, self.asked = answer, list[Any]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked.append(fn)
        future: Future[Any] = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        elif self.answer is not None:
            future.set_result(self.answer)
        return future


def options(**told: Any) -> Options:
    return Options.of({"budget": "5K", **told})


def test_a_cpu_needs_no_trial_nor_does_who_wants_no_groups() -> None:
    for told, devices in (({}, ["cpu"]), ({"fused": False}, ["cuda:0", "cuda:1"])):
        worker = One(None)
        assert tried(options(**told), devices, worker) == Verdict(True, "", COSTS["cpu"])
        assert not worker.asked


def test_a_gpu_is_tried_by_a_worker_which_may_fail_or_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Verdict(True, "ten times as fast")
    worker = One(said)
    assert tried(options(), ["cuda:0"], worker) is said
    assert worker.asked == [Training.trial]
    failed = tried(options(), ["cuda:0"], One(JobFailed("worker 0 was ended by SIGSEGV")))
    assert (failed.works, failed.said) == (False, "a trial of it has failed: worker 0 was ended by SIGSEGV")
    monkeypatch.setattr(grouping, "PATIENCE", 0.01)
    hung = tried(options(), ["cuda"], One(None))
    assert (hung.works, hung.said) == (False, "a trial of it has not ended after 0.01 s")


def test_packs_are_made_by_the_costs_that_were_measured() -> None:
    verdict = Verdict(True, "", COSTS["cuda"])
    alike = grouped(options(), ["cuda:0"], verdict)
    assert getattr(alike, "keywords", {})["costs"] == COSTS["cuda"]
    for told in ({"workers": 0}, {"trial_timeout": "10s"}, {"fused": False}):
        assert grouped(options(**told), ["cuda:0"], verdict) is apart
    assert grouped(options(), ["cuda:0"], Verdict(False, "why")) is apart


@pytest.mark.parametrize("works", [True, False])
def test_a_search_says_what_the_trial_came_to_and_keeps_to_it(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = Verdict(works, "four times as fast" if works else "it fails here", COSTS["cpu"])
    monkeypatch.setattr(whole, "tried", lambda *_: verdict)
    told = {"trials": 4, "epochs": 1, "workers": 1, "strategy": "random", "device": "cpu", "final_epochs": 0}
    console = Console(file=(written := io.StringIO()), width=200)
    made = options(**told, report=False, fix={"batch_size": 32, "optimizer": "adamw"}, out=tmp_path / "run")
    result = whole.run(made, console, verbosity=1)
    company = [trial.metrics.get("together", 1) for trial in result.trials]
    warned = "warning: networks are trained one by one: it fails here" in written.getvalue()
    assert (max(company) > 1, "four times as fast" in written.getvalue(), warned) == (works, works, not works)
    assert [trial.error for trial in result.trials] == [None] * 4
