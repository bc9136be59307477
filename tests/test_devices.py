"""Which device each worker has."""

from __future__ import annotations

import pytest

from nas import devices
from nas.devices import slots


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, four cores."""
    monkeypatch.setattr(devices, "gpu_count", lambda: 2)
    monkeypatch.setattr(devices, "cores", lambda: 4)


@pytest.mark.parametrize(
    ("device", "workers", "per_gpu", "expected"),
    [
        ("auto", "auto", 1, ["cuda:0", "cuda:1"]),
        ("auto", "auto", 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),  # the first ones on different GPUs
        ("cuda", 3, 1, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda:1", "auto", 3, ["cuda:1"] * 3),
        ("cpu", "auto", 8, ["cpu"] * 4),
        ("cpu", 6, 1, ["cpu"] * 6),
    ],
)
@pytest.mark.usefixtures("machine")
def test_auto_takes_every_gpu_as_often_as_asked_or_every_core(
    device: str, workers: int | str, per_gpu: int, expected: list[str]
) -> None:
    assert slots(device, workers, per_gpu) == expected


@pytest.mark.usefixtures("machine")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="--device cuda:2: this machine shows 2 CUDA devices"):
        slots("cuda:2", "auto")
