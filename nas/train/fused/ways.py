"""How a step is written for a kind of device: a CPU is near and may be asked, a GPU is far and wants few calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ways:
    """`asks`: values may be looked at in a step, where that saves work; elsewhere it would wait for the device.

    `merged`: products of one shape that lie evenly spaced are one call, and the others may run side by side.
    `hashed`: dropout is a function of member, step and element, not a stream of bits from the host.
    `recorded`: a step is replayed as a CUDA graph once it has been taken.
    `evaluated`: elements of the samples, or of a level of all members, in a forward pass of an evaluation.
    """

    asks: bool
    merged: bool
    hashed: bool
    recorded: bool
    evaluated: int


WAYS = {
    "cpu": Ways(asks=True, merged=False, hashed=False, recorded=False, evaluated=1 << 18),
    "cuda": Ways(asks=False, merged=True, hashed=True, recorded=True, evaluated=1 << 21),
}
