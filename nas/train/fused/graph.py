"""Steps as CUDA graphs: recorded once, replayed by one call; a processor that launches kernels one by one is the limit.

What is recorded reads and writes tensors that stay where they are, asks nothing of the device and makes no tensor from
numbers of the host. Everything here but the recording itself is tried on a CPU, with a stand-in for `torch.cuda`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from nas.train.fused.activations import Step

BRANCHES = 8  # streams on which calls that do not touch each other are recorded side by side


class Aside:
    """Calls of which none waits for another: in turn, but recorded in branches."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)

    def __call__(self) -> None:
        if len(self.steps) > 1 and _recording():
            self._branch()
            return
        for step in self.steps:
            step()

    def _branch(self) -> None:
        here = torch.cuda.current_stream()
        streams = _streams(here.device)[1 : 1 + len(self.steps)]
        for number, stream in enumerate(streams):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                for step in self.steps[number :: len(streams)]:
                    step()
        for stream in streams:
            here.wait_stream(stream)


class Recording:
    """Of a step that is taken as it is for the first time, then recorded, and replayed ever after.

    The first time loads kernels and grows workspaces, which cannot be done while recording; recording itself computes
    nothing, so no step is taken twice. Where a recording fails, which is said once, steps are taken as they are to the
    end of the job, after which the process is replaced: its allocator may believe that it is still recording.
    """

    works = True  # of all: what was recorded before may have lost a workspace to the one that has failed

    def __init__(self, device: torch.device) -> None:
        self._device, self._taken = device, False
        self._graph: Any = None

    def take(self, step: Step) -> None:
        """Take the step, always the same one."""
        if self._graph is None and self._taken and Recording.works:
            self._graph = self._recorded(step)
        if self._graph is not None and Recording.works:
            self._graph.replay()
            return
        here, aside = torch.cuda.current_stream(self._device), _streams(self._device)[0]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            step()
        here.wait_stream(aside)
        self._taken = True

    def _recorded(self, step: Step) -> Any:
        """The graph of it; None where it cannot be had."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(_streams(self._device)[0]):
                graph.capture_begin(capture_error_mode="thread_local")  # other threads may do as they like
                try:
                    step()
                finally:
                    graph.capture_end()
        except Exception as error:  # of CUDA, of its allocator, of a version of torch that does it otherwise
            Recording.works = False
            logging.getLogger("nas").warning("steps are not recorded as CUDA graphs: %s", error)
            return None
        return graph


def forget() -> None:
    """Give back what recordings that are gone have held: no other and nothing else can use it until then."""
    torch.cuda.empty_cache()


def _recording() -> bool:
    begun = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return begun and torch.cuda.is_current_stream_capturing()


@cache
def _streams(device: torch.device) -> list[Any]:
    """One to record on and those of the branches; the same ones for all groups, for each has workspaces of its own.

    They are grown here, by a product: inside a recording they would belong to it.
    """
    streams = [torch.cuda.Stream(device) for _ in range(1 + BRANCHES)]  # type: ignore[no-untyped-call]  # likewise
    one, here = torch.ones(1, 1, device=device), torch.cuda.current_stream(device)
    for stream in streams:
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            torch.mm(one, one)
        here.wait_stream(stream)
    return streams
