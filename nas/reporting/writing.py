"""The report of a run directory, asked for or at the end of a search. Its packages are imported when it is written."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console


def write_report(path: Path) -> Path:
    """Write report.html, one file that needs nothing from outside, and figures/ into a run directory; the page.

    The search may still be running, or have no result: the page says what is missing. Raises `ValueError` where `path`
    is no run directory, or a package that reports need is not installed.
    """
    try:
        from nas.reporting.page import write
    except ModuleNotFoundError as error:
        raise ValueError(f"a report needs {error.name}; pip install {error.name}") from None
    return write(path)


def try_report(path: Path, console: Console) -> None:
    """The same at the end of a search; what goes wrong is said, and costs nothing else."""
    try:
        write_report(path)
    except (Exception, KeyboardInterrupt) as error:  # a search is not lost to its picture
        console.print(f"warning: no report was written: {error!r}", style="yellow", highlight=False, markup=False)
