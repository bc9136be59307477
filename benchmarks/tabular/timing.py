"""What `ask` and `tell` take when so many trials have been told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from benchmarks.tables import markdown
from benchmarks.tabular.problem import Problem
from nas.plugins import make
from nas.space import Candidate
from nas.strategy import Strategy
from nas.trial import Trial

T = TypeVar("T")
AT = (100, 1_000, 10_000)
ROUNDS = 10  # of an ask and a tell, of which the medians are taken


def measure(specs: Sequence[str], problem: Problem) -> str:
    """Milliseconds; the trials told before are of different candidates drawn at random, the same for all strategies."""
    rows = []
    for spec in specs:
        strategy, told = make("strategies", spec, Strategy, problem.space), _drawn(problem)
        figures: list[str] = []
        done = 0
        for trials in AT:
            for number in range(done, trials - ROUNDS):
                strategy.tell(_trial(problem, number, next(told)))
            figures += [f"{ms:.3g}" for ms in _rounds(strategy, problem, trials)]
            done = trials
        rows.append([spec, *figures])
    return markdown(["ms after", *(f"{verb}, {n:,}" for n in AT for verb in ("ask", "tell"))], rows)


def _rounds(strategy: Strategy, problem: Problem, trials: int) -> tuple[float, float]:
    asks, tells = [], []
    for number in range(trials - ROUNDS, trials):
        rng = np.random.default_rng((0, number))
        seconds, candidate = _clocked(lambda: strategy.ask(rng, ()))  # noqa: B023  # used at once
        asks.append(seconds)
        trial = _trial(problem, number, candidate)
        tells.append(_clocked(lambda: strategy.tell(trial))[0])  # noqa: B023
    return 1000 * float(np.median(asks)), 1000 * float(np.median(tells))


def _clocked(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def _drawn(problem: Problem) -> Iterator[Candidate]:
    rng, met = np.random.default_rng(0), set[int]()
    while True:
        candidate = problem.space.sample(rng)
        if problem.row(candidate) not in met:
            met.add(problem.row(candidate))
            yield candidate


def _trial(problem: Problem, number: int, candidate: Candidate) -> Trial:
    return Trial(number, candidate, 0, (float(problem.rewards[0, problem.row(candidate)]),))
