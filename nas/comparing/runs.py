"""The searches of a comparison: each strategy with each seed, a run directory each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.checks import check
from nas.options import Options
from nas.problem import Problem
from nas.record import read_json
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
            params=int(read_json(result.folder / "config.json").get("parameters", result.best.params)),
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
    timed: bool = False  # whether each search has a time limit

    @classmethod
    def of(cls, path: Path, strategies: Sequence[str], first: int, seeds: int) -> Comparison:
        if odd := next((spec for spec in strategies if not isinstance(spec, str)), None):
            raise ValueError(f"strategies are compared by name, such as my_package.module:Class, got {odd!r}")
        if not isinstance(seeds, int) or seeds < 1:
            raise ValueError(f"seeds must be a whole number of at least 1, got {seeds!r}")
        if len(strategies) < 2:
            raise ValueError(f"a comparison is of at least two strategies, got {', '.join(strategies) or 'none'}")
        folders = [_folder(name) for name in strategies]
        if twice := next((name for name in strategies if folders.count(_folder(name)) > 1), None):
            raise ValueError(f"--strategy {twice} is given twice; give each strategy once")
        return cls(path, strategies, range(first, first + seeds))

    def options(self, given: Mapping[str, Any], strategy: str, seed: int) -> Options:
        """Of one of the searches. Raises `ValueError` for a mistake."""
        own = {"strategy": strategy, "seed": seed, "baseline": False}
        if odd := next((name for name in (*own, "out") if name in given), None):
            raise ValueError(
                f"{odd}={given[odd]!r} is no option of each search, for a comparison has several; leave it out"
            )
        own["out"] = self.path / _folder(strategy) / f"seed{seed}"
        return Options.of({"report": False, **given, **own})

    def run(self, given: Mapping[str, Any], search: Search, told: Callable[[str], None]) -> None:
        """Search with every strategy, seed by seed, so that what there is after an interruption can be compared.

        A search that is in the folder already is gone on with, which takes no time where it is finished.
        Raises `ValueError` for a mistake in any of the options before the first search.
        """
        each = [self.options(given, strategy, self.seeds[0]) for strategy in self.strategies]
        problems = [Problem.of(options) for options in each]
        self._check_limits(each[0])
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
                    told(f"seed {seed}, {strategy}: no network was trained to the end; see {result.path}")
                else:
                    self.found[strategy, seed] = found
                    told(f"seed {seed}, {strategy}: {100 * found.test:.2f} % of the test part, {found.trials} trials")

    def _check_limits(self, options: Options) -> None:
        """Searches that are there already are gone on with, but cannot be made shorter to be compared with others."""
        file, now = self.path / "comparison.json", [limit or 0 for limit in options.limits]
        trials, seconds = read_json(file).get("limits", now)
        if trials > now[0] or seconds > now[1] or (trials == 0) != (now[0] == 0) or (seconds == 0) != (now[1] == 0):
            limits = [f"{trials} trials"] * (trials > 0) + [f"{seconds:g} s"] * (seconds > 0)
            there = " and ".join(limits)
            raise ValueError(f"{self.path} holds searches of {there}; give as much or more, or another --out")
        self.path.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"limits": now}) + "\n", encoding="utf-8")
        self.timed = options.time is not None

    def of_strategy(self, strategy: str) -> list[Found]:
        return [self.found[strategy, seed] for seed in self.seeds if (strategy, seed) in self.found]


def _folder(strategy: str) -> str:
    """What the folder of its searches is called."""
    return re.sub(r"[^\w.]+", "_", strategy).strip("_")
