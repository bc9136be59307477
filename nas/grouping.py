"""Which candidates a worker trains together: by a model of its device, and on a GPU after a trial there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent import futures
from functools import partial

from nas.devices import free_memory
from nas.evaluate import Training
from nas.executor import JobFailed, Workers
from nas.options import Options
from nas.packs import Alike, apart
from nas.train.fused.plan import COSTS, SPARED, Verdict, together

PATIENCE = 180.0  # seconds for a worker to start, to find its GPU and to try it


def tried(options: Options, devices: Sequence[str], executor: Workers) -> Verdict:
    """What a worker says of groups on its GPU; a CPU needs no trial."""
    if not options.fused or devices[0] == "cpu":
        return Verdict(True, "", COSTS["cpu"])
    try:
        return executor.submit(Training.trial).result(PATIENCE)
    except futures.TimeoutError:
        return Verdict(False, f"a trial of it has not ended after {PATIENCE:g} s")
    except JobFailed as error:
        return Verdict(False, f"a trial of it has failed: {error}")


def grouped(options: Options, devices: Sequence[str], verdict: Verdict) -> Alike:
    """How `nas.packs` is to make packs."""
    if not options.groups or not verdict.works:
        return apart
    memory = free_memory() // len(devices) // SPARED if devices[0] == "cpu" else sys.maxsize  # a GPU's is seen there
    return partial(together, memory=memory, costs=verdict.costs)
