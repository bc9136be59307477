"""What a run directory records so that a figure can be believed, and a search be told from another."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from nas.budget import format_size
from nas.dataset import Dataset
from nas.events import public
from nas.objectives import ACCURACY
from nas.options import Options

# options that may differ between a search and its continuation: how much of it, where, and what follows it
WITHOUT_EFFECT = {
    "trials",
    "time",
    "workers",
    "workers_per_gpu",
    "device",
    "executor",
    "trial_timeout",
    "baseline",
    "fused",
    "out",
    "final_epochs",
    "finalists",
    "final_seeds",
    "report",
    "ensemble",
    "distill",
    "monitors",
}


def identity(options: Options, dataset: Dataset) -> dict[str, Any]:
    """All that makes two searches the same one: trials of one may only stand beside trials of its like."""
    given = {f.name: plain(getattr(options, f.name)) for f in fields(options) if f.name not in WITHOUT_EFFECT}
    if options.objective == (ACCURACY,):
        del given["objective"]  # runs from before there were several have none
    if options.one_shot is None:
        del given["one_shot"]
    return {**given, "data": dataset.name, "fingerprint": dataset.fingerprint, "normalise": dataset.normalise}


def run_name(identity: Mapping[str, Any]) -> str:
    """A folder name that the same command finds again, and another does not."""
    short = hashlib.blake2b(repr(sorted(identity.items())).encode(), digest_size=3).hexdigest()
    data = Path(str(identity["data"])).stem
    parts = (identity["space"], format_size(identity["budget"]), data, identity["strategy"], f"seed{identity['seed']}")
    return "-".join([re.sub(r"[^\w.]+", "_", str(part)).strip("_")[:40] for part in parts] + [short])


def config(options: Options, dataset: Dataset, epoch: int) -> dict[str, Any]:
    """config.yaml: the options as `--config` reads them, and a record of where they ran; `epoch` has so many samples.

    Passwords in the addresses of monitors are left out: it is served, sent to trackers, and passed on with the run.
    """
    resolved = {f.name: plain(getattr(options, f.name)) for f in fields(options)}
    resolved["monitors"] = {name: public(value) for name, value in options.monitors.items()}
    record = {
        "versions": versions(),
        "git_commit": git_commit(),
        "data": {
            "fingerprint": dataset.fingerprint,
            "samples": [len(part) for part in (dataset.train, dataset.validation, dataset.test)],
            "samples_of_an_epoch": epoch,
            "input_shape": list(dataset.input_shape),
            "classes": len(dataset.classes),
        },
    }
    return {**resolved, "record": record}


def plain(value: Any) -> Any:
    """An option as YAML holds it: numbers, words, lists and mappings of them."""
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and all(isinstance(item, bool | int | float | str) for item in value):
        return list(value)
    return words(value)


def words(value: Any) -> str:
    """An option as it would be written on the command line; a class, or what is no word, by its dotted name."""
    if isinstance(value, str | Path):
        return str(value)
    cls = value if isinstance(value, type) else type(value)
    return f"{cls.__module__}:{cls.__qualname__}"


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("nas", "torch", "numpy", "scikit-learn"):
        try:
            found[package] = importlib.metadata.version({"nas": "nas-search"}.get(package, package))
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_commit() -> str | None:
    """The commit of this source tree, `+` behind it where files differ from it; None outside a checkout."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty=+",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
