"""Whether groups are to be had on a GPU: a small one is trained, compared with networks trained alone, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import mean

import torch

from nas.architecture import Architecture, Sketch
from nas.recipe import Recipe
from nas.train.fused.graph import Recording
from nas.train.fused.group import train_together
from nas.train.fused.member import Member
from nas.train.fused.plan import COSTS, Verdict
from nas.train.loop import Fitted, Patience, train
from nas.train.resident import Resident

FEATURES, CLASSES, SAMPLES, BATCH = 32, 8, 1000, 64
NORMS, ACTIVATIONS = ("batchnorm", "layernorm", "none"), ("relu", "gelu", "tanh", "silu")
MEMBERS, FEW = 8, 2  # of the larger and of the smaller group that are timed
SHORT, LONG = 2, 6  # epochs
TOLERANCE = 1e-4  # of losses


def trial(device: torch.device) -> Verdict:
    """Takes about a second; whatever goes wrong is a verdict."""
    try:
        return _Trial(device).verdict()
    except Exception as error:
        return Verdict(False, f"a group of small networks fails on {device}: {type(error).__name__}: {error}")


class _Trial:
    """Trainings on samples that are made up."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        x = torch.randn(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(0))
        x, y = x.to(device), x[:, :CLASSES].argmax(1).to(device)
        self.parts = Resident(x, y), Resident(x[:BATCH], y[:BATCH])

    def verdict(self) -> Verdict:
        """Whether each member has the numbers that it has alone, and all of them together are faster."""
        members = [_member(k) for k in range(MEMBERS)]
        for some in (members, [_member(k, optimizer=("nesterov", "adamw")[k % 2]) for k in range(FEW)]):
            if not (worst := _apart(self.together(some), [self.alone(one) for one in some])) <= TOLERANCE:
                return Verdict(False, f"a group disagrees with autograd on {self.device}: losses differ by {worst:.1g}")
        dropping = [_member(k, p=0.3) for k in range(FEW)]
        if not (worst := _apart(self.together(dropping)[:1], self.together(dropping[:1]))) <= TOLERANCE:
            return Verdict(False, f"dropout depends on the company on {self.device}: losses differ by {worst:.1g}")
        alone = self.seconds(lambda: [self.alone(one) for one in members])
        faster = alone / self.seconds(lambda: self.together(members))
        if not faster > 1:
            return Verdict(False, f"a group is not faster than its members alone on {self.device}: {faster:.2f} times")
        once, layer = self.costs(members)
        if not Recording.works:
            return Verdict(False, f"steps cannot be recorded as CUDA graphs on {self.device}")
        said = f"{MEMBERS} small networks train {faster:.1f} times as fast together as one by one on {self.device}"
        return Verdict(True, said, replace(COSTS["cuda"], once=once, layer=layer))

    def costs(self, members: Sequence[Member]) -> tuple[float, float]:
        """Seconds of a step that a group takes once, and for each layer of each member: networks here are but calls."""
        steps = (LONG - SHORT) * -(-SAMPLES // BATCH)

        def step(some: Sequence[Member]) -> float:
            short, long = (min(self.seconds(partial(self.together, some, e)) for _ in range(2)) for e in (SHORT, LONG))
            return (long - short) / steps

        few, all = step(members[:FEW]), step(members)
        each = max(1e-6, (all - few) / (MEMBERS - FEW))
        return max(1e-5, few - FEW * each), each / mean(1 + _depth(k) for k in range(MEMBERS))

    def together(self, members: Sequence[Member], epochs: int = SHORT) -> list[Fitted]:
        """Trained as one, in their order."""
        ended = dict(train_together(members, *self.parts, epochs=epochs))
        found = [ended[k] for k in range(len(members))]
        for one in found:
            if isinstance(one, Exception):
                raise one
        return [one for one in found if isinstance(one, Fitted)]

    def alone(self, member: Member) -> Fitted:
        told = member.architecture, member.recipe, *self.parts
        return train(*told, epochs=SHORT, patience=LONG, seed=member.seed, order=member.order)

    def seconds(self, call: Callable[[], object]) -> float:
        """What it takes until the device is done."""
        start = time.perf_counter()
        call()  # which reads the curves, and so waits
        return time.perf_counter() - start


def _apart(some: Sequence[Fitted], others: Sequence[Fitted]) -> float:
    """By how much losses of the same trainings differ at most."""
    losses = torch.tensor(
        [[(row["train_loss"], row["val_loss"]) for row in one.curve] for found in (some, others) for one in found]
    )
    return float((losses[: len(some)] - losses[len(some) :]).abs().max())


def _depth(number: int) -> int:
    return 1 + number % 3


def _member(number: int, optimizer: str = "adamw", p: float = 0.0) -> Member:
    """One of many kinds: norms, activations, skips with and without a projection, rates, smoothing."""
    rate = (1e-2 if optimizer == "nesterov" else 1e-3) * (1 + number % 2)
    made = Recipe(optimizer, rate, weight_decay=0.01, batch_size=BATCH, label_smoothing=0.1 * (number % 2))
    return Member(_network(number, p), replace(made, precision="float32"), number, Patience(LONG))


def _network(number: int, p: float) -> Architecture:
    net, norm = Sketch((FEATURES,)), NORMS[number % 3]
    x = net.input
    for level in range(_depth(number)):
        width = 16 + 8 * (number % 4) + 8 * (level == 1)
        y = net(norm, net("linear", x, out=width, bias=norm != "batchnorm"))
        y = net("dropout", net(ACTIVATIONS[number % 4], y), p=p)
        x = net.residual(x, y) if level and number % 2 else y
    return net.done(net("linear", x, out=CLASSES))
