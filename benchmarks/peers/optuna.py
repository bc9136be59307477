"""Optuna calls the plain loop, its study in SQLite."""

from __future__ import annotations

from typing import Any

from benchmarks.peers import plain
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
