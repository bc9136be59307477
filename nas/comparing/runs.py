"""The searches of a comparison: each strategy with each seed, a run directory each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.checks import check
from nas.options import Options
from nas.problem import Problem
from nas.result import Result
from nas.trial import best_first

Search = Callable[[Options], Result]


@dataclass(frozen=True)
class Found:
    """What a search has come to. `test` is the accuracy of what it hands over, `searched` the best of its trials."""

    strategy: str
    seed: int
    test: float
    searched: float
    params: int
    trials: int
    epochs: float
    seconds: float  # of the search
    path: Path
    course: tuple[tuple[float, float], ...]  # of each trial when it ended, in seconds, and the best until then

    @classmethod
    def of(cls, strategy: str, seed: int, result: Result) -> Found | None:
        """None where nothing is handed over that could be tested."""
        ranked = best_first(result.trials)
        if not ranked or result.test_accuracy is None:
            return None
        course, best = list[tuple[float, float]](), float("nan")
        for trial in sorted(result.trials, key=lambda trial: trial.elapsed):
            best = max(trial.value, best) if trial.values else best
            course.append((round(trial.elapsed, 3), best))  # as the log has it
        return cls(
            strategy=strategy,
            seed=seed,
            test=result.test_accuracy,
            searched=ranked[0].value,
            params=result.best.params,
            trials=len(result.trials),
            epochs=sum(trial.metrics.get("epochs", 0.0) for trial in result.trials),
            seconds=course[-1][0],
            path=result.path,
            course=tuple(course),
        )


@dataclass
class Comparison:
    """What has been found so far, in the folder `path`; the first of `strategies` is what others are compared with."""

    path: Path
    strategies: Sequence[str]
    seeds: Sequence[int]
    found: dict[tuple[str, int], Found] = field(default_factory=dict)
    failed: list[tuple[str, int]] = field(default_factory=list)
    interrupted: bool = False

    @classmethod
    def of(cls, path: Path, strategies: Sequence[str], first: int, seeds: int) -> Comparison:
        if odd := next((spec for spec in strategies if not isinstance(spec, str)), None):
            raise ValueError(f"strategies are compared by name, such as my_package.module:Class, got {odd!r}")
        if seeds < 1:
            raise ValueError(f"seeds must be a number of at least 1, got {seeds}")
        if len(strategies) < 2:
            raise ValueError(f"a comparison is of at least two strategies, got {', '.join(strategies) or 'none'}")
        if twice := next((name for name in strategies if strategies.count(name) > 1), None):
            raise ValueError(f"--strategy {twice} is given twice; give each strategy once")
        return cls(path, strategies, range(first, first + seeds))

    def options(self, given: Mapping[str, Any], strategy: str, seed: int) -> Options:
        """Of one of the searches. Raises `ValueError` for a mistake."""
        folder = self.path / re.sub(r"[^\w.]+", "_", strategy).strip("_") / f"seed{seed}"
        own = {"strategy": strategy, "seed": seed, "baseline": False, "out": folder}
        return Options.of({"report": False, **given, **own})

    def run(self, given: Mapping[str, Any], search: Search, told: Callable[[str], None]) -> None:
        """Search with every strategy, seed by seed, so that what there is after an interruption can be compared.

        A search that is in the folder already is gone on with, which takes no time where it is finished.
        Raises `ValueError` for a mistake in any of the options before the first search.
        """
        problems = [Problem.of(self.options(given, strategy, self.seeds[0])) for strategy in self.strategies]
        for warning in check(problems[0].load()):
            told(f"warning: {warning}")
        for seed in self.seeds:
            for strategy in self.strategies:
                result = search(self.options(given, strategy, seed))
                self.interrupted = result.interrupted
                if result.interrupted:
                    return
                found = Found.of(strategy, seed, result)
                if found is None:
                    self.failed.append((strategy, seed))
                    told(f"seed {seed}, {strategy}: no network was trained to the end; see {result.path}/errors.log")
                else:
                    self.found[strategy, seed] = found
                    told(f"seed {seed}, {strategy}: {100 * found.test:.2f} % of the test part, {found.trials} trials")

    def of_strategy(self, strategy: str) -> list[Found]:
        return [self.found[strategy, seed] for seed in self.seeds if (strategy, seed) in self.found]
