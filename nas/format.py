"""What a file format of exported networks is. A format is one file in `nas/formats/` with one subclass of `Format`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path

from nas.wanted import Wanted


class Format(ABC):
    """How a network, or a search, is written as one file.

    Heavy imports belong inside the methods, so that `--help` is quick. A library that is not installed may raise its
    `ModuleNotFoundError`: the user is told of `pip install 'nas-search[export]'`.
    """

    ENDING: str  # of the file

    def file(self, wanted: Wanted) -> Path:
        """Where it is written unless the user says otherwise."""
        trial = f"_{wanted.name}" if wanted.name else ""  # no hyphen: a .py is imported
        return wanted.folder / f"model{trial}{self.ENDING}"

    @abstractmethod
    def contents(self, wanted: Wanted, name: str) -> bytes:
        """The bytes of the file, which is to be called `name`, its ending left out.

        Raises `ValueError`, in one sentence with the remedy, where the run has not what the format needs.
        """


def metadata(wanted: Wanted) -> dict[str, str]:
    """What is known of the network, as words: config.json's names, each value in JSON."""
    return {name: json.dumps(value) for name, value in wanted.facts.items() if value is not None}
