"""Random bits as a function of seed, layer, element and step: no stream, so nothing to draw, to keep or to hand on.

Every element has a random number of its own, its salt; every step of a member another, its key; the bits are what two
rounds of a 32-bit mixer (multiply and xor-shift; the constants are those of lowbias32, by Chris Wellons) make of their
sum. Integers of 32 bits wrap alike on every device, so a GPU computes to the bit what a CPU does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nas.dataset import Array
from nas.train.fused.activations import Step

FIRST, SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)  # odd, as int32
APART = 0x9E3779B9  # between the numbers of two steps


def salts(seed: int, layer: int, elements: int) -> Array:
    """Those of the elements of a layer, int32 (elements,)."""
    (start,) = np.random.SeedSequence((seed, layer)).generate_state(1)
    return mixed(np.arange(elements, dtype=np.uint32) + start)


def keys(seeds: Sequence[int], taken: Sequence[int], steps: int) -> Array:
    """Of each member those of so many steps after the ones it has taken, int32 (steps, members)."""
    starts = np.array([np.random.SeedSequence(seed).generate_state(1)[0] for seed in seeds], dtype=np.uint32)
    steps_of = np.arange(steps, dtype=np.uint32)[:, None] + np.array(taken, dtype=np.uint32)
    return mixed(steps_of * np.uint32(APART) + starts)


def mixed(numbers: Array) -> Array:
    """What the mixer makes of uint32, as int32."""
    x = numbers.view(np.int32)
    for shift, factor in ((16, FIRST), (15, SECOND)):
        x = (x ^ (x >> shift)) * np.int32(factor)
    return x


def mixing(bits: Tensor) -> list[Step]:
    """The same in place, for int32."""
    shifted = torch.empty_like(bits)
    return [
        step
        for shift, factor in ((16, FIRST), (15, SECOND))
        for step in (
            partial(torch.bitwise_right_shift, bits, shift, out=shifted),
            partial(bits.bitwise_xor_, shifted),
            partial(bits.mul_, factor),
        )
    ]
