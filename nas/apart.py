"""A monitor in a process of its own, told of events through a pipe: its work and its faults are not the search's."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from nas.events import Broadcast, Monitor
from nas.trial import Trial


class Apart(Monitor):
    """Tells `monitor`, which can be pickled, in another process; that one ends with this one, however that ends."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._process: subprocess.Popen[bytes] | None = None

    def entered(self, phase: str) -> None:
        self._send("entered", phase)

    def started(self, history: Sequence[Trial]) -> None:
        self._send("started", list(history))

    def told(self, trial: Trial) -> None:
        self._send("told", trial)

    def failed(self, trial: Trial, trace: str) -> None:
        self._send("failed", trial, trace)

    def finished(self) -> None:
        self._send("finished")

    def closed(self, path: Path) -> None:
        if self._process is None:  # nothing has happened
            return
        self._send("closed", path)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _send(self, event: str, *facts: Any) -> None:
        if self._process is None:
            command = [sys.executable, "-c", "from nas.apart import main; main()"]
            quiet = subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, start_new_session=True)
            self._write(self._monitor)
        self._write((event, facts))

    def _write(self, value: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        pickle.dump(value, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()


def listen(stream: BinaryIO) -> None:
    """Tell the monitor that comes first of the events that follow, to the end of the stream."""
    monitor = Broadcast([pickle.load(stream)])  # noqa: S301  # from the process that has started this one
    while True:
        try:
            event, facts = pickle.load(stream)  # noqa: S301
        except (EOFError, pickle.UnpicklingError):  # the search was killed
            return
        getattr(monitor, event)(*facts)


def main() -> None:
    """The other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the search's to handle, and its end is told
    listen(sys.stdin.buffer)
