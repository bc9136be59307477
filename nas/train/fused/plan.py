"""Which trainings are done together, and how many at once: by a model of what a step costs on a kind of device.

A step has calls that are made once for a group, calls for each of its members and layers, and arithmetic. Where the
arithmetic of one network dwarfs the calls there is nothing to share. `python -m benchmarks.scaling members` puts the
model of a CPU beside what it measures; on a GPU the calls are timed by `nas.train.fused.trial` before a search.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf

from nas.architecture import Architecture
from nas.recipe import AUGMENTATIONS, Recipe, wide_enough
from nas.space import Candidate
from nas.train.fused.chain import Chain, chain_of

FUSED = ("adamw", "adam", "sgd", "nesterov")  # the first steps of rmsprop and adagrad magnify what was only rounded
SHARED = 0.05  # the calls that are made once are to be no more than this share of a step
FEW = 8  # samples: BatchNorm over fewer magnifies rounding too
LOOP = 2.0  # times as long as in a group of its own a step takes in `nas.train.loop`: 1.5 to 2.4 of small networks
MEMORY = 1 << 29  # bytes of a group, where it is not said how many there are
SPARED = 4  # else one part in so many of the free memory that a worker may have


@dataclass(frozen=True)
class Costs:
    """Of a step on a kind of device, in seconds.

    Once for a group, for each layer of each member, for each operation of a matrix product, each element between the
    layers (normalisation, activation, dropout, both ways), each weight (norms, decay, optimizer). No more members than
    `most` are asked for; a training of more than `large` parameters times samples of a batch is done alone, and so is
    one that augments its samples unless `augments`. A group of more than `cache` bytes by `bytes_of` is slower.
    """

    once: float
    layer: float
    operation: float
    element: float
    weight: float
    most: int
    large: float
    augments: bool
    cache: float = inf


COSTS = {
    "cpu": Costs(150e-6, 7.5e-6, 1.4e-11, 3e-9, 0.0, 32, inf, True, 4e7),  # measured
    # by arithmetic alone: some 80 kernels of 2.5 us in a graph, three for a layer on eight branches, float32 of small
    # matrices at 20 TFLOP/s, and 120 and 70 bytes at 3 TB/s; from 5e9 on an eager step fills the chip
    "cuda": Costs(200e-6, 3e-6, 5e-14, 4e-11, 2.5e-11, 64, 5e9, False),  # a step that is recorded draws nothing
}


@dataclass(frozen=True)
class Verdict:
    """What came of a trial of groups on a GPU: whether they are to be had, in a sentence why; and what they cost."""

    works: bool
    said: str
    costs: Costs = COSTS["cuda"]


def likeness(candidate: Candidate, device: str = "cpu") -> tuple[Hashable, ...] | None:
    """Candidates that are alike in this can be trained together on such a device; None for one that is trained alone.

    It never depends on the company, so neither does what is trained how.
    """
    return _likeness(candidate, chain_of(candidate.architecture), COSTS[device])


def _likeness(candidate: Candidate, chain: Chain | None, costs: Costs) -> tuple[Hashable, ...] | None:
    recipe = candidate.recipe
    if chain is None or recipe.optimizer not in FUSED or recipe.average != "none":
        return None
    augmented = {name: amount for name in AUGMENTATIONS if (amount := getattr(recipe, name))}
    if recipe.mixup or (augmented and not costs.augments) or not _float32(recipe, chain):
        return None
    if recipe.batch_size < FEW and any(block.normed == "batchnorm" for block in chain.blocks):
        return None
    if candidate.architecture.num_params * recipe.batch_size > costs.large:
        return None
    samples = candidate.architecture.input_shape, recipe.batch_size, *augmented.items()
    return samples, candidate.fidelity, candidate.span


def _float32(recipe: Recipe, chain: Chain) -> bool:
    """Whether it is in float32 wherever it is trained: where bfloat16 may be faster, a training is done alone."""
    widest = max([chain.classes, *(block.width for block in chain.blocks)])
    usual = not wide_enough(widest, recipe.batch_size)
    return recipe.precision == "float32" or (recipe.precision == "auto" and usual)


def seconds(candidate: Candidate, chain: Chain, costs: Costs = COSTS["cpu"]) -> float:
    """Of a step, what a candidate adds to those of its group."""
    batch, weights = candidate.recipe.batch_size, candidate.architecture.num_params
    products = 3 * candidate.architecture.flops * batch * costs.operation
    calls = costs.layer * (len(chain.blocks) + 1)
    return products + costs.element * chain.width * batch + costs.weight * weights + calls


def share(candidate: Candidate, company: int, device: str = "cpu") -> float:
    """Seconds of a step: the share of one among `company` like it, itself included; of 0 in `nas.train.loop`."""
    chain, costs = chain_of(candidate.architecture), COSTS[device]
    if chain is None:
        raise ValueError(f"{candidate.architecture} is no chain of dense blocks; it is trained alone")
    own = seconds(candidate, chain, costs)
    return costs.once / company + own if company else LOOP * (costs.once + own)


def together(candidate: Candidate, memory: int = MEMORY, costs: Costs = COSTS["cpu"]) -> tuple[Hashable, int]:
    """What candidates must share to be trained together, and how many of them are worth it; 1 for one alone."""
    chain = chain_of(candidate.architecture)
    alike = _likeness(candidate, chain, costs)
    if chain is None or alike is None:
        return None, 1
    enough = -(-costs.once * (1 - SHARED) // (SHARED * seconds(candidate, chain, costs)))
    own = bytes_of(candidate.architecture, candidate.recipe.batch_size, chain)
    shared = _inputs(candidate.recipe.batch_size, chain)  # in a search, where all have one order
    return alike, int(max(1, min(costs.most, enough, memory // own, costs.cache // (own - shared))))


def bytes_of(architecture: Architecture, batch: int, chain: Chain) -> int:
    """What a network adds to the memory of its group, at most."""
    # weights here and in the network, gradients, step, two moments, step and buffer of momentum beside Adam; of each
    # level fifteen tensors at most, for batches of two sizes, since the last of an epoch is smaller; of dropped inputs
    # mask, bits and what is left
    dropped = 5 * chain.features * batch if chain.p else 0
    return 4 * (8 * architecture.num_params + 30 * chain.width * batch + dropped) + _inputs(batch, chain)


def _inputs(batch: int, chain: Chain) -> int:
    """Bytes of the inputs of those that have one order of samples: for batches of two sizes, and once more."""
    return 4 * 3 * chain.features * batch
