"""Optuna calls the plain loop, its study in SQLite."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.peers import goal, plain
from benchmarks.peers.task import Task
from nas.extras import library

optuna = library("optuna")


def run(task: Task) -> list[float]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data, numbers = plain.load(task.file), list(range(len(task.networks)))
    study = optuna.create_study(
        storage=f"sqlite:///{task.folder}/optuna.db",
        sampler=optuna.samplers.GridSampler({"network": numbers}),
        direction="maximize",
    )

    def objective(trial: Any) -> float:
        return plain.train(task, data, trial.suggest_categorical("network", numbers))

    study.optimize(objective, n_trials=len(numbers))
    return [trial.value for trial in study.trials]


def search(file: str, folder: str, seed: int, problem: goal.Problem, pruner: Any = None) -> float:
    """Seconds to the goal, by TPE."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = plain.load(file)
    torch.manual_seed(seed)
    clock = goal.Clock(problem)
    study = optuna.create_study(
        storage=f"sqlite:///{folder}/optuna.db",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner or optuna.pruners.NopPruner(),
        direction="maximize",
    )

    def objective(trial: Any) -> float:
        def told(epoch: int, best: float) -> None:
            clock.saw(best)
            if pruner is not None:
                trial.report(best, epoch)
            if clock.over or (pruner is not None and trial.should_prune()):
                raise optuna.TrialPruned

        return goal.train(_chosen(trial, problem), data, problem, told)

    study.optimize(objective, timeout=problem.limit, callbacks=[lambda study, trial: clock.over and study.stop()])
    return clock.reached


def search_pruned(file: str, folder: str, seed: int, problem: goal.Problem) -> float:
    return search(file, folder, seed, problem, optuna.pruners.MedianPruner())


def _chosen(trial: Any, problem: goal.Problem) -> dict[str, Any]:
    depth = trial.suggest_int("depth", 1, goal.DEEPEST)
    sizes = {f"width{n}": (problem.narrowest, problem.widest) for n in range(1, depth + 1)}
    return {
        "depth": depth,
        **{name: trial.suggest_int(name, *limits, log=True) for name, limits in sizes.items()},
        "lr": trial.suggest_float("lr", goal.LEAST_LR, goal.MOST_LR, log=True),
        "activation": trial.suggest_categorical("activation", list(goal.ACTIVATIONS)),
    }
