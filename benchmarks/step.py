"""What two choices of the training step bring on a CPU: kept memory, and bfloat16. `python -m benchmarks.step`.

Ratios of the time of one optimizer step (forward, backward, clip, fused AdamW; BatchNorm and GELU between the layers),
one thread. Memory is compared between processes that differ in two variables of glibc, run in turn A B A B; precision
within one process, in turn too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks.tables import markdown
from nas.executors.local import ENVIRONMENT

NETWORKS = ((128, 128), (1024, 1024), (3000, 3000, 3000))
BATCHES = (64, 256)
PAIRS = 5


def seconds(widths: tuple[int, ...], batch: int, bfloat16: bool) -> float:
    """Median seconds of a step of the network of these widths on 64 inputs."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    layers: list[nn.Module] = []
    for before, width in zip((64, *widths), widths, strict=False):
        layers += [nn.Linear(before, width, bias=False), nn.BatchNorm1d(width), nn.GELU()]
    network = nn.Sequential(*layers, nn.Linear(widths[-1], 10))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    x, y = torch.randn(batch, 64), torch.randint(0, 10, (batch,))
    times = []
    for _ in range(7 if widths[0] > 1000 else 30):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = nn.functional.cross_entropy(network(x), y)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def child(widths: tuple[int, ...], batch: int, kept: bool) -> tuple[float, float]:
    """Seconds of a step in float32 and in bfloat16, in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(ENVIRONMENT if kept else {})}
    command = [sys.executable, "-m", "benchmarks.step", "--child", json.dumps([widths, batch])]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    single, half = json.loads(printed)
    return single, half


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="What kept memory and bfloat16 bring to a training step on a CPU.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    if given := parser.parse_args().child:
        widths, batch = json.loads(given)
        print(json.dumps([seconds(tuple(widths), batch, False), seconds(tuple(widths), batch, True)]))
        return
    rows = []
    for widths in NETWORKS:
        for batch in BATCHES:
            pairs = [(child(widths, batch, kept=False), child(widths, batch, kept=True)) for _ in range(PAIRS)]
            single = spread([fresh[0] / kept[0] for fresh, kept in pairs])
            half = spread([fresh[1] / kept[1] for fresh, kept in pairs])
            precision = spread([kept[0] / kept[1] for _, kept in pairs])
            rows.append(["-".join(map(str, widths)), str(batch), single, half, precision])
    header = ["widths", "batch", "kept memory, float32", "kept memory, bfloat16", "bfloat16 over float32"]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
