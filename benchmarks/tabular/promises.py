"""The proxies of networks in a table, measured once for all searches among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from benchmarks.tabular.cells import Cells
from nas.architecture import Architecture
from nas.dataset import Dataset
from nas.proxies import MEASURED, Proxies
from nas.strategy import Strategy
from search_spaces.nasbench201 import EDGES, OPERATIONS

SMALL = 16  # height and width of the images on which all cells are measured, in a skeleton of one cell a stage
ALIKE = ("synflow", "nwot", "jacov")  # what ranks cells there as it does in the full skeleton
Memory = dict[tuple[str, str], float]  # of a proxy's name and a network's digest


class Remembered(Proxies):
    """As `Proxies`, with what any search of this process has measured, or a file has of all cells."""

    def __init__(self, names: str, memory: Memory) -> None:
        super().__init__(names)
        self._memory = memory

    def value(self, name: str, architecture: Architecture) -> float:
        key = (name, architecture.digest)
        if name in MEASURED and key not in self._memory:
            self._memory[key] = super().value(name, architecture)
        return self._memory[key] if name in MEASURED else super().value(name, architecture)


def remembering(strategy: Strategy, file: Path | None) -> Strategy:
    """The strategy, which may have proxies."""
    if isinstance(proxies := getattr(strategy, "proxies", None), Proxies):
        strategy.proxies = Remembered("+".join(proxies.names), memory(file))  # type: ignore[attr-defined]  # it has
    return strategy


@lru_cache(maxsize=1)
def memory(file: Path | None) -> Memory:
    """That of this process. Raises `ValueError` where a file is not one that `write` has left."""
    if file is None:
        return {}
    try:
        with np.load(file) as columns:
            found = {name: columns[name].tolist() for name in columns.files}
        cells = ["|".join(operations) for operations in product(OPERATIONS, repeat=len(EDGES))]
        return {(name, cell): value for name in found for cell, value in zip(cells, found[name], strict=True)}
    except (OSError, ValueError, BadZipFile) as error:
        raise ValueError(
            f"--promises {file} cannot be read: {error}; python -m benchmarks.proxies table makes it"
        ) from None


def write(file: Path, names: Sequence[str], images: Dataset | None) -> None:
    """Measure all cells; those that compute the same once."""
    columns = {name: np.array([*_measured(name, images)]) for name in names if name in MEASURED}
    np.savez(file, **columns)  # type: ignore[arg-type]  # typed for positions alone


def small() -> Cells:
    return Cells((3, SMALL, SMALL), 10, cells=1)


def _measured(name: str, images: Dataset | None) -> Iterator[float]:
    proxies, met = Proxies(name), dict[str, float]()
    proxies.look(images)
    for candidate in small():
        network = Architecture(candidate.architecture.input_shape, candidate.architecture.nodes)
        if network.digest not in met:
            met[network.digest] = proxies.value(name, network)
        yield met[network.digest]
