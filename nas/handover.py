"""After the search: an ensemble and what it teaches, the test, once, and the folders that are handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from nas.ensemble import candidates, join
from nas.ensemble_export import export_ensemble
from nas.evaluate import Job, Teacher, Training, evaluate
from nas.executor import Workers
from nas.final import Again, FinalTraining
from nas.folder import write_folder
from nas.options import Options
from nas.result import Result
from nas.selection import finalists_of
from nas.store import RunDirectory, TrialLog
from nas.trial import Trial

T = TypeVar("T")


@dataclass
class Handover:
    """What a search hands over. `workers(n)` are an executor of n workers."""

    options: Options
    evaluator: Training
    directory: RunDirectory
    workers: Callable[[int], Workers]

    def join(self, result: Result) -> Result:
        """With the ensemble that is best on the validation part, of all networks that have left their weights."""
        arms = {"final": result.final, "search": result.trials, "random": result.baseline}
        pool = candidates({self.directory.weights_of(arm)(0).parent: trials for arm, trials in arms.items()})
        labels = self.evaluator.dataset.validation.y
        executor = self.workers(len(pool))
        try:
            joint = join(executor, pool, labels, self.options.budget, self.options.seed)
        finally:
            executor.shutdown(cancel_futures=True)
        return replace(result, joint=joint)

    def distil(self, result: Result, log: TrialLog, training: Callable[[Workers], FinalTraining]) -> Result:
        """With the best network trained again, as often as before, by the labels and what the ensemble says."""
        if result.joint is None or self.options.distill is None or not result.finalists:
            return result
        best = result.finalists[0]
        epochs = round(best.best.candidate.fidelity * self.options.epochs)
        executor = self.workers(len(best.trials))
        try:
            again = replace(training(executor), teacher=Teacher(result.joint.members, self.options.distill))
            distilled = again.run([Again(best.best, epochs, len(best.trials))])
        finally:
            executor.shutdown(cancel_futures=True)
        return replace(result, distilled=[trial for trial in distilled if trial.values])

    def finish(self, result: Result) -> Result:
        """Test what is chosen, once, and write the folders; the test waits where the search was interrupted."""
        best = result.best
        arms = {"final": result.final, "search": result.trials, "random": result.baseline}
        arm = next(name for name, trials in arms.items() if any(trial is best for trial in trials))
        weights = self.directory.weights_of(arm)(best.number)
        if result.interrupted and not weights.exists():
            return result
        final = arm == "final" or self.options.folds > 1
        tested, folder, budget = None if result.interrupted else result.chosen, self.directory.path, self.options.budget
        dataset, joint = self.evaluator.dataset, result.joint
        taught = next(iter(finalists_of(result.distilled)), None)
        test: float | None = None
        if tested == "network":
            test = self._test(best, weights, final)
        elif tested == "ensemble" and joint is not None:
            test = self._submit(Training.test_together, joint.members)
        elif taught is not None and tested == "distilled":
            test = self._test(taught.best, self.directory.weights_of("distilled")(taught.best.number), final=True)
        if not weights.exists():
            self._again(best, weights, final)
        write_folder(best, weights, dataset, folder / "best", budget, test if tested == "network" else None)
        if joint is not None:
            export_ensemble(joint, dataset, folder / "ensemble", budget, test if tested == "ensemble" else None)
        if taught is not None:
            file = self.directory.weights_of("distilled")(taught.best.number)
            figure = test if tested == "distilled" else None
            write_folder(taught.best, file, dataset, folder / "distilled", budget, figure)
        tests = self.directory.tested(self._name(result)) if test is not None else 0
        return replace(result, test_accuracy=test, tests=tests)

    def _name(self, result: Result) -> str:
        """What is chosen, told from everything else that might be."""
        if result.chosen == "ensemble" and result.joint is not None:
            return "+".join(sorted(f"{m.weights.parent.name}/{m.weights.stem}" for m in result.joint.members))
        best = result.best if result.chosen == "network" else finalists_of(result.distilled)[0].best
        return f"{result.chosen} {best.candidate.architecture.digest} seed {best.seed}"

    def _test(self, trial: Trial, weights: Path, final: bool) -> float | None:
        """Accuracy on the test part, of weights that may have been deleted or damaged by hand."""
        test = self._submit(Training.test, trial.candidate, weights)
        if test is None:
            self._again(trial, weights, final)
            test = self._submit(Training.test, trial.candidate, weights)
        return test

    def _again(self, trial: Trial, weights: Path, final: bool) -> None:
        """Train once more: with the same seed the same weights."""
        self._submit(evaluate, Job(trial.number, trial.candidate, trial.seed, weights, final=final))

    def _submit(self, function: Callable[..., T], *args: Any) -> T:
        executor = self.workers(1)
        try:
            return executor.submit(function, *args).result()
        finally:
            executor.shutdown(cancel_futures=True)
