"""How busy a thousand workers are that do not exist: a search with a simulated clock, against one with generations.

Trials take log-normal times with a coefficient of variation of 1. All else is real: the search, its strategy, its log.
Time that the coordinator computes passes on the clock too, so a worker whose turn it is waits for it.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.coordinator import Instant
from benchmarks.tables import markdown
from nas.budget import Budget
from nas.executor import T, Workers
from nas.plugins import make
from nas.store import TrialLog
from nas.strategy import Strategy
from nas.study import Study
from search_spaces.mlp import MLP

WORKERS, TRIALS = 1_000, 5_000


def durations(mean: float, seed: int) -> Callable[[int], np.ndarray]:
    """Draws times of this mean whose deviation is as large."""
    rng, sigma = np.random.default_rng(seed), np.sqrt(np.log(2))
    return lambda number: mean * rng.lognormal(-(sigma**2) / 2, sigma, number)


class Cluster(Workers):
    """Workers on a clock of their own. It stands in for the queue of what has ended, too: to look is to end a job."""

    def __init__(self, slots: int, draw: Callable[[int], np.ndarray]) -> None:
        self.slots, self._draw, self._evaluator = slots, draw, Instant()
        self._running: list[tuple[float, int, Future[Any], Callable[[], Any]]] = []
        self._now, self._since = 0.0, time.process_time()
        self.jobs: list[tuple[float, float]] = []  # when it began, and for how long it runs
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self.put, self.get_nowait = self._ended.put, self._ended.get_nowait

    @property
    def now(self) -> float:
        return self._now + time.process_time() - self._since

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        took = float(self._draw(1)[0])
        entry = (self.now + took, len(self.jobs), future, lambda: fn(self._evaluator, *args, **kwargs))
        heapq.heappush(self._running, entry)
        self.jobs.append((self.now, took))
        return future

    def get(self, timeout: float | None = None) -> Any:
        end, _, future, work = heapq.heappop(self._running)
        now, found = max(self.now, end), work()
        self._now, self._since = now, time.process_time()  # what the job itself computes is not the coordinator's
        future.set_result(found)
        return self._ended.get_nowait()

    def busy(self) -> float:
        """Share of the workers' time until the last job began."""
        began, took = np.array(self.jobs).T
        return float(np.minimum(took, began[-1] - began).sum() / (self.slots * began[-1]))


def asynchronous(spec: str, mean: float, seed: int) -> float:
    space, cluster = MLP((1, 8, 8), 10, Budget(50_000)), Cluster(WORKERS, durations(mean, seed))
    with patch("nas.packs.SimpleQueue", lambda: cluster), TemporaryDirectory() as folder:
        log = TrialLog(Path(folder) / "trials.jsonl", space)
        Study(make("strategies", spec, Strategy, space), log, cluster, seed, TRIALS).run()
        log.close()
    return cluster.busy()


def generations(mean: float, seed: int) -> float:
    """Each waits for its slowest."""
    took = durations(mean, seed)(TRIALS).reshape(-1, WORKERS)
    return float(took.sum() / (WORKERS * took.max(1).sum()))


def measure(specs: Sequence[str], means: Sequence[float]) -> str:
    rows = [
        [spec, f"{mean:g}", f"{asynchronous(spec, mean, 0):.3f}", f"{generations(mean, 0):.3f}"]
        for mean in means
        for spec in specs
    ]
    return markdown(["strategy", "seconds a trial", "busy", "busy with generations"], rows)
