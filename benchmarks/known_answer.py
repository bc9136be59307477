"""Do evolution and reinforce beat random where the answer is known?

The problem: the MLP space on 64 inputs and 10 classes, at most 1M parameters. A network T is drawn from the space and
hidden. The score of a candidate is the mean, over T's decisions, of how well it agrees: 1 where equal, `exp(-|log
ratio|)` for two positive numbers, 0 where different or absent. The known best is 1.0. Nothing is trained, so twenty
seeds (another T each) of 500 trials take minutes.

`--noise 0.02` adds Gaussian noise to what the strategy is told, as real accuracies have it; what is reported is then
the score without noise of the network that looks best with it. All strategies see the same T and the same chance.

    python -m benchmarks.known_answer
    python -m benchmarks.known_answer --noise 0.02
    python -m benchmarks.known_answer --strategies random evolution evolution:population=50,sample=10 --seeds 10
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from math import exp, log

import numpy as np
import torch

from benchmarks.tables import interval, markdown
from nas.budget import Budget
from nas.ops import Scalar
from nas.plugins import make, names
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial
from search_spaces.mlp import MLP

CHECKPOINTS = (32, 50, 64, 100, 200, 500)
BASELINE = "random"
Score = Callable[[Candidate], float]


def hidden_optimum(space: SearchSpace, seed: int) -> Score:
    """The score of which a network drawn with `seed` is the best, at 1.0."""
    drawn = space.sample(np.random.default_rng((99, seed)))
    decisions = {choice.name: choice.value for choice in drawn.choices if len(choice.options) > 1}

    def score(candidate: Candidate) -> float:
        values = candidate.values
        return sum(agreement(values.get(name), wanted) for name, wanted in decisions.items()) / len(decisions)

    return score


def agreement(value: Scalar | None, wanted: Scalar) -> float:
    """1 where equal, `exp(-|log ratio|)` for two positive numbers, else 0."""
    if _positive(value) and _positive(wanted):
        return exp(-abs(log(value / wanted)))  # type: ignore[operator]  # both are numbers here
    return float(value is not None and value == wanted)


def play(strategy: Strategy, score: Score, seed: int, trials: int, noise: float) -> tuple[np.ndarray, float]:
    """Scores of the incumbent after each trial, (trials,), and milliseconds a trial spent in ask and tell."""
    incumbents = np.empty(trials)
    best_told, best_score, seconds = -np.inf, 0.0, 0.0
    for number in range(trials):
        start = time.perf_counter()
        candidate = strategy.ask(np.random.default_rng((seed, number)), ())
        seconds += time.perf_counter() - start
        true = score(candidate)
        told = true + noise * float(np.random.default_rng((seed, number, 1)).standard_normal())
        if told > best_told:
            best_told, best_score = told, true
        incumbents[number] = best_score
        start = time.perf_counter()
        strategy.tell(Trial(number, candidate, 0, (told,)))
        seconds += time.perf_counter() - start
    return incumbents, 1000 * seconds / trials


def compare(
    specs: Sequence[str], seeds: Sequence[int], trials: int, noise: float
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Of each strategy the incumbents' scores, (seeds, trials), and milliseconds a trial. Interleaved by seed."""
    space = MLP((64,), 10, Budget(1_000_000))
    results: dict[str, list[tuple[np.ndarray, float]]] = {spec: [] for spec in specs}
    for seed in seeds:
        score = hidden_optimum(space, seed)
        for spec in specs:
            results[spec].append(play(make("strategies", spec, Strategy, space), score, seed, trials, noise))
    scores = {spec: np.array([incumbents for incumbents, _ in runs]) for spec, runs in results.items()}
    return scores, {spec: float(np.mean([ms for _, ms in runs])) for spec, runs in results.items()}


def report(scores: dict[str, np.ndarray], ms: dict[str, float]) -> str:
    """Two tables: the best so far, and how far it is ahead of random on the same seeds."""
    trials = next(iter(scores.values())).shape[1]
    points = [n for n in CHECKPOINTS if n <= trials]
    best = [
        [spec, *("{:.3f} ± {:.3f}".format(*interval(s[:, n - 1])) for n in points), f"{ms[spec]:.1f}"]
        for spec, s in scores.items()
    ]
    tables = [markdown(["best so far after", *map(str, points), "ms/trial"], best)]
    if BASELINE in scores:
        ahead = [
            [spec, *(_ahead(s[:, n - 1] - scores[BASELINE][:, n - 1]) for n in points)]
            for spec, s in scores.items()
            if spec != BASELINE
        ]
        tables.append(markdown([f"ahead of {BASELINE} after", *map(str, points)], ahead))
    return "\n\n".join(tables)


def _ahead(differences: np.ndarray) -> str:
    """Mean difference, its interval, and the share of seeds in which it is above zero."""
    return "{:+.3f} ± {:.3f}, {:.0%}".format(*interval(differences), float(np.mean(differences > 0)))


def _positive(value: Scalar | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--strategies", nargs="+", metavar="SPEC", help="default: every file in strategies/")
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="figures are on 0-19; 100 and up chose the defaults")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--noise", type=float, default=0.0, metavar="SIGMA")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    scores, ms = compare(args.strategies or names("strategies"), seeds, args.trials, args.noise)
    print(f"{args.seeds} seeds from {args.first_seed}, noise {args.noise:g}; mean ± 95 % t-interval over seeds.\n")
    print(report(scores, ms))


if __name__ == "__main__":
    main()
