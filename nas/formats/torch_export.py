"""The graph that `torch.export` makes, its batch size free, for `torch.export.load(FILE).module()`."""

from __future__ import annotations

import io
import json
from typing import Any

from nas.format import Format
from nas.wanted import Wanted


class TorchExport(Format):
    """config.json lies inside, as an extra file."""

    ENDING = ".pt2"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        import torch

        example, shapes = of_any_batch(wanted)
        program = torch.export.export(wanted.network(), example, dynamic_shapes=shapes, strict=False)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={"config.json": json.dumps(wanted.facts)})
        return buffer.getvalue()


def of_any_batch(wanted: Wanted) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Example arguments of the network, and which of their dimensions are free: the batch."""
    import torch

    example = torch.zeros(2, *wanted.architecture.input_shape)  # a batch of 1 torch would take for a constant
    return (example,), ({0: torch.export.Dim("batch")},)
