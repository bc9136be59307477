"""How long networks take to train that a search has evaluated with shared weights, by an epoch of each."""

from __future__ import annotations

import time
from dataclasses import replace

from nas.choosing import Ended
from nas.executor import JobFailed, Workers
from nas.finalists import FINALISTS, finalists
from nas.job import Job, evaluate
from nas.options import Options
from nas.trial import Trial


def timed(ended: Ended, options: Options, executor: Workers) -> Ended:
    """With what an epoch takes of those that may be trained again, for a final training that is to end in time."""
    began, both = time.monotonic(), [*ended.trials, *ended.baseline]
    number = options.finalists or FINALISTS
    small = [trial for trial in both if options.joins and trial.params <= options.budget // 2]
    best = [*finalists(both, number), *finalists(small, number)]
    taken = {id(trial): _trained(trial, options, executor) for trial in [*best[:1], *best]}  # the first one warms up
    known = [[taken.get(id(trial), trial) for trial in trials] for trials in (ended.trials, ended.baseline)]
    return replace(ended, trials=known[0], baseline=known[1], spent=ended.spent + time.monotonic() - began)


def _trained(trial: Trial, options: Options, executor: Workers) -> Trial:
    candidate = replace(trial.candidate, fidelity=1 / options.epochs, horizon=None)
    try:
        outcome = executor.submit(evaluate, Job(trial.number, candidate, trial.seed)).result()
    except JobFailed:  # the final training will say why
        return trial
    return replace(trial, metrics=outcome.metrics, curve=outcome.curve)
