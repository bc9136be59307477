"""The whole job: a problem from the options, the search, random search at equal cost, the test, the export."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nas.checkpoints import KeepCheckpoints
from nas.checks import check, tried_training
from nas.choosing import Ended, chosen_again, probed
from nas.ensemble import worth_keeping
from nas.evaluate import Stopping, Training
from nas.events import Broadcast, Monitor
from nas.executor import JobFailed, Workers
from nas.final import FinalTraining
from nas.finalists import Again, again_in_words, joining, threads
from nas.forks import idle, shown
from nas.grouping import grouped, tried
from nas.handover import Handover
from nas.latency import of_run
from nas.live import Sweep
from nas.monitors.progress import ProgressBar
from nas.objectives import LATENCY
from nas.oneshot.evaluator import OneShot
from nas.oneshot.rounds import Round, Rounds, timed
from nas.options import Options
from nas.pace import Allowance, Pace
from nas.packs import Alike, apart
from nas.placement import Placement
from nas.problem import Problem
from nas.provenance import config, identity, run_name
from nas.record import LOGS
from nas.reporting.writing import try_report
from nas.result import Result
from nas.store import KeepBestWeights, RunDirectory, TrialLog
from nas.study import Study
from nas.trial import Trial, best_first
from nas.watching import close_monitors, open_monitors


def run(options: Options, console: Console, verbosity: int = -1, monitors: Sequence[Monitor] = ()) -> Result:
    """Search, compare, train the best for longer, test, export. Ctrl-C ends it early with everything saved."""
    problem = Problem.of(options)
    with Placement.of(options) as placement:
        dataset = problem.load()
        unasked = (f"--fix {name} changes nothing: no network that is left asks for it" for name in idle(problem.space))
        warnings = [*check(dataset), *unasked]
        stopping = Stopping(options.epochs, options.patience, options.min_change, options.patience_from)
        how: dict[str, Any] = {name: getattr(options, name) for name in ("sample", "folds", "seed", "fused")}
        kind = Training if options.one_shot is None else OneShot
        training = kind(dataset, stopping, objectives=options.objective, **how)
        samples = training.searched[0].samples  # of an epoch
        problem, same = problem.sized(samples), identity(options, dataset)
        path, facts = options.out or Path("runs") / run_name(same), config(options, dataset, samples)
        directory = RunDirectory(path, facts, same)
        try:
            named, notices = open_monitors(options.monitors, path, facts)
        except ValueError:
            directory.close()
            raise
        watching = Broadcast([*named, *monitors])
        if verbosity >= 0:
            for warning in warnings:
                console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False, soft_wrap=True)
            for notice in notices:
                console.print(notice, highlight=False, markup=False, soft_wrap=True)
        phase = "failed"
        try:
            try:
                result = _Run(options, problem, training, directory, placement, console, verbosity, watching).run()
                phase = "interrupted" if result.interrupted else "done"
            except KeyboardInterrupt:  # while an earlier one was being seen to: in haste, so without a report
                phase = "interrupted"
                raise
            finally:
                directory.enter(phase)
                directory.close()
            whole = not options.report or try_report(path, console)
            return result if whole else replace(result, interrupted=True)
        finally:
            close_monitors(watching, options.monitors, path, console, verbosity)


@dataclass
class _Run:
    options: Options
    problem: Problem
    evaluator: Training
    directory: RunDirectory
    placement: Placement
    console: Console
    verbosity: int
    watching: Broadcast
    _round: Round | None = None  # whose weights candidates are evaluated with

    def run(self) -> Result:
        path, space = self.directory.path, self.problem.space
        searched, random, final, distilled = logs = [TrialLog(path / name, space) for name in LOGS.values()]
        self._alike: Alike = apart
        self._model_latency()
        self._executor, self._chosen = self._workers(), list[Again]()
        result = Result(path, searched.trials, random.trials, [], None, False)
        try:
            self._try_groups()
            self._chores = shown(space, self.directory.write_forks)
            (path / "selection.json").unlink(missing_ok=True)  # it is of what an earlier session has chosen
            self._check_training(searched)
            spent = self._searched(searched)
            if self.wants_baseline:
                self._arm("random", "random", random, searched.trials)
            result = replace(result, final=self._final(logs, spent))
            result = replace(result, joining=joining(result.final, self._chosen))
            result = self._joined(result)
            result = self._distilled(result, distilled)
        except KeyboardInterrupt:
            ended = result.final or self._training(final, self._executor, "final").finished(self._chosen)
            result = replace(result, final=ended, interrupted=True)
        finally:
            self._executor.shutdown(cancel_futures=True)
            self.directory.write_csv(searched.trials, result.front)
            for log in logs:
                log.close()
        if not best_first([*result.trials, *result.baseline]):
            return result
        self._enter("test")
        try:
            return self._handover.finish(result)
        except KeyboardInterrupt:  # the test can wait, the export need not
            return self._handover.finish(replace(result, interrupted=True))

    @property
    def _handover(self) -> Handover:
        def workers(number: int, timed: bool = False) -> Workers:
            return self.placement.workers(self.evaluator, number, timed=timed)

        return Handover(self.options, self.evaluator, self.directory, workers)

    def _joined(self, result: Result) -> Result:
        """With the ensemble, where one is asked for and can be had."""
        if not self.options.joins or not best_first([*result.trials, *result.baseline]):
            return result
        self._executor.shutdown()
        try:
            with self.console.status("ensemble") if self.verbosity >= 0 else nullcontext():
                return self._handover.join(result)
        except (ValueError, JobFailed) as error:  # what was found without it is not lost
            self._say(f"warning: there is no ensemble: {error}")
            return result

    def _distilled(self, result: Result, log: TrialLog) -> Result:
        """With the network that the ensemble teaches, where one is asked for."""
        if self.options.distill is None or result.joint is None:
            return result
        self._enter("distilled")
        with self.console.status("distillation") if self.verbosity >= 0 else nullcontext():
            return self._handover.distil(result, log, lambda executor: self._training(log, executor, "distilled"))

    def _say(self, line: str) -> None:
        if self.verbosity >= 0:
            self.console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)

    @property
    def wants_baseline(self) -> bool:
        return self.options.wants_baseline and self.options.strategy != "random"

    def _enter(self, phase: str) -> None:
        self.directory.enter(phase, self._executor.slots)
        self.watching.entered(phase)

    def _workers(self, number: int | None = None, threads: int = 1) -> Workers:
        """So many workers, but no more than there are trials."""
        most = self.options.limits[0] or len(self.placement.devices)
        return self.placement.workers(self.evaluator, min(number or most, most), threads)

    def _check_training(self, log: TrialLog) -> None:
        """Before the first trial: say so where a small network cannot even learn one batch by heart.

        Raises `ValueError` where a recipe that is fixed cannot be had on these data or this device.
        """
        if log.trials:
            return
        candidate = self.problem.space.sample(np.random.default_rng(self.options.seed))
        for warning in tried_training(self._executor, candidate, self._chores):
            self._say(f"warning: {warning}")

    def _model_latency(self) -> None:
        """Where latency is an objective, by a worker that is alone; all that follow know it."""
        if LATENCY not in self.options.objective:
            return
        file, first = self.directory.path / "latency.json", partial(self.placement.workers, self.evaluator, 1)
        with self.console.status("timing networks") if self.verbosity >= 0 else nullcontext():
            model = of_run(file, self.problem.space, self.options.seed, first, Training.latencies)
        self.evaluator = copy(self.evaluator)  # for a cluster, which sends each one to its nodes once
        self.evaluator.latency = model

    def _searched(self, log: TrialLog) -> float:
        """The search, where weights are shared round by round; the seconds it has taken."""
        if self.options.one_shot is None:
            return self._arm("search", self.options.strategy, log, [])
        self._enter("search")
        console, spent = (self.console if self.verbosity >= 0 else None), 0.0
        rounds = Rounds(self.options, self.problem.space, self.directory, self.placement, self.evaluator, console)
        self._executor.shutdown()  # the training of the weights is to have all cores
        for self._round in rounds.of(log):
            self._executor = self._workers()
            spent = self._arm("search", self.options.strategy, log, [])
            self._executor.shutdown()
        self._executor = self._workers()
        return spent

    def _arm(self, arm: str, strategy: Any, log: TrialLog, known: Sequence[Trial]) -> float:
        """One search to the limits of the options, the random arm to those of the search; the seconds it has taken."""
        trials, seconds = (self._round if self._round and arm == "search" else self.options).search_limits
        allowance = None
        if arm == "random":
            each = self.options.epochs * self.options.folds
            allowance = Allowance.equal_to(known, each) if self._round is None else None
            trials = len(known) if allowance is None else None
        self._enter(arm)
        weights_of, live_of = self.directory.weights_of(arm), self.directory.live_of(arm)
        checkpoint_of = self.directory.checkpoint_of(arm)
        shared = " with shared weights" if self._round else ""
        label = "random search" if arm == "random" else f"{self.options.strategy}{shared}"
        most = trials if allowance is None else allowance.trainings
        bar = ProgressBar(self.console, label, most, seconds, self.directory.path / "errors.log", self.verbosity)
        asked = self.problem.strategy(strategy)
        asked.look(self.evaluator.dataset)
        joins = self.options.joins and self.options.final_epochs == 0  # else those that are trained again
        keep = KeepBestWeights(weights_of, worth_keeping) if joins else KeepBestWeights(weights_of)
        study = Study(
            strategy=asked,
            log=log,
            executor=self._executor,
            seed=self.options.seed,
            trials=trials,
            seconds=seconds,
            known=known,
            objectives=self.options.objective,
            monitors=(keep, KeepCheckpoints(checkpoint_of), Sweep(live_of), bar, self.watching),
            weights_of=weights_of,
            live_of=live_of,
            keep_all=joins,
            pace=self._round or (None if seconds is None else self._pace(seconds)),
            checkpoint_of=checkpoint_of,
            alike=self._alike if self._round is None else apart,
            allowance=allowance,
            shared=None if self._round is None else self._round.weights,
            chores=self._chores,
        )
        study.run()
        if study.nothing_left:
            self._say(f"{label} ends early: {study.nothing_left}")
        for _ in self._chores:
            pass
        if seconds is not None and self.options.workers != 0:  # what was cut short is not to hold up what follows
            self._executor.shutdown(cancel_futures=True)
            self._executor = self._workers()
        self.directory.remove_checkpoints()
        return study.elapsed()

    def _pace(self, seconds: float) -> Pace:
        options, samples = self.options, sum(cut.samples for cut in self.evaluator.searched)
        slots = self._executor.slots
        return Pace(seconds, slots, options.epochs * samples, options.epochs, self.placement.devices[0], options.folds)

    def _final(self, logs: Sequence[TrialLog], spent: float) -> list[Trial]:
        """Train the best networks again, with fresh seeds."""
        trials, baseline, log, _ = logs
        samples = self.evaluator.searched[0].samples, self.evaluator.whole.samples
        ended = timed(Ended(trials.trials, baseline.trials, log.trials, spent), self.options, self._executor)
        ended = probed(ended, self.options, self.placement.devices, self._executor)
        told = self.placement.devices, *samples, self.directory.path / "plan.json"
        self._chosen = chosen = chosen_again(self.options, ended, *told)
        if not chosen:
            if self.options.final_epochs != 0 and best_first(trials.trials):
                self._say("warning: no --time is left for a final training; best/ is as the search has trained it")
            return []
        trainings = sum(again.seeds for again in chosen)
        if self.options.time is not None and self.options.workers != 0:
            each = threads(self.placement.devices, trainings, ended.adds)
            if each > 1:
                self._executor.shutdown()
                self._executor = self._workers(trainings, each)
        self._enter("final")
        training = self._training(log, self._executor, "final")
        telling = self.verbosity >= 0 and training.left(chosen) > 0
        if telling:
            self.console.print(again_in_words(chosen, joins=self.options.joins), highlight=False)
        with self.console.status("final training") if telling else nullcontext():
            trained = training.run(chosen)
        if failed := [trial for trial in trained if trial.error is not None]:
            self._say(f"{len(failed)} of {len(trained)} final trainings failed, the first with {failed[0].error}")
        return trained

    def _training(self, log: TrialLog, executor: Workers, arm: str) -> FinalTraining:
        options, directory, joins = self.options, self.directory, self.options.joins
        places = directory.weights_of(arm), directory.live_of(arm), directory.path / "errors.log"
        training = FinalTraining(log, executor, options.seed, options.epochs, *places, self.watching)
        return replace(training, snapshots=joins and arm == "final", alike=apart if joins else self._alike)

    def _try_groups(self) -> None:
        """Where workers have GPUs: whether they can train networks together, before they train any."""
        verdict = tried(self.options, self.placement.devices, self._executor)
        self._alike = grouped(self.options, self.placement.devices, verdict)
        if not verdict.works:
            self._say(f"warning: networks are trained one by one: {verdict.said}")
            self.evaluator = copy(self.evaluator)  # for a cluster, which sends each one to its nodes once
            self.evaluator.fused = False
            self._executor.shutdown(cancel_futures=True)  # the others have yet to hear of it, and one may be spoilt
            self._executor = self._workers()
        elif verdict.said and self.verbosity > 0:
            self.console.print(verdict.said, highlight=False, markup=False)
