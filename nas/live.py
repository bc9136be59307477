"""What a training says while it runs: a file of its own that it appends to, and a file beside it that stops it.

Files, not sockets: whoever can read the run directory can watch, from any process, at any time, and nothing waits for
whoever does not. What is lost here (a full disk) is lost to those who watch, never to the search.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.events import Monitor
from nas.trial import Trial, finite

LOOK = 0.25  # seconds between two looks for the file that stops


class Stopped(RuntimeError):
    """Somebody asked for this training to end."""


def by_hand(error: str | None) -> bool:
    """Whether the error of a trial, as the log has it, says that somebody stopped it."""
    return error is not None and error.startswith(f"{Stopped.__name__}:")


class Watch:
    """Told of each step and each epoch of a training; here of nothing. Raising `Stopped` ends it."""

    def step(self) -> None:
        """A step was taken."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch has ended; `row` is that of the learning curve."""


class Live(Watch):
    """Appends rows to `file`, the facts of the trial first; stops once `file` has a neighbour that ends in .stop."""

    def __init__(self, file: Path, facts: Mapping[str, Any]) -> None:
        self.file, self._stop = file, stop_file(file)
        self._next, self._epochs = 0.0, 0
        with suppress(OSError):
            file.write_text(json.dumps({**facts, "began": time.time()}) + "\n", encoding="utf-8")

    def step(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOOK
            if self._stop.exists():
                raise Stopped(f"stopped by hand in epoch {self._epochs + 1}")

    def epoch(self, row: Mapping[str, float]) -> None:
        self._epochs += 1
        with suppress(OSError), self.file.open("r+", encoding="utf-8") as file:  # not made anew once it is swept away
            file.seek(0, 2)
            file.write(json.dumps(finite(row)) + "\n")


def stop_file(file: Path) -> Path:
    """The file whose being there stops the training that writes `file`."""
    return file.with_suffix(".stop")


class Sweep(Monitor):
    """Removes the files of trainings that have ended: what they said is in the log by then."""

    def __init__(self, live_of: Callable[[int], Path]) -> None:
        self._live_of = live_of

    def started(self, history: Sequence[Trial]) -> None:
        self.finished()  # what crashes have left

    def told(self, trial: Trial) -> None:
        file = self._live_of(trial.number)
        for left in (file, stop_file(file)):
            left.unlink(missing_ok=True)

    def finished(self) -> None:
        for left in self._live_of(0).parent.iterdir():
            left.unlink(missing_ok=True)
