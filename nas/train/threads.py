"""Threads of torch: one for what is timed or compared, more for a training that has the machine for itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from nas.candidate import Candidate
from nas.network import Network

STEPS, ENOUGH = 5, 0.3  # that are timed, or seconds after which fewer will do


@contextmanager
def one_thread() -> Iterator[None]:
    """As many threads as before come back; sums come out the same on any number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def gain(evaluator: object, candidate: Candidate, threads: int) -> float:
    """What each thread after the first adds to the speed of a training, of 1 at best, on this machine as it is now.

    Where others are at work it may be less than nothing: threads wait for each other. To be submitted to a worker.
    """
    before = torch.get_num_threads()
    step = _step(candidate)
    try:
        times = [[_seconds(step, n) for n in (1, threads)] for _ in range(2)]
    finally:
        torch.set_num_threads(before)
    alone, together = (min(both) for both in zip(*times, strict=True))
    return float((alone / together - 1) / (threads - 1))


def _step(candidate: Candidate) -> Callable[[], None]:
    """Forward and backward of the candidate's network, on numbers that are made up."""
    with torch.random.fork_rng(devices=[]):
        network = Network(candidate.architecture)
        x = torch.randn(candidate.recipe.batch_size, *candidate.architecture.input_shape)

    def step() -> None:
        network.zero_grad()
        network(x).square().mean().backward()

    return step


def _seconds(step: Callable[[], None], threads: int) -> float:
    torch.set_num_threads(threads)
    step()
    start = time.perf_counter()
    steps = 0
    while steps < STEPS and time.perf_counter() - start < ENOUGH:
        step()
        steps += 1
    return (time.perf_counter() - start) / steps
