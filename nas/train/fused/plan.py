"""Which trainings are done together, and how many at once: by a model of what a step costs, measured on a CPU.

A step has calls that are made once for a group, calls for each of its members and layers, and arithmetic. Where the
arithmetic of one network dwarfs the calls there is nothing to share. `python -m benchmarks.scaling members` puts the
model beside what it measures.
"""

from __future__ import annotations

from collections.abc import Hashable

from nas.recipe import AUGMENTATIONS, DEFAULTS, Recipe
from nas.space import Candidate
from nas.train.fused.chain import Chain, chain_of

FAMILIES = ("adamw", "adam", "sgd", "nesterov")  # the first steps of rmsprop and adagrad magnify what was only rounded
WIDE, WIDE_BATCH = 256, 256  # from here on bfloat16 is the faster format, and such a training is done alone
ONCE = 300e-6  # seconds of the calls that a group makes once a step
LAYER = 25e-6  # seconds of the calls that each layer of each member adds
FLOPS = 5e10  # of matrix products, a second
ELEMENT = 8e-9  # seconds for each element between the layers: normalisation, activation, dropout, both ways
SHARED = 0.1  # the calls that are made once are to be no more than this share of a step ...
MOST = 32  # ... but no more members than this are asked for
FEW = 8  # samples: BatchNorm over fewer magnifies rounding too
MEMORY = 1 << 29  # bytes of a group, where it is not said how many there are


def family(recipe: Recipe) -> tuple[Hashable, ...]:
    """What recipes must share to be moved by one optimizer."""
    adam = recipe.optimizer in ("adamw", "adam")
    return ("adam",) if adam else (recipe.optimizer, recipe.momentum)


def likeness(candidate: Candidate) -> tuple[Hashable, ...] | None:
    """Candidates that are alike in this can be trained together; None for one that must be trained alone."""
    return _likeness(candidate, chain_of(candidate.architecture))


def _likeness(candidate: Candidate, chain: Chain | None) -> tuple[Hashable, ...] | None:
    recipe = candidate.recipe
    if chain is None or recipe.optimizer not in FAMILIES or recipe.average != "none":
        return None
    if any(getattr(recipe, name) != DEFAULTS[name] for name in AUGMENTATIONS) or not _float32(recipe, chain):
        return None
    if recipe.batch_size < FEW and any(block.normed == "batchnorm" for block in chain.blocks):
        return None
    return candidate.architecture.input_shape, candidate.fidelity, candidate.span, recipe.batch_size, family(recipe)


def _float32(recipe: Recipe, chain: Chain) -> bool:
    widest = max(block.width for block in chain.blocks)
    usual = widest < WIDE or (widest < 2 * WIDE and recipe.batch_size < WIDE_BATCH)
    return recipe.precision == "float32" or (recipe.precision == "auto" and usual)


def seconds(candidate: Candidate, chain: Chain) -> float:
    """Of a step, what a candidate adds to those of its group."""
    batch = candidate.recipe.batch_size
    arithmetic = 3 * candidate.architecture.flops * batch / FLOPS
    return arithmetic + ELEMENT * chain.width * batch + LAYER * (len(chain.blocks) + 1)


def together(candidate: Candidate, memory: int = MEMORY) -> tuple[Hashable, int]:
    """What candidates must share to be trained together, and how many of them are worth it; 1 for one alone."""
    chain = chain_of(candidate.architecture)
    alike = _likeness(candidate, chain)
    if chain is None or alike is None:
        return None, 1
    enough = -(-ONCE * (1 - SHARED) // (SHARED * seconds(candidate, chain)))
    return alike, int(max(1, min(MOST, enough, memory // bytes_of(candidate, chain))))


def bytes_of(candidate: Candidate, chain: Chain) -> int:
    """What a candidate adds to the memory of its group, at most."""
    # weights here and in the network, gradients, step, two moments; of each level twelve tensors at most, for batches
    # of two sizes, since the last of an epoch is smaller
    return 4 * (6 * candidate.architecture.num_params + 24 * chain.width * candidate.recipe.batch_size)
