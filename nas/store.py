"""The run directory, which is the truth: a locked folder with the resolved options and an append-only log of trials."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from nas.events import Monitor
from nas.record import ENDED, Rows, read_json
from nas.space import SearchSpace
from nas.trial import Trial, best_first


class KeepBestWeights(Monitor):
    """Leaves on disk the weights of the best trials alone: the best one, or what `wanted` takes of all."""

    def __init__(
        self,
        weights_of: Callable[[int], Path],
        wanted: Callable[[Sequence[Trial]], Sequence[Trial]] = lambda trials: best_first(trials)[:1],
    ) -> None:
        self._weights_of, self._wanted = weights_of, wanted
        self._kept: list[Trial] = []

    def started(self, history: Sequence[Trial]) -> None:
        self._kept = list(self._wanted(history))
        keep = {self._weights_of(trial.number) for trial in self._kept}
        for file in self._weights_of(0).parent.iterdir():  # what crashes have left
            if file not in keep and file.is_file():
                file.unlink()

    def told(self, trial: Trial) -> None:
        before = [*self._kept, trial]
        self._kept = list(self._wanted(before))
        for number in {t.number for t in before} - {t.number for t in self._kept}:
            self._weights_of(number).unlink(missing_ok=True)


class TrialLog:
    """One JSON line a trial: it survives this process from `append` on, and the machine from `sync` on."""

    def __init__(self, path: Path, space: SearchSpace) -> None:
        self.path = path
        self.trials = _trials(path, space) if path.exists() else []
        self._file = path.open("a", encoding="utf-8")
        self._synced = len(self.trials)
        self.before = 0.0  # seconds of search before the next trial, where none tells of them

    def append(self, trial: Trial) -> None:
        self._file.write(json.dumps(trial.to_json(), allow_nan=False) + "\n")
        self._file.flush()
        self.trials.append(trial)

    @property
    def synced(self) -> bool:
        return self._synced == len(self.trials)

    def sync(self) -> None:
        """Wait for the disk, which takes milliseconds."""
        if not self.synced:
            os.fsync(self._file.fileno())
            self._synced = len(self.trials)

    @property
    def elapsed(self) -> float:
        """Seconds of search so far, all sessions together."""
        return max(self.before, max((t.elapsed for t in self.trials), default=0.0))

    def close(self) -> None:
        self.sync()
        self._file.close()


def _trials(path: Path, space: SearchSpace) -> list[Trial]:
    """The trials of a log. A last line cut short by a crash is cut off; damage anywhere else is an error."""
    data = path.read_bytes()
    whole, newline, torn = data.rpartition(b"\n")
    if torn:
        with path.open("rb+") as file:
            file.truncate(len(whole) + len(newline))
            os.fsync(file.fileno())
    trials: list[Trial] = []
    seen: set[int] = set()
    for number, line in enumerate(whole.split(b"\n") if newline else [], 1):
        try:
            trials.append(Trial.from_json(json.loads(line), space))
            if trials[-1].number in seen:
                raise ValueError(f"trial {trials[-1].number} stands there twice")
            seen.add(trials[-1].number)
        except (ValueError, TypeError, KeyError) as error:
            advice = "restore the file or begin with another --out"
            raise ValueError(f"{path}, line {number} is damaged ({error}); {advice}") from None
    return trials


class RunDirectory:
    """A search's folder. Opening it locks it and compares `identity` with that of the search already there.

    `identity` is all that makes two searches the same: space, budget, data, strategy, seed, epochs. `config` is what
    config.yaml holds. Raises `ValueError` where another process has the lock, or the identity differs.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"the run directory {str(path)!r} cannot be made: {error.strerror}; give another --out"
            ) from None
        self._lock = FileLock(path / ".lock")
        try:
            self._lock.acquire(timeout=0.5)  # whoever watches holds it for an instant, to see whether we do
        except Timeout:
            raise ValueError(f"another process is searching in {path}; wait for it or give another --out") from None
        except OSError as error:
            raise ValueError(
                f"the run directory {str(path)!r} cannot be written: {error.strerror}; give another --out"
            ) from None
        try:
            self._check(identity)
        except ValueError:
            self._lock.release()
            raise
        document = {**config, "identity": dict(identity)}
        _write(path / "config.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True))

    def _check(self, identity: Mapping[str, Any]) -> None:
        config = self.path / "config.yaml"
        if not config.exists():
            foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name != ".lock")
            if foreign:
                raise ValueError(f"{self.path} holds other files ({foreign[0]}, ...) and no search; give another --out")
            return
        try:
            there = dict(yaml.safe_load(config.read_text(encoding="utf-8"))["identity"])
        except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, ValueError):
            raise ValueError(f"{config} is damaged, or no search's; restore the file or give another --out") from None
        differing = [key for key in {**identity, **there} if there.get(key) != identity.get(key)]
        if differing == ["data"] and "fingerprint" in identity:  # which says that it is the same by another path
            return
        if differing == ["fingerprint"]:
            raise ValueError(
                f"{self.path} holds a search on other data of this name, which has changed; give another --out"
            )
        if len(differing) > 1 and "fingerprint" in differing:
            differing.remove("fingerprint")  # it follows from the data and the seed
        if differing:
            shown = "; ".join(f"{key} is {there.get(key)!r} there and {identity.get(key)!r} now" for key in differing)
            raise ValueError(f"{self.path} holds another search ({shown}); give another --out, or the same options")

    def weights_of(self, arm: str) -> Callable[[int], Path]:
        """Where the trials of an arm (the search, its baseline) leave their weights."""
        folder = self.path / "weights" / arm
        folder.mkdir(parents=True, exist_ok=True)
        return lambda number: folder / f"trial-{number:05d}.safetensors"

    def checkpoint_of(self, arm: str) -> Callable[[int], Path]:
        """Where a trial of an arm leaves what a later one may go on from; the folder is made when there is one."""
        return lambda number: self.path / "checkpoints" / arm / f"trial-{number:05d}.pt"

    def remove_checkpoints(self) -> None:
        """All of them: no trial of this session is continued any more."""
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def tested(self, what: str) -> int:
        """Record in tests.jsonl that the test part was used for `what`; of how many that is so in this run."""
        file = self.path / "tests.jsonl"
        before = [row["what"] for row in Rows(file).new() if "what" in row]
        if what not in before:
            with file.open("a", encoding="utf-8") as log:
                log.write(json.dumps({"what": what, "at": round(time.time(), 3)}) + "\n")
        return len({*before, what})

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """A small file of facts."""
        _write(self.path / name, json.dumps(value) + "\n")

    def write_forks(self, forks: Mapping[str, Iterable[Any]]) -> None:
        """space.json: the forks of the search space and their options."""
        lines = (f" {json.dumps(name)}: {json.dumps(list(options))}" for name, options in forks.items())
        _write(self.path / "space.json", "{\n" + ",\n".join(lines) + "\n}\n")

    def enter(self, phase: str, slots: int = 0) -> None:
        """Record where the search is, a word of `nas.record.State`, for those who watch."""
        file, now = self.path / "state.json", time.time()
        before = read_json(file)
        state = {"phase": phase, "began": before.get("began", now), "ended": now if phase in ENDED else None}
        slots = slots or before.get("slots", 0)
        _write(file, json.dumps({**state, "pid": os.getpid(), "slots": slots}) + "\n")

    def live_of(self, arm: str) -> Callable[[int], Path]:
        """Where the trials of an arm write what they have to say while they run."""
        folder = self.path / "live" / arm
        folder.mkdir(parents=True, exist_ok=True)
        return lambda number: folder / f"trial-{number:05d}.jsonl"

    def write_csv(self, trials: Sequence[Trial], front: Sequence[Trial] = ()) -> None:
        """trials.csv: one row a trial, one column a choice and a metric; of several objectives, who is in `front`."""
        rows = []
        for trial in sorted(trials, key=lambda t: t.number):
            data = trial.to_json()
            flat = {
                key: data[key]
                for key in ("number", "params", "network", "fidelity", "seed", "error", "copy_of", "elapsed")
            }
            flat["value"] = data["values"][0] if data["values"] else None
            if len(trial.values) > 1:
                flat["front"] = any(trial is other for other in front)
            facts = {**flat, **data["metrics"]}
            choices = {f"choice {k}" if k in facts else k: v for k, v in data["choices"].items()}
            rows.append({**facts, **choices})
        columns = list(dict.fromkeys(key for row in rows for key in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _write(self.path / "trials.csv", table.getvalue())

    def close(self) -> None:
        self._lock.release()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
