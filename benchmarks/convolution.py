"""What memory layout and number format bring to a training step of a CNN on a CPU. `python -m benchmarks.convolution`.

Networks of at most 300,000 parameters on 3 x 32 x 32 images, batch 128, one thread: forward, backward, SGD. The four
variants take turns, round after round; a ratio is that of one round's times, the table its median, least and most.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import product

from benchmarks.step import spread
from benchmarks.tables import markdown
from nas.architecture import Architecture
from nas.budget import Budget
from nas.executors.local import ENVIRONMENT
from nas.narrow import Narrowing
from nas.plugins import find
from nas.space import SearchSpace

ROUNDS, STEPS, BATCH = 5, 3, 128
KINDS = ("residual", "plain", "separable", "inverted")


def network(kind: str) -> Architecture:
    """Three stages of two such blocks, their width solved to the budget."""
    space: SearchSpace = find("search_spaces", "cnn", SearchSpace)((3, 32, 32), 10, Budget(300_000))
    return space.on(narrowing=Narrowing({"block": (kind,), "stem": (2,), "blocks": (2,)})).default().architecture


def seconds(architecture: Architecture, last: bool, half: bool) -> float:
    """Seconds of the quickest of some steps."""
    import torch

    from nas.network import Network

    torch.set_num_threads(1)
    layout = torch.channels_last if last else torch.contiguous_format
    module = Network(architecture).to(memory_format=layout)  # type: ignore[call-overload]  # typed for 4-D alone
    optimizer = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9, fused=True)
    x = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=layout)
    y, times = torch.randint(0, 10, (BATCH,)), []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = torch.nn.functional.cross_entropy(module(x), y)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    if "--child" not in sys.argv:  # glibc reads these when a process starts
        environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.convolution", "--child"], environment)
    rows = []
    for kind in KINDS:
        architecture = network(kind)
        variants = list(product((False, True), (False, True)))  # channels last, bfloat16
        rounds = [{v: seconds(architecture, *v) for v in variants[:: (-1) ** n]} for n in range(ROUNDS)]
        ratios = [spread([times[False, False] / times[v] for times in rounds]) for v in variants[1:]]
        rows.append([kind, f"{architecture.flops / 1e6:.0f}", *ratios])
    print(markdown(["blocks", "MFLOPs", "bfloat16", "channels last", "both"], rows))


if __name__ == "__main__":
    main()
