"""What a practitioner tries first: a small network that has not learned yet guesses, and learns one batch by heart."""

from __future__ import annotations

from math import prod

import torch
from torch.nn.functional import cross_entropy

from nas.architecture import Sketch
from nas.checks import loss_at_initialisation
from nas.network import Network
from nas.ops import Shape
from nas.train.fused.descent import Adam
from nas.train.resident import Resident

BATCH, WEIGHTS, STEPS, LR = 64, 2**18, 200, 5e-3
BY_HEART = 0.95


def check_training(data: Resident, shape: Shape, classes: int) -> list[str]:
    """Warnings, a sentence each, from a small MLP on one batch of samples of `shape`; takes a fraction of a second."""
    net = Sketch(shape)
    width = min(128, max(8, WEIGHTS // prod(shape)))
    hidden = net("relu", net("linear", net("flatten", net.input), out=width))
    with torch.random.fork_rng(devices=[data.y.device] if data.y.device.type == "cuda" else []):
        torch.manual_seed(0)
        network = Network(net.done(net("linear", hidden, out=classes)))
        rows = torch.randperm(len(data))[:BATCH].to(data.y.device)
    network.to(data.y.device)
    x, y = data.samples(rows, shape), data.y.index_select(0, rows)
    descents = []  # torch.optim would import a compiler, which takes longer than all of this
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
        descents.append((p, Adam(torch.zeros_like(p), p.grad)))
    first = 0.0
    for step in range(STEPS):
        loss = cross_entropy(network(x), y)
        first = float(loss.detach()) if step == 0 else first
        network.zero_grad(set_to_none=False)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for p, descent in descents:
            descent.step()
            p.data.add_(descent.moved, alpha=LR)
    learned = float((network(x).argmax(1) == y).float().mean())
    warnings = [loss_at_initialisation(first, classes)]
    if learned < BY_HEART:
        warnings.append(
            f"a small network learned only {100 * learned:.0f} % of one batch of {len(rows)} samples by heart in "
            f"{STEPS} steps; look for samples that are the same and have different labels"
        )
    return [warning for warning in warnings if warning]
