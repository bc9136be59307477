"""The tensors alone, under the names of the exported source, for `torch.load(FILE, weights_only=True)`."""

from __future__ import annotations

import io

from nas.format import Format
from nas.wanted import Wanted


class StateDict(Format):
    """`Network().load_state_dict(torch.load(FILE, weights_only=True))`, Network from the source."""

    ENDING = ".pt"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        import torch

        buffer = io.BytesIO()
        torch.save(dict(wanted.network().state_dict()), buffer)
        return buffer.getvalue()
