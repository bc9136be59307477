"""The fixture of the tests of trackers: `pytest_plugins = ("fixtures_trackers",)` in a module brings it in."""

from __future__ import annotations

from pathlib import Path

import pytest
from telling import alone


@pytest.fixture
def by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker in this process, which is quicker than the one of its own that test_monitors.py gives it."""
    monkeypatch.setattr("nas.watching.Apart", lambda monitor: monitor)
    alone(monkeypatch, tmp_path)
