"""`python -m nas.report`: a run directory as a page. (`write_report(path)` does it from Python.)"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from nas.command import run_command


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


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Write RUN/report.html, the report of the search in the run directory RUN, and its figures to RUN/figures."""
    click.echo(write_report(run))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for a user's mistake, which it says in one sentence."""
    return run_command(command, arguments, "nas.report")


if __name__ == "__main__":
    raise SystemExit(main())
