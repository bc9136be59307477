"""Do shared weights rank networks as training each by itself does?

A seed draws networks from a space, all to be trained by one recipe, and trains each by itself, several times: the mean
validation accuracy after the last epoch is the truth. Kendall's tau with it, of what costs less: weights shared with
other draws of the space, as few epochs by itself as cost as much, the number of parameters. The last line is one more
full training of each: no ranking can be expected to do better. A mean over seeds has its 95 % interval; each seed has
networks, trainings and shared weights of its own. Seconds are of the processor, for all networks of a seed.

    python -m benchmarks.one_shot                                                       # mlp on digits
    python -m benchmarks.one_shot --space cell:nodes=3,max_repeats=1 --networks 20 --epochs 8
    python -m benchmarks.one_shot --space mlp --budget 200K --data hw1p2:DIR --sample 0.1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy import stats

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

BEST = 3
TOGETHER = 16  # networks that are trained as one, where the space has such
Scores = np.ndarray  # of each network, (n,)


class Networks:
    """Those that a seed draws, and what each way to rank them makes of them."""

    def __init__(self, problem: Problem, evaluator: OneShot, number: int, seed: int) -> None:
        self.problem, self.evaluator, self.seed = problem, evaluator, seed
        self.candidates = self._drawn(number, 1)
        self.sizes = np.array([float(candidate.architecture.num_params) for candidate in self.candidates])

    def _drawn(self, number: int, stream: int) -> list[Candidate]:
        """So many different ones."""
        drawn = (self.problem.space.sample(np.random.default_rng((self.seed, stream, n))) for n in count())
        found: dict[object, Candidate] = {}
        for candidate in islice(drawn, 20 * number):
            if len(found) < number:
                found.setdefault(candidate.key, candidate)
        return list(found.values())

    def alone(self, epochs: int, run: int) -> Scores:
        """Validation accuracy after the last of so many epochs by themselves."""
        self.evaluator.stopping = Stopping(epochs, epochs)
        groups: dict[object, list[Job]] = {}
        for n, candidate in enumerate(self.candidates):
            alike, most = together(candidate)
            groups.setdefault(alike if most > 1 else n, []).append(Job(n, candidate, 1000 * self.seed + run))
        values = np.zeros(len(self.candidates))
        for jobs in groups.values():
            for part in (jobs[n : n + TOGETHER] for n in range(0, len(jobs), TOGETHER)):
                for position, found in self.evaluator.together(part):
                    if not isinstance(found, Exception):  # a training that diverges is worth nothing
                        values[part[position].number] = found.curve[-1]["val_accuracy"]
        return values

    def shared(self, epochs: int) -> Scores:
        """Validation accuracy with weights that other networks have shared for so many epochs."""
        pool = tuple(candidate.architecture for candidate in self._drawn(POOL, 2))
        with TemporaryDirectory() as name:
            weights, state = Path(name) / "weights.safetensors", Path(name) / "state.pt"
            self.evaluator.teach(Lesson(pool, self.candidates[0].recipe, self.seed, epochs, epochs, state, weights))
            jobs = [Job(n, candidate, 0, shared=weights) for n, candidate in enumerate(self.candidates)]
            return np.array([self.evaluator(job).values[0] for job in jobs])


def timed(scores: Callable[[], Scores]) -> tuple[Scores, float]:
    """With the seconds of the processor that they took."""
    began = time.process_time()
    return scores(), time.process_time() - began


def ranked(networks: Networks, args: argparse.Namespace) -> tuple[Scores, dict[str, tuple[Scores, float]]]:
    """The truth of a seed, and by each way the scores and their cost."""
    truth = np.mean([networks.alone(args.epochs, run) for run in range(args.runs)], 0)
    first, each = timed(lambda: networks.alone(1, 100))
    shared, cost = timed(lambda: networks.shared(args.shared))
    few = max(1, min(args.epochs, round(cost / each)))
    return truth, {
        f"shared weights, {args.shared} epochs": (shared, cost),
        "parameters": (networks.sizes, 0.0),
        "each alone, 1 epoch": (first, each),
        "each alone, at the cost of shared weights": timed(lambda: networks.alone(few, 101)),
        f"each alone, {args.epochs} epochs": timed(lambda: networks.alone(args.epochs, 102)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--space", default="mlp")
    parser.add_argument("--budget", default="20K")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--sample", type=float, default=1.0, help="share of the training part")
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=32, help="of the networks by themselves")
    parser.add_argument("--runs", type=int, default=2, help="full trainings of each, whose mean is the truth")
    parser.add_argument("--shared", type=int, default=MANY * 8, help="epochs of the shared weights")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    given = {name: getattr(args, name) for name in ("space", "budget", "data", "sample")}
    problem = Problem.of(Options.of({**given, "one_shot": True}))
    evaluator = OneShot(problem.load(), Stopping(args.epochs, args.epochs), sample=args.sample)
    evaluator.prepare("cpu")
    problem = problem.sized(evaluator.searched[0].samples)
    found: dict[str, list[tuple[float, float, float]]] = {}  # tau, truth of the best few in %, seconds
    truths = []
    for seed in range(args.seeds):
        truth, ways = ranked(Networks(problem, evaluator, args.networks, seed), args)
        truths.append(100 * np.sort(truth))
        for name, (scores, seconds) in ways.items():
            best = 100 * truth[np.argsort(-scores, kind="stable")[:BEST]].mean()
            found.setdefault(name, []).append((stats.kendalltau(scores, truth).statistic, best, seconds))
    print(
        f"{args.space}, at most {args.budget} parameters, {args.data}: {args.seeds} times {args.networks} networks, of"
    )
    top = np.mean([values[-BEST:] for values in truths])
    print(f"{np.mean(truths):.1f} % (standard deviation {np.std(truths):.1f}), the best {BEST} of {top:.1f} %.\n")
    rows = []
    for name, values in found.items():
        (tau, half), (best, reach) = (interval([value[n] for value in values]) for n in (0, 1))
        seconds = sum(value[2] for value in values) / len(values)
        rows.append([name, f"{tau:.2f} ± {half:.2f}", f"{best:.1f} ± {reach:.1f}", f"{seconds:.0f}"])
    print(markdown(["ranked by", "Kendall's tau", f"its best {BEST}, truly, %", "seconds"], rows))


if __name__ == "__main__":
    main()
