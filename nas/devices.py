"""Which devices there are, and how many workers they take."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def slots(device: str, workers: int | str, per_gpu: int = 1) -> list[str]:
    """The device of every worker: `per_gpu` to each GPU, else one a core.

    Raises `ValueError` where CUDA is asked for in vain.
    """
    gpus = gpu_count() if device != "cpu" else 0
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if index >= gpus:
            raise ValueError(f"--device {device}: this machine shows {gpus} CUDA devices; use --device cpu or auto")
    found = [device] if device.startswith("cuda:") else [f"cuda:{i}" for i in range(gpus)]
    found = found * per_gpu or ["cpu"] * cores()  # the second of a GPU after the first of all
    if workers == "auto":
        return found
    return [found[i % len(found)] for i in range(max(1, int(workers)))]


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of main memory that are free."""
    return int(psutil.virtual_memory().available)


def gpu_count() -> int:
    """CUDA devices. torch is imported to count them only where a driver is installed."""
    if not any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")):
        return 0
    import torch

    return torch.cuda.device_count()
