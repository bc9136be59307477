"""What is sent to a worker, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

from nas.candidate import Candidate
from nas.live import Live, Watch
from nas.trial import Row
from nas.weights import snapshot_file


@dataclass(frozen=True)
class Member:
    """A trained network of an ensemble: what it computes, where its weights are, and its share of the mean."""

    candidate: Candidate
    weights: Path
    share: float = 1.0


@dataclass(frozen=True)
class Teacher:
    """Members that teach together, their probabilities softened by a temperature."""

    members: tuple[Member, ...]
    temperature: float

    @property
    def number(self) -> int:
        """What it is told by from other teachers, in the log."""
        said = sorted((m.weights.parent.name, m.weights.name, m.candidate.key[0], m.share) for m in self.members)
        return crc32(repr((said, self.temperature)).encode())


@dataclass(frozen=True)
class Job:
    """Evaluate a candidate. The weights go to `weights` if the value is at least `beat`; rows, as they come, to `live`.

    `final`: train on the whole training part, once, to the last epoch, which is kept; not on a sample or in folds, and
    not to the best epoch, as the search may. A candidate with a horizon is trained for its fidelity from the checkpoint
    `before`, or from scratch where that is of no use; the checkpoint `after` is for those who train it on.
    """

    number: int
    candidate: Candidate
    seed: int
    weights: Path | None = None
    order: int | None = None  # the seed of the order of the samples; None: of `seed`, as all else
    beat: float = float("-inf")
    final: bool = False
    live: Path | None = None
    snapshots: bool = False  # leave more weights beside `weights`: see `nas.train.snapshots`
    teacher: Teacher | None = None
    before: Path | None = None
    after: Path | None = None
    shared: Path | None = None  # weights that many networks share, to be evaluated with and not trained

    def watch(self) -> Watch:
        """What is told of the training while it runs."""
        if self.live is None:
            return Watch()
        return Live(self.live, {"number": self.number, **self.candidate.to_json(), "seed": self.seed})

    def checkpoints(self, fold: int) -> tuple[Path | None, Path | None]:
        """`before` and `after` for a fold, counted from 1."""
        before, after = (
            path if path is None or fold == 1 else snapshot_file(path, f"fold{fold}")
            for path in (self.before, self.after)
        )
        return before, after


@dataclass(frozen=True)
class Outcome:
    """The objectives (to be maximised), facts about the training, and one row an epoch."""

    values: tuple[float, ...]
    metrics: Row
    curve: tuple[Row, ...] = ()


class Evaluator(Protocol):
    """What runs on a worker. Prepared once a worker, then called for every job; an exception is a failed trial.

    Where it has an attribute `spoilt` that is true after a job, its process is replaced.
    """

    def prepare(self, device: str) -> None: ...

    def __call__(self, job: Job) -> Outcome: ...


def evaluate(evaluator: Evaluator, job: Job) -> Outcome:
    """What is submitted to a worker."""
    return evaluator(job)


def evaluate_all(evaluator: Any, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome | Exception]]:
    """Several jobs of an evaluator that has a `together`: as each ends its position, and what came of it.

    A job by itself raises its exception, as in `evaluate`.
    """
    from nas.executor import JobFailed

    if len(jobs) == 1:
        yield 0, evaluator(jobs[0])
        return
    for position, found in evaluator.together(jobs):
        yield position, JobFailed.of(found) if isinstance(found, Exception) else found
