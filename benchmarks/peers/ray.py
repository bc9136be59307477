"""Ray Tune calls the plain loop, two trials at a time."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # read by the import

from benchmarks.peers import goal, plain
from benchmarks.peers.task import Task
from nas.extras import library

tune = library("ray.tune")
Stopper: Any = tune.Stopper


def objective(config: dict[str, Any], task: Task, data: plain.Data) -> None:
    plain.train(task, data, config["network"], lambda epoch, best: tune.report({"accuracy": best}))


def run(task: Task, reuse_actors: bool = False) -> list[float]:
    trainable = tune.with_parameters(objective, task=task, data=plain.load(task.file))
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"network": tune.grid_search(list(range(len(task.networks))))},
        tune_config=tune.TuneConfig(max_concurrent_trials=2, reuse_actors=reuse_actors),
        run_config=tune.RunConfig(storage_path=task.folder, verbose=0),
    )
    return [result.metrics["accuracy"] for result in tuner.fit()]


def reused(task: Task) -> list[float]:
    return run(task, reuse_actors=True)


def sought(config: dict[str, Any], data: plain.Data, problem: goal.Problem) -> None:
    """A network over the budget is reported with accuracy 0."""
    if not goal.train(config, data, problem, lambda epoch, best: tune.report({"accuracy": best})):
        tune.report({"accuracy": 0.0})


class AtGoal(Stopper):  # type: ignore[misc]  # ray is not always installed, and so has no types here
    """Ends all trials when one has come so far, or time is over."""

    def __init__(self, problem: goal.Problem) -> None:
        self.clock = goal.Clock(problem)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.clock.saw(result["accuracy"])
        return False

    def stop_all(self) -> bool:
        return self.clock.over


def search(file: str, folder: str, seed: int, problem: goal.Problem, asha: bool = False) -> float:
    """Seconds to the goal, by random search; with ASHA actors are reused."""
    data, stopper = plain.load(file), AtGoal(problem)
    trainable = tune.with_parameters(sought, data=data, problem=problem)
    random.seed(seed)
    np.random.seed(seed)  # that of Ray Tune
    sizes = {f"width{n}": tune.lograndint(problem.narrowest, problem.widest) for n in range(1, goal.DEEPEST + 1)}
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={
            "depth": tune.randint(1, goal.DEEPEST + 1),
            **sizes,
            "lr": tune.loguniform(goal.LEAST_LR, goal.MOST_LR),
            "activation": tune.choice(list(goal.ACTIVATIONS)),
        },
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=10_000,
            max_concurrent_trials=2,
            reuse_actors=asha,
            scheduler=library("ray.tune.schedulers").ASHAScheduler(max_t=problem.epochs) if asha else None,
            time_budget_s=problem.limit,
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0, stop=stopper),
    )
    tuner.fit()
    return stopper.clock.reached


def search_asha(file: str, folder: str, seed: int, problem: goal.Problem) -> float:
    return search(file, folder, seed, problem, asha=True)
