"""The monitors that the command line offers, found by name like strategies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import plugins
from nas.apart import Apart
from nas.events import Monitor, Queued

FOLDER = "nas.monitors"


@cache
def watching() -> dict[str, type[Monitor]]:
    """The monitors that are options, by name."""
    found = {name: plugins.find(FOLDER, name, Monitor) for name in plugins.names(FOLDER)}
    return {name: kind for name, kind in found.items() if kind.HELP}


def open_monitors(wanted: Mapping[str, str], path: Path, config: Mapping[str, Any]) -> tuple[list[Monitor], list[str]]:
    """The monitors named, each in a process of its own, and what they have to say to the user.

    Raises `ValueError` for a name that is none, or a monitor that cannot do its work.
    """
    unknown = [name for name in wanted if name not in watching()]
    if unknown:
        raise ValueError(f"there is no monitor {unknown[0]!r}; {plugins.nearest(unknown[0], watching())}")
    made: list[Monitor] = []
    try:
        for name, value in wanted.items():
            made.append(watching()[name].of(value, path, config))
    except ValueError:
        for monitor in made:
            monitor.closed(path)
        raise
    told = [Queued(monitor if monitor.apart else Apart(monitor)) for monitor in made]
    return list(told), [monitor.notice for monitor in made if monitor.notice]


def close_monitors(told: Monitor, names: Iterable[str], path: Path, console: Console, verbosity: int) -> None:
    """Wait for the monitors, which may take seconds, and say so; Ctrl-C ends the waiting alone: the search is done."""
    words = ", ".join(names) or "those who watch"
    try:
        with console.status(f"{words}: writing what is left") if verbosity >= 0 else nullcontext():
            told.closed(path)
    except KeyboardInterrupt:
        console.print(
            f"warning: not all was written ({words}), since it was interrupted", style="yellow", highlight=False
        )
