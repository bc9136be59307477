"""`--dry-run`: what the space holds inside the budget, and about how long the search would take."""

from __future__ import annotations

import math
import time
from itertools import islice

import numpy as np
from rich.console import Console

from nas.architecture import Architecture
from nas.evaluate import Stopping, Training
from nas.finalists import FINALISTS, LONGER, SEEDS
from nas.job import Job, evaluate
from nas.oneshot.evaluator import CALIBRATING
from nas.oneshot.rounds import MANY
from nas.options import Options
from nas.placement import Placement
from nas.problem import Problem
from nas.space import Candidate, SearchSpace

DRAWS, SECONDS = 1000, 5.0  # at most, of the space and of the raw space each
WAYS = 100  # draws that tell how many ways there are to decide


def describe(options: Options, console: Console) -> None:
    """Print the number of decisions, the sizes, the share of the raw space that fits, and the time to expect."""
    problem = Problem.of(options)
    rng = np.random.default_rng((options.seed, 0xD47))
    drawn = sorted(_draws(problem.space, rng), key=lambda c: c.architecture.num_params)
    sizes = [candidate.architecture.num_params for candidate in _draws(problem.space.within(None), rng)]
    share = np.mean([size in options.parameter_budget for size in sizes])
    decisions = [len(candidate.choices) for candidate in drawn]
    shape = "x".join(map(str, problem.space.input_shape))
    bound = options.parameter_budget.least or problem.space.narrowing.only is not None
    smallest = drawn[0].architecture if bound else problem.space.smallest()
    lines = {
        "space": f"{problem.space}, {shape} inputs, {problem.space.classes} classes",
        "parameter budget": f"{options.budget:,}" + (f", at least {options.fill:g} of it" if options.fill else ""),
        "decisions": f"{min(decisions)} to {max(decisions)} a network, {_ways(problem.space, rng)} ways in all",
        "smallest": _words(smallest),
        "median": _words(drawn[len(drawn) // 2].architecture) + f" (of {len(drawn)} draws)",
        "largest": _words(drawn[-1].architecture) + f" (of {len(drawn)} draws)",
        "raw space inside": f"{100 * share:.1f} % of {len(sizes)} draws that ignore the budget (a search stays inside)",
        "time": _estimate(options, problem, drawn),
    }
    for name, text in lines.items():
        console.print(f"{name:>17}  {text}", highlight=False, soft_wrap=True, markup=False)


def _draws(space: SearchSpace, rng: np.random.Generator) -> list[Candidate]:
    end = time.monotonic() + SECONDS
    return [space.sample(rng) for number in range(DRAWS) if number == 0 or time.monotonic() < end]


def _ways(space: SearchSpace, rng: np.random.Generator) -> str:
    """How many candidates there are; of many, about, by the products of options along random ways (Knuth 1975)."""
    ways = [space.draw(lambda name, options, weights: int(rng.integers(len(options)))) for _ in range(WAYS)]
    about = float(np.mean([math.prod(len(choice.options) for choice in way.choices) for way in ways]))
    listed = sum(1 for _ in islice(space, DRAWS)) if about < DRAWS else DRAWS
    return f"{listed:,}" if listed < DRAWS else f"about 10^{math.log10(max(about, listed)):.0f}"


def _words(architecture: Architecture) -> str:
    return f"{architecture.num_params:,} parameters: {architecture}"


def _estimate(options: Options, problem: Problem, drawn: list[Candidate]) -> str:
    """Train a small, a median and a large draw for one epoch each, and multiply."""
    trials, seconds = options.limits
    with Placement.of(options) as placement:
        training = Training(problem.load(), Stopping(1, 1), sample=options.sample, folds=options.folds)
        executor, spent = placement.workers(training, 1), []
        try:
            for share in (0.0, 0.1, 0.5, 0.9):
                job = Job(0, drawn[int(share * len(drawn))], seed=0)
                spent.append(executor.submit(evaluate, job).result().metrics["seconds"])
            spent.pop(0)  # the first one pays for warming up
        finally:
            executor.shutdown(cancel_futures=True)
    training_time = float(np.mean(spent)) * options.epochs
    trial, weights = training_time, 0.0
    if options.one_shot is not None:  # a trial is a few passes forward, of which an epoch of training has three
        passed = len(training.dataset.validation) + CALIBRATING
        trial = float(np.mean(spent)) * passed / (3 * training.searched[0].samples)
        weights = float(np.mean(spent)) * (options.one_shot["epochs"] or MANY * options.epochs)
    if trials is None:
        return f"{format_time(seconds or 0)} as asked; a trial takes up to {format_time(trial)}"
    longer = LONGER if options.final_epochs is None else options.final_epochs / options.epochs
    again = min(options.finalists or FINALISTS, trials) * (options.final_seeds or SEEDS)
    work = trials * (2 if options.wants_baseline else 1) * trial + again * longer * training_time
    total = weights + work / len(placement.devices)
    limit = f", stopped at {format_time(seconds)}" if seconds else ""
    more = ["the training of the shared weights"] if weights else []
    more += [*(["the baseline"] if options.wants_baseline else []), *(["the final training"] if longer else [])]
    said = " and ".join([f"{trials} trials", *more])
    return f"at most about {format_time(total)} for {said} on {len(placement.devices)} workers{limit}"


def format_time(seconds: float) -> str:
    """`75 -> '1 min 15 s'`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
