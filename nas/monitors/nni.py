"""The NNI web UI, live: a process of its own that reads the run directory, so that it never holds up the search."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.events import Monitor
from nas.web.serve import PORT, find_ui, listen


class NNI(Monitor):
    """Serves the run on `listening` from its first phase to its end."""

    HELP = f"Watch the search in the NNI web UI, at this port of 127.0.0.1 ({PORT})."
    VALUE = "PORT"
    apart = True

    def __init__(self, path: Path, listening: socket.socket) -> None:
        self.path, self._listening = path, listening
        self._server: subprocess.Popen[bytes] | None = None
        self.notice = f"NNI web UI: http://127.0.0.1:{listening.getsockname()[1]}/"

    @classmethod
    def of(cls, value: str, path: Path, config: Mapping[str, Any]) -> NNI:
        find_ui()
        if value and not value.isdecimal():
            raise ValueError(f"--nni takes a port, a number such as {PORT}, got {value!r}")
        return cls(path, listen("127.0.0.1", int(value or PORT), "--nni"))  # taken now: one in use is said at once

    def entered(self, phase: str) -> None:
        if self._server is not None:
            return
        descriptor = self._listening.fileno()
        command = [sys.executable, "-m", "nas.monitor", str(self.path), "--fd", str(descriptor)]
        # a standard input that stays open as long as this process lives tells the server when to end
        # and the terminal is the search's
        self._server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,
        )

    def closed(self, path: Path) -> None:
        self._listening.close()
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(10)
