"""The whole job: a problem from the options, the search, random search at equal cost, the test, the export."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nas.checks import check
from nas.devices import slots
from nas.evaluate import Job, Stopping, Training, evaluate
from nas.events import Broadcast, Monitor
from nas.executor import JobFailed, Workers
from nas.executors.inline import Inline
from nas.executors.local import Local, warm
from nas.final import LONGER, FinalTraining, affordable, finalists, threads
from nas.folder import write_folder
from nas.live import Sweep
from nas.monitors.progress import ProgressBar
from nas.options import Options
from nas.pace import Pace
from nas.problem import Problem
from nas.provenance import config, identity, run_name
from nas.store import KeepBestWeights, RunDirectory, TrialLog
from nas.study import Study
from nas.trial import Trial, best_first
from nas.watching import open_monitors

SHOWN = 60  # draws of the space that show those who watch what it offers


@dataclass(frozen=True)
class Result:
    """What a search found. `trials` are the strategy's, `baseline` those of random search at equal cost.

    `final` are the best of both, trained again on the whole training part and for longer.
    """

    path: Path
    trials: list[Trial]
    baseline: list[Trial]
    final: list[Trial]
    test_accuracy: float | None
    interrupted: bool

    @property
    def best(self) -> Trial:
        """The best of the final trainings; of all trials where there are none. Raises `ValueError` without a result."""
        for trials in (self.final, [*self.trials, *self.baseline]):
            for trial in best_first(trials):
                return trial
        raise ValueError(f"no trial in {self.path} has a result; see errors.log there")

    def export(self, path: str | Path) -> Path:
        """Copy the best network's folder (model.py, weights, config.json, predict.py) to `path`."""
        _ = self.best  # there may be none
        return Path(shutil.copytree(self.path / "best", path, dirs_exist_ok=True))


def run(options: Options, console: Console, verbosity: int = -1, monitors: Sequence[Monitor] = ()) -> Result:
    """Search, compare, train the best for longer, test, export. Ctrl-C ends it early with everything saved."""
    devices = slots(options.device, options.workers)
    problem = Problem.of(options)
    if options.workers != 0:
        warm()
    dataset = problem.load()
    warnings = check(dataset)
    stopping = Stopping(options.epochs, options.patience, options.min_change, options.patience_from)
    training = Training(dataset, stopping, sample=options.sample, folds=options.folds, seed=options.seed)
    same = identity(options, dataset)
    path, facts = options.out or Path("runs") / run_name(same), config(options, dataset)
    named, notices = open_monitors(options.monitors, path, facts)
    watching = Broadcast([*named, *monitors])
    directory = RunDirectory(path, facts, same)
    if verbosity >= 0:
        for warning in warnings:
            console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False, soft_wrap=True)
        for notice in notices:
            console.print(notice, highlight=False, markup=False, soft_wrap=True)
    phase = "failed"
    try:
        result = _Run(options, problem, training, directory, devices, console, verbosity, watching).run()
        phase = "interrupted" if result.interrupted else "done"
        return result
    finally:
        directory.enter(phase)
        directory.close()
        watching.closed(path)


