"""A stand-in for CUDA graphs on a CPU: what is captured has no effect, and a replay repeats it on the same memory.

So a step that takes a number from the host, or makes a tensor anew where a graph would not, is found out: its replays
repeat what was true when it was captured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Graph(TorchDispatchMode):
    """`torch.cuda.CUDAGraph`, as far as it is used here."""

    made: list[Graph] = []
    capturing = False

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[Any, Any]] = {}  # storages that were written to, as they were
        self.replays = 0

    def capture_begin(self, capture_error_mode: str) -> None:
        assert capture_error_mode == "thread_local"
        Graph.capturing = True
        self.__enter__()

    def capture_end(self) -> None:
        self.__exit__(None, None, None)
        Graph.capturing = False
        for storage, content in self.before.values():
            storage.copy_(content)
        Graph.made.append(self)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        written, made = _written(func, args, kwargs)
        for tensor in written:
            storage = tensor.untyped_storage()
            self.before.setdefault(storage._cdata, (storage, storage.clone()))
        found = func(*args, **kwargs)
        if written or made:
            self.calls.append((func, args, kwargs, found if made else None))
        return found

    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, found in self.calls:
            again = func(*args, **kwargs)
            if found is not None:
                for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True):
                    old.copy_(new)


def _written(func: Any, args: Any, kwargs: Any) -> tuple[list[Tensor], bool]:
    """The tensors that a call writes to, and whether it returns new ones; views are neither."""
    schema, written = func._schema, list[Tensor]()
    for place, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(argument.name)
            written += [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]
    assert func is not torch.ops.aten._local_scalar_dense.default, "the host asks for a value"
    assert func is not torch.ops.aten.lift_fresh.default, "a tensor is made from numbers of the host"
    return written, any(returned.alias_info is None for returned in schema.returns)


class Stream:
    """Waits for nobody."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait_stream(self, other: Stream) -> None:
        assert other is not self


class Cuda:
    """What of `torch.cuda` is replaced; `streams` are those in use, the current one last."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.streams = [Stream(torch.device("cpu"))]
        self.used: set[int] = set()
        self.emptied = 0
        Graph.made, Graph.capturing = [], False
        replaced = {"CUDAGraph": Graph, "Stream": Stream, "stream": self.stream, "current_stream": self.current}
        replaced |= {"is_initialized": lambda: True, "is_current_stream_capturing": lambda: Graph.capturing}
        replaced |= {"empty_cache": self.empty}
        for name, value in replaced.items():
            patch.setattr(torch.cuda, name, value)

    def empty(self) -> None:
        self.emptied += 1

    def current(self, device: torch.device | None = None) -> Stream:
        return self.streams[-1]

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        self.used.add(id(stream))
        self.streams.append(stream)
        try:
            yield
        finally:
            self.streams.pop()
