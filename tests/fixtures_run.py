"""Fixtures of the tests of a run: `pytest_plugins = ("fixtures_run",)` in a module brings them in."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import Search
from toy import Shuffled, Toy

from nas import packs


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path / "search")


@pytest.fixture
def shuffled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shuffled]:
    """Makes executors that end their jobs in an order of their own."""

    def make(evaluator: Any = None, **options: Any) -> Shuffled:
        executor = Shuffled(evaluator or Toy(), **options)
        monkeypatch.setattr(packs, "SimpleQueue", lambda: executor)
        return executor

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch as it is in a worker; two threads on a busy machine wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own to call `nas.cli.main` in; what `main` does to this process is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)
