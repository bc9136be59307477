"""What the tests of monitors share: trials to tell of, sessions of a search that tells of them, a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import line

from nas.events import Broadcast
from nas.store import RunDirectory
from nas.trial import Trial
from nas.watching import open_monitors

CONFIG: dict[str, Any] = {"budget": 5000, "space": "line", "seed": 3, "fix": {"depth": [1, 2]}, "record": {"n": 1}}
BEGAN = 1_700_000_000.0  # seconds since 1970


def trial(number: int, **facts: Any) -> Trial:
    """A trial of two epochs, no two figures of it or of others the same."""
    candidate, x = line().sample(np.random.default_rng(number)), number / 100
    curve = tuple(
        {"epoch": e, "train_loss": 2 - x - e / 7, "train_accuracy": x + e / 9, "lr": e / 1000, "grad_norm": 1 + x + e}
        | {"update_ratio": x / e + 0.01, "val_loss": 1.5 - x - e / 8, "val_accuracy": x + e / 10, "seconds": 0.25 * e}
        for e in (1, 2)
    )
    metrics = {"val_accuracy": x + 0.2, "val_loss": 1.25 - x, "best_epoch": 2, "epochs": 2, "seconds": 1.0}
    known = {"values": (x + 0.2,), "metrics": metrics, "curve": curve, "ended": BEGAN + 10 * number}
    return Trial(number, candidate, number, **{**known, **facts})


def failed(number: int) -> Trial:
    return trial(number, values=(), metrics={}, curve=(), error="NotFinite: the loss\nis not finite")


def copied(number: int, original: Trial) -> Trial:
    """As the study makes one."""
    metrics = {**original.metrics, "epochs": 0, "seconds": 0.0}
    same = {"values": original.values, "curve": original.curve, "metrics": metrics, "copy_of": original.number}
    return replace(trial(number), candidate=original.candidate, **same)


def session(
    path: Path, wanted: Mapping[str, str], trials: Sequence[Trial], before: Sequence[Trial] = (), arm: str = "search"
) -> list[str]:
    """One session of a search in `path` as monitors see it; what they had to say to the user at its start."""
    monitors, notices = open_monitors(wanted, path, CONFIG)
    directory, told = RunDirectory(path, CONFIG, {"seed": 3}), Broadcast(monitors)
    told.entered(arm)
    told.started(before)
    for trial in trials:
        told.told(trial)
        if trial.error is not None:
            told.failed(trial, "the trace")
    told.finished()
    told.entered("test")
    directory.close()
    told.closed(path)
    return notices


def alone(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As on a machine where nobody is logged in anywhere; what monitors put into the environment is undone."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("NETRC", str(folder / "no netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(folder / "no settings"))
    mlflow = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_LOGGING_LEVEL")
    for name in ("WANDB_SILENT", "WANDB_ERROR_REPORTING", *mlflow):
        monkeypatch.setenv(name, "")  # so that it is put back ...
        monkeypatch.delenv(name)  # ... and is not there now


def children() -> set[int]:
    """The processes that this one has begun and that have not ended."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(stat.parent.name))
    return found


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of a .wandb file: a head of 7 bytes, then blocks of 32 KiB as in the logs of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block is too short for a head
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""
