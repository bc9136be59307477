"""A run directory as others see it: read again as it grows, from any process, without a change to what it holds.

To see whether a search still runs, its lock is taken for an instant where nobody has it; a search that begins at that
moment waits for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

Row = dict[str, Any]
LOGS = {
    "search": "trials.jsonl",
    "random": "baseline.jsonl",
    "final": "final.jsonl",
    "distilled": "distilled.jsonl",
}
ENDED = ("done", "interrupted", "failed")  # phases in which no process is at work


class Rows:
    """The lines of a file that grows. A line that is not whole yet, or damaged, is passed over."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0

    def new(self) -> list[Row]:
        """Those since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._at += len(whole) + len(newline)
        found = []
        for line in whole.splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [row for row in found if isinstance(row, dict)]


@dataclass(frozen=True)
class State:
    """Where a search is: a phase (see `Monitor.entered`), or `done`, `interrupted`, `failed`, `killed`."""

    phase: str = "killed"
    began: float = 0.0  # seconds since 1970
    ended: float | None = None
    pid: int = 0
    slots: int = 0

    @property
    def running(self) -> bool:
        return self.phase not in (*ENDED, "killed")


class Record:
    """The run in the folder `path`. Raises `ValueError` where there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "config.yaml").is_file():
            raise ValueError(f"{str(path)!r} is no run directory (it has no config.yaml); give the folder of a search")
        self.config = self._config()
        self._rows = {arm: Rows(self.path / name) for arm, name in LOGS.items()}

    def _config(self) -> Mapping[str, Any]:
        file = self.path / "config.yaml"
        try:
            loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
            return {"epochs": 1, "folds": 1, "budget": 0, "seed": 0, **loaded}
        except (OSError, TypeError, UnicodeDecodeError, yaml.YAMLError):
            raise ValueError(f"{file} is damaged, or no search's; restore the file") from None

    @property
    def forks(self) -> dict[str, list[Any]]:
        """The forks of the space with their options; none where the search has written none."""
        loaded = read_json(self.path / "space.json")
        return {str(name): list(options) for name, options in loaded.items() if isinstance(options, list)}

    def state(self) -> State:
        """Where the search is now. A search that says it runs, while nobody holds its lock, has been killed.

        In a folder that cannot be written the lock cannot be tried; there its process must be alive on this machine.
        """
        loaded = read_json(self.path / "state.json")
        if not loaded:  # a run of version 0.1
            began, ended = ((self.path / name).stat().st_mtime for name in ("config.yaml", LOGS["search"]))
            return State("done" if (self.path / "best").is_dir() else "killed", min(began, ended), ended)
        state = State(**{name: loaded[name] for name in State.__dataclass_fields__ if name in loaded})
        if state.running and not self._held(state.pid):
            ended = max((file.stat().st_mtime for file in self.path.glob("*.json*")), default=state.began)
            return State("killed", state.began, ended, state.pid, state.slots)
        return state

    def new(self, arm: str = "search") -> list[Row]:
        """The trials of an arm that have ended since the last call."""
        return self._rows[arm].new()

    def running(self, arm: str = "search") -> list[tuple[Row, list[Row]]]:
        """What each running trial of an arm has written: its facts, and a row for each epoch so far."""
        found = []
        for file in sorted((self.path / "live" / arm).glob("trial-*.jsonl")):
            facts, *rows = Rows(file).new() or [{}]
            if facts.keys() >= {"number", "params", "network", "choices"}:
                found.append((facts, rows))
        return found

    def live_file(self, number: int, arm: str = "search") -> Path:
        """Where trial `number` writes while it runs."""
        return self.path / "live" / arm / f"trial-{number:05d}.jsonl"

    def errors(self) -> str:
        """What errors.log holds."""
        with suppress(OSError):
            return (self.path / "errors.log").read_text(encoding="utf-8", errors="replace")
        return ""

    def _held(self, pid: int) -> bool:
        """Whether the process `pid`, or any, is at work here."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # somebody else's folder, or a medium that is only read
            return _alive(pid)
        lock.release()
        return False


def _alive(pid: int) -> bool:
    if not isinstance(pid, int) or pid <= 0:  # a damaged state; and 0 would be this very process
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:  # somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return True


def planned_epochs(config: Mapping[str, Any], fidelity: float) -> int:
    """The epochs of a trial that is not ended early, folds together."""
    return max(1, round(int(config["epochs"]) * fidelity)) * int(config["folds"])


def read_json(file: Path) -> dict[str, Any]:
    """The mapping that a file holds; an empty one where it holds none."""
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
