"""A search on the toy evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toy import Toy, line

from nas import plugins
from nas.executor import Workers
from nas.executors.inline import Inline
from nas.space import SearchSpace
from nas.store import TrialLog
from nas.strategy import Strategy
from nas.study import Study
from nas.trial import Trial

TRIALS = 12


class Search:
    """A study on the toy evaluator, its log in a folder: 12 trials unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "trials.jsonl"

    def __call__(
        self,
        strategy: str | Strategy = "random",
        *,
        space: SearchSpace | None = None,
        evaluator: Any = None,
        executor: Workers | None = None,
        **options: Any,
    ) -> list[Trial]:
        space = space or line()
        log = TrialLog(self.path, space)
        told = plugins.make("strategies", strategy, Strategy, space) if isinstance(strategy, str) else strategy
        limits = {} if "seconds" in options else {"trials": TRIALS}
        try:
            return Study(told, log, executor or Inline(evaluator or Toy()), **{"seed": 5, **limits, **options}).run()
        finally:
            log.close()

    @property
    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def keep(self, lines: list[bytes]) -> None:
        """Leave only these in the log."""
        self.path.write_bytes(b"".join(lines))
