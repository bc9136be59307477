"""Libraries that only some options need, and so are not always installed."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any


def need(option: str, module: str, extra: str | None = None) -> None:
    """Raise `ValueError` where the library that an option needs is missing. It is not imported: that takes its time.

    `extra`: where it is not named like the option.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:  # a folder of that name, such as W&B leaves behind, is no library
        raise ValueError(f"--{option} needs {module}; pip install 'nas-search[{extra or option}]'")


def library(module: str) -> Any:
    """A module that is not always installed, and so has no types here."""
    return importlib.import_module(module)
