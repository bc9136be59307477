"""The whole job: a problem from the options, the search, random search at equal cost, the test, the export."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nas.checks import check
from nas.dataset import Dataset
from nas.devices import slots
from nas.evaluate import Job, Stopping, Training, evaluate
from nas.executor import JobFailed, Workers
from nas.executors.inline import Inline
from nas.executors.local import Local, warm
from nas.export import export
from nas.final import LONGER, FinalTraining, affordable, finalists
from nas.monitor import Monitor
from nas.monitors.progress import ProgressBar
from nas.options import Options
from nas.pace import Pace
from nas.problem import Problem
from nas.provenance import config, identity, run_name
from nas.store import KeepBestWeights, RunDirectory, TrialLog
from nas.study import Study
from nas.trial import Trial, best_first


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
    same = identity(options, dataset)
    directory = RunDirectory(options.out or Path("runs") / run_name(same), config(options, dataset), same)
    if verbosity >= 0:
        for warning in warnings:
            console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    try:
        return _Run(options, problem, dataset, directory, devices, console, verbosity, tuple(monitors)).run()
    finally:
        directory.close()


@dataclass
class _Run:
    options: Options
    problem: Problem
    dataset: Dataset
    directory: RunDirectory
    devices: list[str]
    console: Console
    verbosity: int
    monitors: tuple[Monitor, ...]

    def run(self) -> Result:
        self.evaluator = self._training()
        path, space = self.directory.path, self.problem.space
        names = ("trials.jsonl", "baseline.jsonl", "final.jsonl")
        searched, random, final = logs = [TrialLog(path / name, space) for name in names]
        executor = self._executor(self.devices)
        result = Result(path, searched.trials, random.trials, [], None, False)
        try:
            self._check_training(executor, searched)
            self._arm("search", self.options.strategy, executor, searched, [])
            if self.wants_baseline:
                self._arm("random", "random", executor, random, searched.trials)
            result = replace(result, final=self._final(executor, final, [*searched.trials, *random.trials]))
        except KeyboardInterrupt:
            result = replace(result, final=final.trials, interrupted=True)
        finally:
            executor.shutdown(cancel_futures=True)
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

    def _training(self) -> Training:
        o = self.options
        stopping = Stopping(o.epochs, o.patience, o.min_change, o.patience_from)
        return Training(self.dataset, stopping, sample=o.sample, folds=o.folds, seed=o.seed)

    def _executor(self, devices: list[str]) -> Workers:
        if self.options.workers == 0:
            return Inline(self.evaluator, devices[0])
        trials = self.options.limits[0] or len(devices)
        return Local(self.evaluator, devices[:trials])

    def _check_training(self, executor: Workers, log: TrialLog) -> None:
        """Before the first trial: say so where a small network cannot even learn one batch by heart."""
        if log.trials or self.verbosity < 0:
            return
        for warning in executor.submit(Training.check).result():
            self.console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def _arm(self, arm: str, strategy: Any, executor: Workers, log: TrialLog, known: Sequence[Trial]) -> None:
        """One search to the limits of the options; the random arm is given what the search has cost."""
        trials, seconds = self.options.limits
        seconds = None if seconds is None else seconds * self.options.search_share
        if arm == "random":
            trials, seconds = len(known), None
        weights_of = self.directory.weights_of(arm)
        errors = self.directory.path / "errors.log"
        label = {"search": str(self.options.strategy), "random": "random search"}[arm]
        bar = ProgressBar(self.console, label, trials, seconds, errors, self.verbosity)
        Study(
            strategy=self.problem.strategy(strategy),
            log=log,
            executor=executor,
            seed=self.options.seed,
            trials=trials,
            seconds=seconds,
            known=known,
            monitors=(KeepBestWeights(weights_of), bar, *self.monitors),
            weights_of=weights_of,
            pace=None if seconds is None else self._pace(seconds),
        ).run()

    def _pace(self, seconds: float) -> Pace:
        samples = self.options.epochs * sum(len(dataset.train) for dataset in self.evaluator.searched)
        return Pace(seconds, len(self.devices), samples, self.options.epochs, self.devices[0])

    def _final(self, executor: Workers, log: TrialLog, trials: Sequence[Trial]) -> list[Trial]:
        """Train the best networks again, for as many epochs as the options or the time left allow."""
        options = self.options
        epochs = LONGER * options.epochs if options.final_epochs is None else options.final_epochs
        if not epochs or not trials:
            return []
        chosen = [(trial, epochs) for trial in finalists(trials)]
        if options.time is not None and options.final_epochs is None:
            left = max(options.time * (1 - options.search_share) / 2, options.time - max(t.elapsed for t in trials))
            share = options.sample * (1 - 1 / options.folds if options.folds > 1 else 1)
            chosen = affordable(trials, left, len(self.devices), options.epochs, share)
        if self.verbosity >= 0 and chosen:
            longest = max(epochs for _, epochs in chosen)
            self.console.print(f"final training: the best {len(chosen)}, up to {longest} epochs", highlight=False)
        final = FinalTraining(log, executor, options.seed, self.directory.weights_of("final"))
        return final.run([(trial, epochs / options.epochs) for trial, epochs in chosen])

    def _finish(self, result: Result) -> Result:
        """Test the best network, once, and write its folder; the test waits where the search was interrupted."""
        best = result.best
        arms = {"final": result.final, "search": result.trials, "random": result.baseline}
        arm = next(name for name, trials in arms.items() if any(trial is best for trial in trials))
        weights = self.directory.weights_of(arm)(best.number)
        test = None
        if not (result.interrupted and weights.exists()):
            executor = self._executor(self.devices[:1])
            try:
                test = executor.submit(Training.test, best.candidate, weights).result()
            except JobFailed:  # weights deleted or damaged by hand: the same seed trains the same network
                final = arm == "final" or self.options.folds > 1
                executor.submit(evaluate, Job(best.number, best.candidate, best.seed, weights, final=final)).result()
                test = executor.submit(Training.test, best.candidate, weights).result()
            finally:
                executor.shutdown(cancel_futures=True)
        export(best, weights, self.dataset, self.directory.path / "best", self.options.budget, test)
        return replace(result, test_accuracy=test)
