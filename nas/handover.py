"""After the search: an ensemble and what it teaches, the test, once, and the folders that are handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from nas.ensemble import candidates, join
from nas.ensemble_export import export_ensemble
from nas.evaluate import Training
from nas.executor import Workers
from nas.final import FinalTraining
from nas.finalists import Again
from nas.folder import Facts, write_folder
from nas.job import Job, Member, Teacher, evaluate
from nas.options import Options
from nas.result import FOLDERS, Result
from nas.selection import finalists_of
from nas.store import RunDirectory, TrialLog
from nas.trial import Trial
from nas.weights import read_weights

T = TypeVar("T")


@dataclass
class Handover:
    """What a search hands over. `workers(n)` are an executor of n workers, `timed` where it may stop their jobs."""

    options: Options
    evaluator: Training
    directory: RunDirectory
    workers: Callable[..., Workers]

    def join(self, result: Result) -> Result:
        """With the ensemble that is best on the validation part, of networks that were trained again.

        Of those of the search where none was: what it has left are best epochs, which that part has chosen, so that an
        ensemble of them would look better than it is beside networks that it has not.
        """
        again = {"final": result.final}
        arms = again if result.finalists else {"search": result.trials, "random": result.baseline}
        pool = candidates({self.directory.weights_of(arm)(0).parent: trials for arm, trials in arms.items()})
        validation, options = self.evaluator.dataset.validation, self.options
        executor = self.workers(max(1, len(pool)))
        try:
            return replace(result, joint=join(executor, pool, validation, options.budget, options.seed))
        finally:
            executor.shutdown(cancel_futures=True)

    def distil(self, result: Result, log: TrialLog, training: Callable[[Workers], FinalTraining]) -> Result:
        """With the best network trained again, as often as before, by the labels and what the ensemble says."""
        if result.joint is None or self.options.distill is None or not result.finalists:
            return result
        best = result.finalists[0]
        epochs = round(best.best.candidate.fidelity * self.options.epochs)
        executor = self.workers(len(best.trials), timed=True)
        try:
            again = replace(training(executor), teacher=self._teacher(result))
            return replace(result, distilled=again.run([Again(best.best, epochs, len(best.trials))]))
        finally:
            executor.shutdown(cancel_futures=True)

    def _teacher(self, result: Result) -> Teacher | None:
        if result.joint is None or self.options.distill is None:
            return None
        return Teacher(result.joint.members, self.options.distill)

    def finish(self, result: Result) -> Result:
        """Test what is chosen, once, and write the folders. The test waits where the search was interrupted; what an
        earlier session has handed over stays as it is then.
        """
        folder, tested = self.directory.path, None if result.interrupted else result.chosen
        trained: dict[str, tuple[Trial, Path, Teacher | None]] = {}
        trained["network"] = result.best, self._weights(result), None
        for taught in finalists_of(result.distilled)[:1]:
            file = self.directory.weights_of("distilled")(taught.best.number)
            trained["distilled"] = taught.best, file, self._teacher(result)
        if result.interrupted and ((folder / "best").exists() or not trained["network"][1].exists()):
            return result
        tests = self.directory.tested(self._name(result)) if tested is not None else 0
        test = self._submit(Training.test_together, self._members(result)) if tested == "ensemble" else None
        for name, (trial, weights, teacher) in trained.items():
            own = self._read(trial, weights, teacher, test=name == tested)
            means = finalists_of(result.final if name == "network" else result.distilled)[:1]
            facts = Facts(self.options.budget, own, means[0] if means and trial in means[0].trials else None)
            write_folder(trial, weights, self.evaluator.dataset, folder / FOLDERS[name], facts)
            test = own if name == tested else test
        if result.joint is not None:
            together = test if tested == "ensemble" else None
            export_ensemble(result.joint, self.evaluator.dataset, folder / "ensemble", self.options.budget, together)
        if tested is not None:
            self._record(result, [FOLDERS[name] for name in (*trained, *["ensemble"] * (result.joint is not None))])
        return replace(result, test_accuracy=test, tests=tests)

    def _weights(self, result: Result) -> Path:
        arms = {"final": result.final, "search": result.trials, "random": result.baseline}
        arm = next(name for name, trials in arms.items() if any(trial is result.best for trial in trials))
        return self.directory.weights_of(arm)(result.best.number)

    def _read(self, trial: Trial, weights: Path, teacher: Teacher | None, test: bool) -> float | None:
        """The test accuracy, where it is asked for; weights that were deleted or damaged by hand are trained again."""
        found = self._submit(Training.test, trial.candidate, weights) if test else None
        if found is not None if test else read_weights(weights) is not None:
            return found
        final = ("search" not in weights.parent.name and "random" not in weights.parent.name) or self.options.folds > 1
        order = None if final else self.options.seed  # the search's trials share theirs
        job = Job(trial.number, trial.candidate, trial.seed, weights, order, final=final, teacher=teacher)
        self._submit(evaluate, job)  # with the same seeds the same weights
        return self._submit(Training.test, trial.candidate, weights) if test else None

    def _members(self, result: Result) -> tuple[Member, ...]:
        return () if result.joint is None else result.joint.members

    def _name(self, result: Result) -> str:
        """What is chosen, told from everything else that might be."""
        if result.chosen == "ensemble":
            return "+".join(sorted(f"{m.weights.parent.name}/{m.weights.stem}" for m in self._members(result)))
        best = result.best if result.chosen == "network" else finalists_of(result.distilled)[0].best
        return f"{result.chosen} {best.candidate.architecture.digest} seed {best.seed}"

    def _record(self, result: Result, handed: list[str]) -> None:
        """selection.json: which final trainings count, and what was chosen, for those who read the run."""
        numbers = {arm: [t.number for t in getattr(result, arm)] for arm in ("final", "distilled")}
        decided = {"joining": sorted(result.joining), "handed": handed, "chosen": FOLDERS[result.chosen]}
        self.directory.write_json("selection.json", {**numbers, **decided})

    def _submit(self, function: Callable[..., T], *args: Any) -> T:
        executor = self.workers(1)
        try:
            return executor.submit(function, *args).result()
        finally:
            executor.shutdown(cancel_futures=True)
