"""Ray Tune calls the plain loop, two trials at a time."""

from __future__ import annotations

import os
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # read by the import

from benchmarks.peers import plain
from benchmarks.peers.task import Task
from nas.extras import library

ray, tune = library("ray"), library("ray.tune")


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
