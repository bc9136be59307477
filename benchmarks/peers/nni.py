"""NNI's local training service: a process a trial, two at a time, each of which calls the plain loop."""

from __future__ import annotations

import json
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.task import Task
from nas.extras import library

library("nni")  # in time for the clock
experiments = library("nni.experiment")

TRIAL = """
import json

import nni

from benchmarks.peers import plain
from benchmarks.peers.task import Task

with open("task.json") as file:
    task = Task(**json.load(file))
chosen = nni.get_next_parameter()
nni.report_final_result(plain.train(task, plain.load(task.file), chosen["network"]))
"""


def run(task: Task) -> list[float]:
    folder = Path(task.folder)
    (folder / "trial.py").write_text(TRIAL)
    (folder / "task.json").write_text(json.dumps(asdict(task)))
    experiment = experiments.Experiment("local")
    config = experiment.config
    config.trial_command, config.trial_code_directory = f"{sys.executable} trial.py", folder
    config.experiment_working_directory = folder / "experiments"
    config.search_space = {"network": {"_type": "choice", "_value": list(range(len(task.networks)))}}
    config.tuner.name = "GridSearch"
    config.max_trial_number, config.trial_concurrency = len(task.networks), 2
    experiment.start(free_port())  # which stops it at the exit of the process
    while experiment.get_status() != "DONE":
        time.sleep(0.1)  # `run` would look every ten seconds
    return [trial.value for trial in experiment.export_data()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
