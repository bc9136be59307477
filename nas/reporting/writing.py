"""The report of a run directory, asked for or at the end of a search. Its packages are imported when it is written."""

from __future__ import annotations

import shlex
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


def try_report(path: Path, console: Console) -> bool:
    """The same at the end of a search; what goes wrong is said, and costs nothing else. False: it was interrupted."""
    try:
        write_report(path)
    except (Exception, KeyboardInterrupt) as error:  # a search is not lost to its picture
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else repr(error)
        said = f"warning: no report was written ({why}); python -m nas.report {shlex.quote(str(path))} writes it"
        console.print(said, style="yellow", highlight=False, markup=False, soft_wrap=True)
        return not isinstance(error, KeyboardInterrupt)
    return True
