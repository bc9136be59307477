"""The tensors alone in safetensors, with what is known of the network as its metadata."""

from __future__ import annotations

from nas.format import Format, metadata
from nas.wanted import Wanted


class SafeTensors(Format):
    """Like best/weights.safetensors, but complete in itself: the metadata hold the architecture and the classes."""

    ENDING = ".safetensors"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        from safetensors.torch import save

        return save(wanted.network().state_dict(), {"format": "pt", **metadata(wanted)})
