"""What a trial costs the process that directs a search: ask, send, hear, write it down for good, tell.

The search is a real one (`Study`, a log that is synced to the disk, the MLP space of 50K parameters on digits), but for
the evaluator, which returns at once. Microseconds are medians over the tenth of the trials before each count: of
the clock, which also counts the wait for the disk and for other programs, and of the processor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import numpy as np

from benchmarks.tables import markdown
from nas.budget import Budget
from nas.executors.inline import Inline
from nas.job import Job, Outcome
from nas.plugins import make
from nas.space import Candidate, SearchSpace
from nas.store import TrialLog
from nas.strategy import Strategy
from nas.study import Study
from nas.trial import Trial
from search_spaces.mlp import MLP

AT = (100, 1_000, 10_000)
LONG = 100_000  # of random, as far as it comes in three minutes
SECONDS = 180


class Instant:
    """An evaluator: any value of the candidate's own, at once."""

    def prepare(self, device: str) -> None: ...

    def __call__(self, job: Job) -> Outcome:
        return Outcome((crc32(job.candidate.architecture.digest.encode()) / 2**32,), {"epochs": 1, "seconds": 0.0})


class Costs:
    """What each trial has cost by two clocks, and of the processor's its parts: ask, tell, log."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {"ask": [], "tell": [], "log": []}
        self.ends: dict[str, list[float]] = {"clock": [time.perf_counter()], "CPU": [time.thread_time()]}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.parts[part].append(time.thread_time() - start)

    def ended(self) -> None:
        self.ends["clock"].append(time.perf_counter())
        self.ends["CPU"].append(time.thread_time())

    def microseconds(self) -> dict[str, np.ndarray]:
        whole = {name: 1e6 * np.diff(ends) for name, ends in self.ends.items()}
        parts = {name: 1e6 * np.array(part[: len(whole["CPU"])]) for name, part in self.parts.items()}
        return {**whole, **parts, "rest": whole["CPU"] - sum(parts.values())}


class Timed(Strategy):
    """Another strategy, timed."""

    def __init__(self, inner: Strategy, costs: Costs) -> None:
        super().__init__(inner.space)
        self.inner, self.costs = inner, costs

    def ahead(self) -> float:
        return self.inner.ahead()

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        with self.costs.of("ask"):
            return self.inner.ask(rng, pending)

    def tell(self, trial: Trial) -> None:
        with self.costs.of("tell"):
            self.inner.tell(trial)
        self.costs.ended()


class TimedLog(TrialLog):
    def __init__(self, path: Path, space: SearchSpace, costs: Costs) -> None:
        super().__init__(path, space)
        self.costs = costs

    def append(self, trial: Trial) -> None:
        with self.costs.of("log"):
            super().append(trial)


def search(spec: str, trials: int, seconds: float | None = None) -> dict[str, np.ndarray]:
    """Microseconds of every trial, in all and of its parts."""
    space, costs = MLP((1, 8, 8), 10, Budget(50_000)), Costs()
    strategy = Timed(make("strategies", spec, Strategy, space), costs)
    with TemporaryDirectory() as folder:
        log = TimedLog(Path(folder) / "trials.jsonl", space, costs)
        Study(strategy, log, Inline(Instant()), 0, trials, seconds).run()
        log.close()
    return costs.microseconds()


def measure(specs: Sequence[str], most: int, long: bool) -> str:
    """A line for each strategy and count; `long`: random goes on to `LONG`."""
    rows = []
    for spec in specs:
        found = search(spec, LONG, SECONDS) if long and spec == "random" else search(spec, most)
        number, first = len(found["CPU"]), 0.0
        for at in sorted({*(n for n in AT if n <= number), number}):
            window = {name: float(np.median(values[at - max(50, at // 10) : at])) for name, values in found.items()}
            first = first or window["CPU"]
            rows.append([spec, f"{at:,}", *(f"{v:.0f}" for v in window.values()), f"{window['CPU'] / first:.2f}"])
    return markdown(
        ["strategy", "at trial", "clock, µs", "CPU, µs", "ask", "tell", "log", "rest", "to the first"], rows
    )
