"""What watches a search: told of its events, never able to slow it down, change it or end it."""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.trial import Trial


class Monitor:
    """Override what you need. A monitor that raises says so once and is dropped.

    A file in `nas/monitors/` with a subclass that has `HELP` is an option of the command line, named like the file.
    """

    HELP = ""  # what the option does
    VALUE = ""  # what may follow the option, a word such as PORT; '' where nothing may
    apart = False  # whether it sees to a process of its own; others are given one
    notice = ""  # a line for the user at the start, such as where to look

    @classmethod
    def of(cls, value: str, path: Path, config: Mapping[str, Any]) -> Monitor:
        """From the option's value ('' where none was given), the run directory and what config.yaml holds.

        Raises `ValueError`, before anything is trained, where the monitor cannot do its work.
        """
        raise NotImplementedError(f"{cls.__name__} is no option")  # asked of monitors with a `HELP` alone

    def entered(self, phase: str) -> None:
        """What follows is of `search`, `random` (search at equal cost), `final` or `distilled` (trainings), `test`."""

    def started(self, history: Sequence[Trial]) -> None:
        """A phase begins; `history` are the trials of earlier sessions."""

    def told(self, trial: Trial) -> None:
        """A trial has ended."""

    def failed(self, trial: Trial, trace: str) -> None:
        """After `told`, for a trial with an error; `trace` is the worker's traceback, '' where there is none."""

    def finished(self) -> None:
        """A phase has ended."""

    def closed(self, path: Path) -> None:
        """Everything has ended, and is in the run directory `path`."""


class Broadcast(Monitor):
    """Tells several monitors. One that breaks says so once and is dropped."""

    def __init__(self, monitors: Iterable[Monitor]) -> None:
        self._told = list(monitors)

    def entered(self, phase: str) -> None:
        self._tell("entered", phase)

    def started(self, history: Sequence[Trial]) -> None:
        self._tell("started", history)

    def told(self, trial: Trial) -> None:
        self._tell("told", trial)

    def failed(self, trial: Trial, trace: str) -> None:
        self._tell("failed", trial, trace)

    def finished(self) -> None:
        self._tell("finished")

    def closed(self, path: Path) -> None:
        self._tell("closed", path)

    def _tell(self, event: str, *facts: Any) -> None:
        for monitor in list(self._told):
            try:
                getattr(monitor, event)(*facts)
            except Exception as error:
                self._told.remove(monitor)
                logging.getLogger("nas").warning("%s is dropped: %s", type(monitor).__name__, public(repr(error)))


class Queued(Broadcast):
    """Tells one monitor from a thread of its own, in order, so that a slow one costs the search nothing.

    At the end it is waited for, but no longer than `patience` seconds.
    """

    def __init__(self, monitor: Monitor, patience: float = 30.0) -> None:
        super().__init__([monitor])
        self._name, self._patience = type(monitor).__name__, patience
        self._events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"nas-{self._name}")
        self._thread.start()

    def started(self, history: Sequence[Trial]) -> None:
        super().started(list(history))  # as it is now: the log that it may be goes on growing

    def closed(self, path: Path) -> None:
        super().closed(path)
        self._thread.join(self._patience)
        if self._thread.is_alive():
            logging.getLogger("nas").warning("%s has not ended after %g s", self._name, self._patience)

    def _tell(self, event: str, *facts: Any) -> None:
        self._events.put((event, *facts))

    def _work(self) -> None:
        while True:
            event, *facts = self._events.get()
            super()._tell(event, *facts)
            if event == "closed":
                return


def public(text: str) -> str:
    """A text with its addresses as anybody may see them: `//user:password@host` is `//host`.

    In those of databases a password may hold a slash; what looks like a port before it is one.
    """
    return re.sub(r"(?<!/)//(?:[^/?#\s]*|[^:/?#@\[\s]*:(?!\d+[/?#])[^@\s]*)@", "//", text)
