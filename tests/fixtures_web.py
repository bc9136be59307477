"""Fixtures of the tests of the web UI: `pytest_plugins = ("fixtures_web",)` in a module brings them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from serving import ROWS, Run


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    return Run(tmp_path / "run", ROWS)


@pytest.fixture
def live(tmp_path: Path) -> Any:
    """A search in which trial 5 has run for two epochs."""
    run = Run(tmp_path / "run", ROWS, "search")
    run.running(5, epochs=2)
    with FileLock(run.path / ".lock"):
        yield run
