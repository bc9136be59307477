"""Do shared weights rank networks as training them does, and is a search with them worth its time?

Networks are drawn from a space, all to be trained by the same recipe, and trained by themselves with several seeds: the
mean is the truth. They are then ranked by what costs less: shared weights (trained on other draws of the space), few
epochs of training by themselves, the number of parameters. Kendall's tau and Spearman's rho against the truth, the
processor time of training and evaluating them all, and what the best five by each are truly worth. The last line is
how far one full training of each agrees with the truth of other seeds: no ranking can be expected to do much better.

    python -m benchmarks.one_shot                                    # mlp and cell on digits
    python -m benchmarks.one_shot --space mlp:max_depth=5 --budget 200K --data hw1p2:DIR --sample 0.1
    python -m benchmarks.one_shot --space cell:nodes=3,max_repeats=1 --budget 50K --data imagefolder:DIR,size=16
    python -m benchmarks.one_shot --searches 5 --time 60s            # whole searches of equal time instead
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy import stats

import nas
from benchmarks.tables import interval, markdown
from nas.evaluate import Stopping
from nas.job import Job
from nas.oneshot.evaluator import OneShot
from nas.oneshot.lesson import Lesson
from nas.oneshot.rounds import MANY, POOL
from nas.options import Options
from nas.problem import Problem
from nas.space import Candidate
from nas.train.fused.plan import together

TASKS = (("mlp", "50K", "digits"), ("cell:nodes=3,max_repeats=1", "30K", "digits"))
FEW = (1, 2, 4, 8)  # epochs
BEST, TOGETHER = 5, 16
SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random"},
    "evolution": {"strategy": "evolution"},
    "random, one-shot": {"strategy": "random", "one_shot": True},
    "evolution, one-shot": {"strategy": "evolution", "one_shot": True},
    "reinforce, one-shot": {"strategy": "reinforce", "one_shot": True},
    "reinforce, one-shot, 4 rounds": {"strategy": "reinforce", "one_shot": "rounds=4"},
}

Scores = np.ndarray  # of each network, (n,)


class Ranking:
    """Networks of a space, and how others rank them."""

    def __init__(self, options: Options, number: int, epochs: int, seeds: int) -> None:
        self.problem, self.number, self.epochs = Problem.of(options), number, epochs
        self.evaluator = OneShot(self.problem.load(), Stopping(epochs, epochs), sample=options.sample)
        self.evaluator.prepare("cpu")
        self.candidates = self._drawn(number, 1)
        self.runs = np.array([self.alone(epochs, seed) for seed in range(seeds)])  # (seeds, n)

    def _drawn(self, number: int, seed: int) -> list[Candidate]:
        found: dict[Any, Candidate] = {}
        for n in count():
            if len(found) == number:
                break
            candidate = self.problem.space.sample(np.random.default_rng((seed, n)))
            found.setdefault(candidate.key, candidate)
        return list(found.values())

    def alone(self, epochs: int, seed: int) -> Scores:
        """Validation accuracy after the last of so many epochs by themselves."""
        self.evaluator.stopping = Stopping(epochs, epochs)
        groups: dict[Any, list[Job]] = {}
        for n, candidate in enumerate(self.candidates):
            alike, most = together(candidate)
            groups.setdefault(alike if most > 1 else n, []).append(Job(n, candidate, 1000 + seed))
        values = np.zeros(self.number)
        for jobs in groups.values():
            for part in (jobs[n : n + TOGETHER] for n in range(0, len(jobs), TOGETHER)):
                for job, found in zip(part, self.evaluator.together(part), strict=True):
                    values[job.number] = 0.0 if isinstance(found, Exception) else found.values[0]
        return values

    def shared(self, epochs: int, seed: int) -> Scores:
        """Validation accuracy with weights that were shared for so many epochs."""
        pool = tuple(candidate.architecture for candidate in self._drawn(POOL, 100 + seed))
        with TemporaryDirectory() as name:
            weights, state = Path(name) / "weights.safetensors", Path(name) / "state.pt"
            recipe = self.candidates[0].recipe
            self.evaluator.teach(Lesson(pool, recipe, seed, epochs, epochs, state, weights))
            jobs = [Job(n, candidate, 0, shared=weights) for n, candidate in enumerate(self.candidates)]
            return np.array([self.evaluator(job).values[0] for job in jobs])

    def row(
        self,
        name: str,
        rank: Callable[[int], Scores],
        seeds: int = 1,
        *,
        first: int = 0,
        truth: Scores | None = None,
    ) -> list[str]:
        """A line of the table; with several seeds their mean and its interval."""
        truth, began = self.runs.mean(0) if truth is None else truth, time.process_time()
        found = [rank(seed) for seed in range(first, first + seeds)]
        spent = (time.process_time() - began) / seeds
        figures = [
            [stats.kendalltau(scores, truth).statistic for scores in found],
            [stats.spearmanr(scores, truth).statistic for scores in found],
            [100 * truth[np.argsort(-scores, kind="stable")[:BEST]].mean() for scores in found],
        ]
        places = (2, 2, 1)
        shown = [_mean(values, digits) for values, digits in zip(figures, places, strict=True)]
        return [name, *shown, f"{spent:.0f}"]


def _mean(values: Sequence[float], digits: int) -> str:
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    mean, half = interval(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def rank(task: tuple[str, str, str], args: argparse.Namespace) -> None:
    """Print the table of a task."""
    space, budget, data = task
    given = {"space": space, "budget": budget, "data": data, "sample": args.sample, "one_shot": True}
    ranking = Ranking(Options.of(given), args.networks, args.epochs, args.seeds)
    truth = 100 * ranking.runs.mean(0)
    sizes = np.array([float(candidate.architecture.num_params) for candidate in ranking.candidates])
    number, (best, mean) = len(truth), (np.sort(truth)[-BEST:].mean(), truth.mean())
    alone = [few for few in FEW if few < args.epochs]
    rows = [
        *(ranking.row(f"shared, {n} epochs", partial(ranking.shared, n), args.seeds) for n in args.shared),
        *(ranking.row(f"alone, {n} epochs", partial(ranking.alone, n), 1, first=50) for n in alone),
        ranking.row("parameters", lambda seed: sizes),
        ranking.row(f"alone, {args.epochs} epochs", lambda seed: ranking.runs[0], truth=ranking.runs[1:].mean(0)),
    ]
    print(
        f"\n{space}, at most {budget} parameters, {data}: {number} networks, {args.epochs} epochs, {args.seeds} seeds;"
    )
    print(f"accuracy {mean:.1f} ± {truth.std():.1f} (standard deviation), of the best five {best:.1f}.\n")
    print(markdown(["ranked by", "Kendall's tau", "Spearman's rho", "best five, %", "seconds"], rows))


def search(task: tuple[str, str, str], args: argparse.Namespace) -> None:
    """Print what whole searches of equal time come to."""
    space, budget, data = task
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SEARCHES}
    for seed in range(args.searches):
        for name, options in SEARCHES.items():  # by turns: a busy machine is busy for all
            with TemporaryDirectory() as folder:
                how = {"time": args.time, "seed": seed, "workers": args.workers, "report": False, **options}
                result = nas.search(space, budget, data, **how, out=Path(folder) / "run")
                assert result.test_accuracy is not None
                found[name].append((100 * result.finalists[0].mean, 100 * result.test_accuracy))
    first = np.array(found["random"])
    rows = []
    for name, values in ((name, np.array(values)) for name, values in found.items()):
        shown = ["{:.2f} ± {:.2f}".format(*interval(values[:, n])) for n in (0, 1)]
        ahead = "" if name == "random" else "{:+.2f} ± {:.2f}".format(*interval(values[:, 1] - first[:, 1]))
        rows.append([name, *shown, ahead])
    print(f"\n{space}, at most {budget} parameters, {data}: {args.time} each, {args.searches} seeds.\n")
    print(markdown(["search", "final training, validation %", "test %", "test, ahead of random"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--space", help="instead of mlp and cell")
    parser.add_argument("--budget", default="50K")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--sample", type=float, default=1.0, help="share of the training part")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=12, help="of the networks by themselves")
    parser.add_argument("--shared", type=int, nargs="+", default=[MANY * 8], help="of the shared weights")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--searches", type=int, metavar="SEEDS", help="whole searches, of so many seeds, instead")
    parser.add_argument("--time", default="60s", help="of each search")
    parser.add_argument("--workers", default="auto")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for task in [(args.space, args.budget, args.data)] if args.space else TASKS:
        (search if args.searches else rank)(task, args)


if __name__ == "__main__":
    main()
