"""The option `--one-shot`: how it is read, and what it cannot be had with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.ops import Scalar
from nas.plugins import nearest, pairs
from nas.recipe import DEFAULTS

USUAL = {"rounds": 1, "epochs": 0}  # 0 epochs: as many as suit; no less may be given
TRIALS = 300  # where their number is not given, as none of them is a training
UNSHARED = {  # what steps on slices do without
    "optimizer": ("sam", "adam-sgd"),
    "precision": ("float16",),
    "schedule": ("plateau",),  # there is no validation loss to wait for
}


def read_one_shot(key: str, value: Any) -> dict[str, int] | None:
    """`'rounds=4,epochs=80'`, or a mapping; true or '' is the usual, false none. Raises `ValueError`."""
    if value is False:
        return None
    if isinstance(value, str):
        value = pairs(value.strip(), f"{key} {value}")
    given = {} if value is True else value
    if not isinstance(given, Mapping):
        raise ValueError(f"{key} takes rounds=4,epochs=80, or nothing, got {value!r}")
    for name, number in given.items():
        if name not in USUAL:
            raise ValueError(f"{key} has no {name!r}; {nearest(str(name), USUAL)}")
        if isinstance(number, bool) or not str(number).isdecimal() or int(number) < USUAL[name]:
            raise ValueError(f"{key} {name} must be a whole number of at least {USUAL[name]}, got {number!r}")
    found = {**USUAL, **{name: int(number) for name, number in given.items()}}
    if 0 < found["epochs"] < found["rounds"]:
        raise ValueError(f"{key} epochs {found['epochs']} must be as many as the rounds ({found['rounds']}), or more")
    return found


def check_one_shot(
    final_epochs: int | None, folds: int, fix: Mapping[str, Sequence[Scalar]], only: Sequence[str]
) -> None:
    """Raise `ValueError` for options that mean nothing where networks share their weights."""
    if final_epochs == 0:
        raise ValueError("--one-shot trains networks in the final training alone; leave --no-final out")
    if folds > 1:
        raise ValueError(f"--one-shot trains one set of weights, and --folds {folds} wants several; leave one out")
    for name, values in ((name, values) for name, values in fix.items() if name in DEFAULTS):
        shown = f"--fix {name}={'|'.join(map(str, values))}"
        if len(values) > 1:
            raise ValueError(f"--one-shot compares no trainings, so that {shown} must be one value")
        if values[0] in UNSHARED.get(name, ()):
            raise ValueError(f"--one-shot cannot train shared weights with {shown}; fix another, or none")
    if trained := [name for name in only if name in DEFAULTS]:
        raise ValueError(f"--one-shot compares no trainings; leave {trained[0]} out of --only")
