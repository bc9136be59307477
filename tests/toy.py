"""What the tests of a run share: small spaces, an evaluator that computes instead of training, jobs for workers.

Workers import this module by its name, so nothing here may depend on pytest.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from zlib import crc32

import numpy as np

from nas.architecture import Architecture, Sketch
from nas.budget import Choose
from nas.dataset import Arrays, Dataset, Source
from nas.executor import JobFailed, Workers
from nas.job import Evaluator, Job, Outcome
from nas.ops import Shape
from nas.recipe import Recipe
from nas.space import Candidate, SearchSpace
from nas.trial import Trial

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"  # real data, absent from most machines


class Line(SearchSpace):
    """168 candidates: one to three hidden layers, two learning rates."""

    def describe(self, choose: Choose) -> Architecture:
        net = Sketch(self.input_shape)
        x = net("flatten", net.input)
        for i in range(int(choose("depth", (1, 2, 3)))):
            x = net("relu", net("linear", x, out=int(choose(f"width{i}", (4, 8, 16, 32)))))
        return net.done(net("linear", x, out=self.classes))

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe(lr=float(choose("lr", (1e-3, 1e-2))))


class Single(SearchSpace):
    """One network, one way to train it."""

    def describe(self, choose: Choose) -> Architecture:
        net = Sketch(self.input_shape)
        return net.done(net("linear", net("flatten", net.input), out=self.classes))

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe()


class Diverging(Line):
    """No training of it comes to an end."""

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe("sgd", float("inf"), schedule="constant")


class Ring(Source):
    """Two rings, one inside the other."""

    def task(self) -> tuple[Shape, int]:
        return (2,), 2

    def load(self, seed: int) -> Dataset:
        t, y = np.linspace(0, 40, 200), np.arange(200) % 2
        return Arrays(np.stack([(y + 1) * np.cos(t), (y + 1) * np.sin(t)], 1), y, "ring").load(seed)


def line() -> Line:
    return Line((6,), 3)


def score(candidate: Candidate) -> float:
    """Of any candidate something in 0..1, the same in every process."""
    return crc32(repr(sorted(candidate.values.items())).encode()) / 2**32


def fails(candidate: Candidate) -> bool:
    """A sixth of the networks; a pure function, so that they fail again after a resume."""
    return crc32(repr(candidate.values).encode()) % 6 == 0


class Toy:
    """An evaluator: the value is computed from the choices, at once. `jobs` are those that it was given."""

    def __init__(self, *, failing: bool = True) -> None:
        self.failing, self.prepared, self.devices = failing, 0, []
        self.jobs: list[Job] = []

    def prepare(self, device: str) -> None:
        self.prepared += 1
        self.devices.append(device)

    def __call__(self, job: Job) -> Outcome:
        self.jobs.append(job)
        if self.failing and fails(job.candidate):
            raise ArithmeticError("this network does not converge")
        seconds = random.random()  # the one figure that no two trainings have in common
        if job.weights is not None and score(job.candidate) >= job.beat:
            job.weights.write_text(str(job.number))
        metrics = {"job_seed": job.seed, "epochs": 1, "seconds": seconds}
        return Outcome((score(job.candidate),), metrics, ({"epoch": 1, "seconds": seconds},))


class Shuffled(Workers):
    """Two slots (or more) in this process. It stands in for the queue of what has ended, too: to look is to end a job.

    Which one is up to the seed.
    """

    def __init__(self, evaluator: Evaluator, slots: int = 2, seed: int = 0) -> None:
        self.evaluator, self.slots, self.rng = evaluator, slots, random.Random(seed)
        self.open: dict[Future[Any], tuple[Any, ...]] = {}
        self.ended: SimpleQueue[Any] = SimpleQueue()
        self.put, self.get_nowait = self.ended.put, self.ended.get_nowait
        self.most = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.open[future] = (fn, *args)
        self.most = max(self.most, len(self.open))
        return future

    def get(self, timeout: float | None = None) -> Any:
        while self.ended.empty():
            self._end(self.rng.choice(list(self.open)))
        return self.ended.get_nowait()

    def _end(self, future: Future[Any]) -> None:
        fn, *args = self.open.pop(future)
        try:
            future.set_result(fn(self.evaluator, *args))
        except Exception as error:
            future.set_exception(JobFailed(str(error), "the trace"))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def timeless(trials: Sequence[Trial | dict[str, Any]]) -> list[dict[str, Any]]:
    """Trials as JSON, by number, without what a clock has measured."""
    found = [json.loads(json.dumps(t.to_json() if isinstance(t, Trial) else t)) for t in trials]
    for row in found:
        for figures in (row, row["metrics"], *row["curve"]):
            for name in ("elapsed", "ended", "seconds"):
                figures.pop(name, None)
    return sorted(found, key=lambda row: row["number"])


def environment() -> dict[str, str]:
    """Of a subprocess that is to import `nas` and this module from the tree under test."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "PYTHONWARNINGS": "error"}


def command(*arguments: str) -> list[str]:
    """The command line of a search; without its report, which takes longer than most of them."""
    return [sys.executable, "-m", "nas.search", *(["--no-report"] if arguments else []), *arguments]


def assert_refused(status: int, captured: Any, said: str) -> None:
    """A command line has refused a mistake: status 2, and one sentence that holds `said`, on standard error alone."""
    assert status == 2
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()  # no such file system: the signal's word for it


def gone(pids: Iterable[int], seconds: float) -> bool:
    """Whether all these processes end within some seconds."""
    limit = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


# Jobs: functions of the evaluator, as `Workers.submit` takes them.


def add(evaluator: Toy, a: int, b: int = 0) -> int:
    return a + b


def boom(evaluator: Toy, word: str) -> None:
    raise LookupError(word)


def leave(evaluator: Toy, status: int) -> None:
    os._exit(status)


def be_killed(evaluator: Toy) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pid(evaluator: Toy, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return os.getpid()


def threads(evaluator: Toy) -> int:
    import torch

    return torch.get_num_threads()


def prepared(evaluator: Toy) -> int:
    return evaluator.prepared


def device(evaluator: Toy) -> list[str]:
    return list(evaluator.devices)


def not_to_be_sent(evaluator: Toy) -> Any:
    return lambda: None


def touch(evaluator: Toy, path: str, seconds: float) -> int:
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)
    return os.getpid()
