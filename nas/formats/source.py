"""Python source that imports torch alone: the class `Network`, and `load()`."""

from __future__ import annotations

from nas.folder import model_source
from nas.format import Format
from nas.wanted import Wanted


class Source(Format):
    """The only format that needs no weights."""

    ENDING = ".py"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        return model_source(wanted.architecture, wanted.facts, name).encode()
