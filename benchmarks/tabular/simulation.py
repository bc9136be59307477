"""A search whose trainings are looked up: `ask` and `tell` as the study does, on a simulated clock."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.tabular.problem import Problem
from nas.space import Candidate
from nas.strategy import Strategy
from nas.study import COPIES
from nas.trial import Trial


@dataclass(frozen=True)
class Course:
    """The rows that a run looked up, (n,), each once and in the order in which they ended, and what became of them."""

    rows: np.ndarray
    rewards: np.ndarray  # as the strategy was told
    ends: np.ndarray  # simulated seconds
    told: int  # trials, copies among them

    def incumbents(self) -> np.ndarray:
        """After each query the row that looks best, the first of equals, (n,)."""
        improves = self.rewards > np.concatenate([[-np.inf], np.maximum.accumulate(self.rewards)[:-1]])
        return self.rows[np.maximum.accumulate(np.where(improves, np.arange(len(self.rows)), 0))]


@dataclass
class Flight:
    """A candidate that a worker has; `copies` of it were asked for meanwhile."""

    number: int
    candidate: Candidate
    copies: list[tuple[int, Candidate]]


class Simulation:
    """One run. A candidate that was looked up before is told again at once, and costs neither time nor a query.

    So it is in `nas.study`, whose bound on copies in a row holds here too. With `again` it costs its time once more.
    """

    def __init__(
        self, strategy: Strategy, problem: Problem, seed: int, workers: int = 1, *, again: bool = False
    ) -> None:
        self.strategy, self.problem, self.seed, self.workers = strategy, problem, seed, workers
        self.again = again
        self.seen = problem.seen(seed)
        self.clock, self.asked, self.told, self.copies = 0.0, 0, 0, 0
        self.flying: dict[int, Flight] = {}  # by row
        self.landings: list[tuple[float, int, int]] = []  # when, number, row
        self.ended: dict[int, tuple[float, int]] = {}  # row -> when, number

    def run(self) -> Course:
        while True:
            while len(self.flying) < self.workers and self._may_ask():
                self._ask()
            if not self.flying:
                break
            self.clock, _, row = heapq.heappop(self.landings)
            if self.clock > self.problem.seconds:
                break
            self._land(row)
        rows = np.array(list(self.ended), dtype=int)
        return Course(rows, self.seen[rows], np.array([end for end, _ in self.ended.values()]), self.told)

    def _may_ask(self) -> bool:
        begun = len(self.ended) + sum(row not in self.ended for row in self.flying)
        enough = self.problem.queries is not None and begun >= self.problem.queries
        return not enough and self.problem.goal not in self.ended and self.copies < COPIES

    def _ask(self) -> None:
        number = self.asked
        candidate = self.strategy.ask(np.random.default_rng((self.seed, number)), self._pending())
        row = self.problem.row(candidate)
        self.asked += 1
        self.copies += 1
        if row in self.ended and not self.again:
            self._tell(number, candidate, row, copy_of=self.ended[row][1])
        elif row in self.flying:
            self.flying[row].copies.append((number, candidate))
        else:
            self.copies = self.copies if row in self.ended else 0
            self.flying[row] = Flight(number, candidate, [])
            heapq.heappush(self.landings, (self.clock + float(self.problem.costs[row]), number, row))

    def _pending(self) -> Sequence[Candidate]:
        copies = [copy for flight in self.flying.values() for _, copy in flight.copies]
        return [*(flight.candidate for flight in self.flying.values()), *copies]

    def _land(self, row: int) -> None:
        flight = self.flying.pop(row)
        _, original = self.ended.setdefault(row, (self.clock, flight.number))
        for number, candidate in [(flight.number, flight.candidate), *flight.copies]:
            self._tell(number, candidate, row, copy_of=None if number == original else original)

    def _tell(self, number: int, candidate: Candidate, row: int, copy_of: int | None) -> None:
        self.told += 1
        value = float(self.seen[row])
        self.strategy.tell(Trial(number, candidate, 0, (value,), copy_of=copy_of, elapsed=self.clock))
