"""The whole job: a problem from the options, the search, random search at equal cost, the test, the export."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import plugins
from nas.dataset import Arrays, Dataset, Source
from nas.devices import slots
from nas.evaluate import Job, Training, evaluate
from nas.executor import JobFailed, Workers
from nas.executors.inline import Inline
from nas.executors.local import Local, warm
from nas.export import export
from nas.monitor import Monitor
from nas.monitors.progress import ProgressBar
from nas.options import Options
from nas.provenance import config, identity, run_name
from nas.space import SearchSpace
from nas.store import KeepBestWeights, RunDirectory, TrialLog
from nas.strategy import Strategy
from nas.study import Study
from nas.trial import Trial, best_first


@dataclass(frozen=True)
class Result:
    """What a search found. `trials` are the strategy's, `baseline` those of random search at equal cost."""

    path: Path
    trials: list[Trial]
    baseline: list[Trial]
    test_accuracy: float | None
    interrupted: bool

    @property
    def best(self) -> Trial:
        """The best trial of both arms. Raises `ValueError` where no trial has a result."""
        for trial in best_first([*self.trials, *self.baseline]):
            return trial
        raise ValueError(f"no trial in {self.path} has a result; see errors.log there")

    def export(self, path: str | Path) -> Path:
        """Copy the best network's folder (model.py, weights, config.json, predict.py) to `path`."""
        _ = self.best  # there may be none
        return Path(shutil.copytree(self.path / "best", path, dirs_exist_ok=True))


@dataclass(frozen=True)
class Problem:
    """Options made real and checked: the source of data, and the space on it."""

    options: Options
    source: Source
    space: SearchSpace

    @classmethod
    def of(cls, options: Options) -> Problem:
        """Raises `ValueError` for any mistake, before any data is read."""
        source = _source(options.data)
        space = _plugin("search_spaces", options.space, SearchSpace, *source.task(), options.parameter_budget)
        space.check()
        problem = cls(options, source, space)
        problem.strategy(options.strategy)
        return problem

    def strategy(self, spec: Any) -> Strategy:
        made: Strategy = _plugin("strategies", spec, Strategy, self.space)
        return made


def run(options: Options, console: Console, verbosity: int = -1, monitors: Sequence[Monitor] = ()) -> Result:
    """Search, compare, test, export. Ctrl-C ends it early with everything saved."""
    devices = slots(options.device, options.workers)
    problem = Problem.of(options)
    if options.workers != 0:
        warm()
    dataset = problem.source.load(options.seed)
    same = identity(options, dataset)
    directory = RunDirectory(options.out or Path("runs") / run_name(same), config(options, dataset), same)
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
        self.evaluator = Training(self.dataset, epochs=self.options.epochs, patience=self.options.patience)
        path, space = self.directory.path, self.problem.space
        logs = [TrialLog(path / name, space) for name in ("trials.jsonl", "baseline.jsonl")]
        executor = self._executor(self.devices)
        interrupted = False
        try:
            self._arm("search", self.options.strategy, executor, logs[0], [])
            if self.wants_baseline:
                self._arm("random", "random", executor, logs[1], logs[0].trials)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            executor.shutdown(cancel_futures=True)
            self.directory.write_csv(logs[0].trials)
            for log in logs:
                log.close()
        result = Result(path, logs[0].trials, logs[1].trials, None, interrupted)
        if not best_first([*result.trials, *result.baseline]):
            return result
        try:
            return self._finish(result)
        except KeyboardInterrupt:  # the test can wait, the export need not
            return self._finish(replace(result, interrupted=True))

    @property
    def wants_baseline(self) -> bool:
        return self.options.wants_baseline and self.options.strategy != "random"

    def _executor(self, devices: list[str]) -> Workers:
        if self.options.workers == 0:
            return Inline(self.evaluator, devices[0])
        trials = self.options.limits[0] or len(devices)
        return Local(self.evaluator, devices[:trials])

    def _arm(self, arm: str, strategy: Any, executor: Workers, log: TrialLog, known: Sequence[Trial]) -> None:
        """One search to the limits of the options; the random arm is given what the search has cost."""
        trials, seconds = self.options.limits
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
        ).run()

    def _finish(self, result: Result) -> Result:
        """Test the best network, once, and write its folder; the test waits where the search was interrupted."""
        best = result.best
        arm = "search" if any(trial is best for trial in result.trials) else "random"
        weights = self.directory.weights_of(arm)(best.number)
        test = None
        if not (result.interrupted and weights.exists()):
            executor = self._executor(self.devices[:1])
            try:
                test = executor.submit(Training.test, best.candidate, weights).result()
            except JobFailed:  # weights deleted or damaged by hand: the same seed trains the same network
                executor.submit(evaluate, Job(best.number, best.candidate, best.seed, weights)).result()
                test = executor.submit(Training.test, best.candidate, weights).result()
            finally:
                executor.shutdown(cancel_futures=True)
        export(best, weights, self.dataset, self.directory.path / "best", self.options.budget, test)
        return replace(result, test_accuracy=test)


def _source(data: Any) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, tuple | list) and len(data) == 2:
        return Arrays(*data)
    if isinstance(data, str):
        kind, _, rest = data.partition(":")
        if kind not in plugins.names("nas.data") and importlib.util.find_spec(kind.partition(".")[0] or "?"):
            name, _, rest = rest.partition(":")  # package.module:Class[:PATH]
            kind = f"{kind}:{name}"
        path, *items = re.split(r",(?=\w+=)", rest)  # a path may hold commas
        options = dict(item.partition("=")[::2] for item in items)
        cls = plugins.find("nas.data", kind, Source)
        plugins.check_options(cls, options, f"data kind {kind}")
        return cls(path, **options)  # type: ignore[no-any-return]  # a plug-in's class
    raise ValueError(f"data must be 'KIND:PATH', arrays (X, y) or a nas.dataset.Source, got {type(data).__name__}")


def _plugin(folder: str, spec: Any, kind: type, *args: Any) -> Any:
    if inspect.isclass(spec):
        return plugins.checked(spec, kind, spec.__name__)(*args)
    if isinstance(spec, str):
        return plugins.make(folder, spec, kind, *args)
    raise ValueError(f"{folder}: give a name or a subclass of {kind.__name__}, got {spec!r}")
