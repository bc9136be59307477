"""Python source that imports torch alone: the class `Network`, and `load()`."""

from __future__ import annotations

from nas.folder import model_source
from nas.format import Format
from nas.wanted import Wanted


class Source(Format):
    """The only format of a network that needs no weights."""

    ENDING = ".py"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        architecture, facts = wanted.architecture, wanted.facts
        try:
            return model_source(architecture, facts, name if name.isidentifier() else "model").encode()
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{wanted.folder / 'config.json'} is damaged; run the search's command again, which writes it anew"
            ) from None
