"""The terminal: one live bar where there is a terminal, a line for every new best where there is none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from nas.budget import format_size
from nas.events import Monitor
from nas.trial import Trial, best_first

BASELINE = "random search"  # the label of the arm that the search is compared with


class ProgressBar(Monitor):
    """Trials done, best so far and its size, trials a minute, time left. Every failure goes to the file `errors`."""

    def __init__(
        self, console: Console, label: str, trials: int | None, seconds: float | None, errors: Path, verbosity: int = 0
    ) -> None:
        self.console, self.label, self.trials, self.seconds = console, label, trials, seconds
        self.errors, self.verbosity = errors, verbosity
        self._best: Trial | None = None
        self._failed = False

    def started(self, history: Sequence[Trial]) -> None:
        self._began, self._new = time.monotonic(), 0
        self._before = max((t.elapsed for t in history), default=0.0)
        self._best = next(iter(best_first(history)), None)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("trials · {task.fields[best]} · {task.fields[rate]}"),
        )
        self._bar = Progress(*columns, console=self.console, transient=True, disable=self.verbosity < 0)
        self._task = self._bar.add_task(self.label, total=self.trials, completed=len(history), best="", rate="starting")
        if history:
            self._say(f"{self.label}: continuing after {len(history)} finished trials")
        self._refresh()
        if self.console.is_terminal:
            self._bar.start()

    def told(self, trial: Trial) -> None:
        self._new += 1
        new = bool(trial.values) and trial.copy_of is None
        better = new and (self._best is None or best_first([self._best, trial])[0] is trial)
        if better:
            self._best = trial
        if self.verbosity > 0 or (better and not self.console.is_terminal):
            self._say(f"{self.label}, trial {trial.number}: {self._words(trial)}")
        self._bar.advance(self._task)
        self._refresh()

    def failed(self, trial: Trial, trace: str) -> None:
        name = f"{BASELINE}, trial {trial.number}" if self.label == BASELINE else f"trial {trial.number}"
        with self.errors.open("a", encoding="utf-8") as file:  # both arms write there, and number from 0
            file.write(f"{name}: {trial.error}\n{trace}\n")
        if not self._failed and self.verbosity >= 0:
            self._failed = True
            self._bar.console.print(f"{name} failed: {trial.error}", style="yellow", markup=False)
            if trace and "NotFinite" not in (trial.error or ""):
                self._bar.console.print(trace, style="dim", markup=False, highlight=False)
            self._say(f"the search goes on; further failures are written to {self.errors}")

    def finished(self) -> None:
        self._bar.stop()

    def _say(self, line: str) -> None:
        if self.verbosity >= 0:
            self._bar.console.print(escape(line), highlight=False)

    def _words(self, trial: Trial) -> str:
        if trial.error is not None:
            return f"failed: {trial.error}"
        copy = f", the same as trial {trial.copy_of}" if trial.copy_of is not None else ""
        size = f"{format_size(trial.params)} parameters"
        company = trial.metrics.get("together", 1) if trial.copy_of is None else 1
        among = f", one of {company:g} trained together" if company > 1 else ""
        return f"{100 * trial.value:.2f} %, {size}, {trial.candidate.architecture}{copy}{among}"

    def _refresh(self) -> None:
        best = "no result yet"
        if self._best is not None:
            best = f"best {100 * self._best.value:.2f} % with {format_size(self._best.params)} parameters"
        self._bar.update(self._task, best=best, rate=self._rate())

    def _rate(self) -> str:
        running = time.monotonic() - self._began
        if not self._new:
            return "starting"
        left = [] if self.seconds is None else [self.seconds - self._before - running]
        if self.trials is not None:
            left.append((self.trials - (self._bar.tasks[0].completed)) * running / self._new)
        minutes, seconds = divmod(max(0, round(min(left))), 60)
        return f"{60 * self._new / running:.0f} a minute · {minutes}:{seconds:02d} left"
