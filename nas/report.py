"""`python -m nas.report`: a run directory as a page. (`write_report(path)` does it from Python.)"""

from __future__ import annotations

from pathlib import Path

import click

from nas.command import run_command
from nas.reporting.writing import write_report

__all__ = ["write_report"]


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