@dataclass
class _Run:
    options: Options
    problem: Problem
    evaluator: Training
    directory: RunDirectory
    devices: list[str]
    console: Console
    verbosity: int
    watching: Broadcast

    def run(self) -> Result:
        path, space = self.directory.path, self.problem.space
        names = ("trials.jsonl", "baseline.jsonl", "final.jsonl")
        searched, random, final = logs = [TrialLog(path / name, space) for name in names]
        self._executor = self._workers(self.devices)
        result = Result(path, searched.trials, random.trials, [], None, False)
        if not searched.trials:
            self.directory.write_forks(space.forks(SHOWN))
        try:
            self._check_training(searched)
            spent = self._arm("search", self.options.strategy, searched, [])
            if self.wants_baseline:
                self._arm("random", "random", random, searched.trials)
            result = replace(result, final=self._final(final, [*searched.trials, *random.trials], spent))
        except KeyboardInterrupt:
            result = replace(result, final=final.trials, interrupted=True)
        finally:
            self._executor.shutdown(cancel_futures=True)
            self.directory.write_csv(searched.trials)
            for log in logs:
                log.close()
        if not best_first([*result.trials, *result.baseline]):
            return result
        try:
            return self._finish(result)
        except KeyboardInterrupt:  # the test can wait, the export need not
            return self._finish(replace(result, interrupted=True))

    @property
    def wants_baseline(self) -> bool:
        return self.options.wants_baseline and self.options.strategy != "random"

    def _enter(self, phase: str) -> None:
        self.directory.enter(phase, self._executor.slots)
        self.watching.entered(phase)

    def _workers(self, devices: list[str], threads: int = 1) -> Workers:
        if self.options.workers == 0:
            return Inline(self.evaluator, devices[0])
        trials = self.options.limits[0] or len(devices)
        return Local(self.evaluator, devices[:trials], threads)

    def _check_training(self, log: TrialLog) -> None:
        """Before the first trial: say so where a small network cannot even learn one batch by heart.

        Raises `ValueError` where a recipe that is fixed cannot be had on these data or this device.
        """
        if log.trials:
            return
        candidate = self.problem.space.sample(np.random.default_rng(self.options.seed))
        try:
            warnings = self._executor.submit(Training.check, candidate).result()
        except JobFailed as error:
            kind, _, message = str(error).partition(": ")
            if kind == "ValueError":
                raise ValueError(message) from None
            warnings = [f"the data could not be tried before the search: {error}"]
        for warning in warnings if self.verbosity >= 0 else ():
            self.console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def _arm(self, arm: str, strategy: Any, log: TrialLog, known: Sequence[Trial]) -> float:
        """One search to the limits of the options, the random arm to those of the search; the seconds it has taken."""
        trials, seconds = self.options.limits
        seconds = None if seconds is None else seconds * self.options.search_share
        if arm == "random":
            trials = len(known)
        self._enter(arm)
        weights_of, live_of = self.directory.weights_of(arm), self.directory.live_of(arm)
        errors = self.directory.path / "errors.log"
        label = {"search": str(self.options.strategy), "random": "random search"}[arm]
        bar = ProgressBar(self.console, label, trials, seconds, errors, self.verbosity)
        study = Study(
            strategy=self.problem.strategy(strategy),
            log=log,
            executor=self._executor,
            seed=self.options.seed,
            trials=trials,
            seconds=seconds,
            known=known,
            monitors=(KeepBestWeights(weights_of), Sweep(live_of), bar, self.watching),
            weights_of=weights_of,
            live_of=live_of,
            pace=None if seconds is None else self._pace(seconds),
        )
        study.run()
        if seconds is not None and self.options.workers != 0:  # what was cut short is not to hold up what follows
            self._executor.shutdown(cancel_futures=True)
            self._executor = self._workers(self.devices)
        return study.elapsed()

    def _pace(self, seconds: float) -> Pace:
        options, samples = self.options, sum(cut.samples for cut in self.evaluator.searched)
        slots = self._executor.slots
        return Pace(seconds, slots, options.epochs * samples, options.epochs, self.devices[0], options.folds)

    def _final(self, log: TrialLog, trials: Sequence[Trial], spent: float) -> list[Trial]:
        """Train the best networks again, for as many epochs as the options, or the time not yet spent, allow."""
        options = self.options
        epochs = LONGER * options.epochs if options.final_epochs is None else options.final_epochs
        if not epochs or not trials:
            return []
        chosen = [(trial, epochs) for trial in finalists(trials)]
        if options.time is not None and options.final_epochs is None:
            left = max(options.time * (1 - options.search_share) / 2, options.time - spent)
            searched, whole = self.evaluator.searched[0].samples, self.evaluator.whole.samples
            chosen = affordable(trials, left, self.devices, options.epochs, whole, searched / whole)
            done = {t.candidate.key[:2]: round(t.candidate.fidelity * options.epochs) for t in log.trials if t.values}
            chosen = [(trial, done.get(trial.candidate.key[:2], epochs)) for trial, epochs in chosen]
            if chosen and options.workers != 0 and (each := threads(self.devices, len(chosen))) > 1:
                self._executor.shutdown()
                self._executor = self._workers(self.devices[: len(chosen)], each)
        if self.verbosity >= 0 and chosen:
            longest = max(epochs for _, epochs in chosen)
            self.console.print(f"final training: the best {len(chosen)}, up to {longest} epochs", highlight=False)
        errors = self.directory.path / "errors.log"
        final = FinalTraining(log, self._executor, options.seed, self.directory.weights_of("final"), errors)
        with self.console.status("final training") if self.verbosity >= 0 else nullcontext():
            return final.run([(trial, epochs / options.epochs) for trial, epochs in chosen])

    def _finish(self, result: Result) -> Result:
        """Test the best network, once, and write its folder; the test waits where the search was interrupted."""
        self._enter("test")
        best = result.best
        arms = {"final": result.final, "search": result.trials, "random": result.baseline}
        arm = next(name for name, trials in arms.items() if any(trial is best for trial in trials))
        weights = self.directory.weights_of(arm)(best.number)
        if result.interrupted and not weights.exists():
            return result
        test = None if result.interrupted else self._test(best, weights, final=arm == "final" or self.options.folds > 1)
        dataset = self.evaluator.dataset
        write_folder(best, weights, dataset, self.directory.path / "best", self.options.budget, test)
        return replace(result, test_accuracy=test)

    def _test(self, best: Trial, weights: Path, final: bool) -> float | None:
        """Accuracy on the test part. Weights deleted or damaged by hand are trained again: the same seed, the same."""
        executor = self._workers(self.devices[:1])
        try:
            test = executor.submit(Training.test, best.candidate, weights).result()
            if test is None:
                executor.submit(evaluate, Job(best.number, best.candidate, best.seed, weights, final=final)).result()
                test = executor.submit(Training.test, best.candidate, weights).result()
            return test
        finally:
            executor.shutdown(cancel_futures=True)
