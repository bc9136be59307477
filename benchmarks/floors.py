"""What a training step of a small network takes, against what it must take. `python -m benchmarks.floors`.

Two floors: the arithmetic (six operations for each weight and sample, at the rate of a large matrix product) and the
bytes (Adam reads and writes seven numbers for each weight, at the rate of a large copy). All above them is calls. The
steps: of the loop that anybody writes (`torch.autograd`, default Adam, the batch at hand), of `nas.train.loop`, and for
each member of a group of one and of sixteen in `nas.train.fused`. One thread, microseconds of processor time, medians
of rounds in which all take their turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.tables import markdown
from nas.architecture import Architecture, Sketch
from nas.network import Network
from nas.recipe import Recipe
from nas.train.fused.group import train_together
from nas.train.fused.member import Member
from nas.train.loop import Patience, train
from nas.train.resident import Resident

FEATURES, CLASSES, SAMPLES, DEPTH, MANY = 64, 10, 1280, 3, 16
SIZES = ((16, 32), (16, 128), (64, 32), (64, 128), (128, 128), (256, 128), (512, 128))
ROUNDS, EPOCHS = 5, 4


def network(width: int) -> Architecture:
    """`DEPTH` blocks of linear, BatchNorm and ReLU."""
    net = Sketch((FEATURES,))
    x = net.input
    for _ in range(DEPTH):
        x = net("relu", net("batchnorm", net("linear", x, out=width, bias=False)))
    return net.done(net("linear", x, out=CLASSES))


def seconds(call: Callable[[], object]) -> float:
    """Of processor time."""
    start = time.process_time()
    call()
    return time.process_time() - start


def rates() -> tuple[float, float]:
    """Operations, and bytes, a second."""
    a, b = torch.randn(2, 1024, 1024)
    large, other = torch.randn(2, 1 << 24)
    product = min(seconds(lambda: a @ b) for _ in range(5))
    copy = min(seconds(lambda: other.copy_(large)) for _ in range(5))
    return 2 * 1024**3 / product, 8 * len(large) / copy


def usual(architecture: Architecture, data: Resident, batch: int) -> None:
    """The loop that anybody writes, for `EPOCHS` epochs."""
    model = Network(architecture)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(data)), batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data.x[rows]), data.y[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def row(width: int, batch: int, data: Resident, few: Resident) -> list[str]:
    """Floors and steps of one size."""
    architecture, recipe = network(width), Recipe(optimizer="adam", batch_size=batch, precision="float32")

    def group(members: int) -> None:
        stopping = [Patience(EPOCHS) for _ in range(members)]
        list(train_together([Member(architecture, recipe, 0, s) for s in stopping], data, few, epochs=EPOCHS))

    ways: list[tuple[int, Callable[[], object]]] = [
        (1, lambda: usual(architecture, data, batch)),
        (1, lambda: train(architecture, recipe, data, few, epochs=EPOCHS, patience=EPOCHS, seed=0)),
        (1, lambda: group(1)),
        (MANY, lambda: group(MANY)),
    ]
    steps = EPOCHS * -(-len(data) // batch)
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for times, (members, way) in zip(taken, ways, strict=True):
            times.append(1e6 * seconds(way) / steps / members)
    operations, bytes_ = rates()
    floors = [6e6 * architecture.num_params * batch / operations, 28e6 * architecture.num_params / bytes_]
    medians = [statistics.median(times) for times in taken]
    shown = [f"{value:.0f}" if value >= 10 else f"{value:.1f}" for value in (*floors, *medians)]
    return [f"{DEPTH} x {width}, batch {batch}", *shown, f"{medians[0] / medians[3]:.1f}"]


def main() -> None:
    argparse.ArgumentParser(description="Steps of small networks against their floors.").parse_args()
    torch.set_num_threads(1)
    x = torch.randn(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(0))
    data, few = Resident(x, x[:, :CLASSES].argmax(1)), Resident(x[:64], x[:64, :CLASSES].argmax(1))
    ways = ["usual loop", "nas.train.loop", "group of 1", f"group of {MANY}", "gain"]
    print(markdown(["network", "arithmetic", "bytes", *ways], [row(width, batch, data, few) for width, batch in SIZES]))


if __name__ == "__main__":
    main()
