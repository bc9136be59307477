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

        buffer = io.BytesIO()
        torch.export.save(program(wanted), buffer, extra_files={"config.json": json.dumps(wanted.facts)})
        return buffer.getvalue()


def program(wanted: Wanted) -> Any:
    """The `torch.export.ExportedProgram`: x (batch, *input_shape) -> logits (batch, classes)."""
    import torch

    example = torch.zeros(2, *wanted.architecture.input_shape)  # of 1 torch would make a constant
    free = {0: torch.export.Dim("batch")}
    return torch.export.export(wanted.network(), (example,), dynamic_shapes=(free,), strict=False)
