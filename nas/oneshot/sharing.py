"""What `--one-shot` cannot be had with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas.ops import Scalar
from nas.recipe import DEFAULTS

UNSHARED = {"optimizer": ("sam", "adam-sgd"), "precision": ("float16",)}  # what steps on slices do without


def check_one_shot(
    final_epochs: int | None, folds: int, fix: Mapping[str, Sequence[Scalar]], only: Sequence[str]
) -> None:
    """Raise `ValueError` for options that mean nothing where networks share their weights."""
    if final_epochs == 0:
        raise ValueError("--one-shot trains networks in the final training alone; leave --no-final out")
    if folds > 1:
        raise ValueError(
            f"--one-shot trains one set of weights, and --folds {folds} wants several; leave one of them out"
        )
    for name, values in ((name, values) for name, values in fix.items() if name in DEFAULTS):
        shown = f"--fix {name}={'|'.join(map(str, values))}"
        if len(values) > 1:
            raise ValueError(f"--one-shot compares no trainings, so that {shown} must be one value")
        if values[0] in UNSHARED.get(name, ()):
            raise ValueError(f"--one-shot cannot train shared weights with {shown}; fix another, or none")
    if trained := [name for name in only if name in DEFAULTS]:
        raise ValueError(f"--one-shot compares no trainings; leave {trained[0]} out of --only")
