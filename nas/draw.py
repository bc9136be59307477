"""`python -m nas.draw`: a network as a picture. (`draw(architecture, path)` does it from Python.)"""

from __future__ import annotations

from pathlib import Path

import click

from nas.architecture import Architecture
from nas.command import run_command
from nas.wanted import Wanted

ENDINGS = (".svg", ".pdf", ".png")


def draw(architecture: Architecture, path: str | Path, *, full: bool = False) -> Path:
    """Write a picture of the network: .svg, .pdf or .png. `full`: every layer where it stands, nothing drawn once.

    Raises `ValueError` where the ending is none of these, or matplotlib is not installed.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(f"a picture's file ends in {', '.join(ENDINGS)}; got {str(path)!r}")
    try:
        from nas.drawing.canvas import measure, save
        from nas.drawing.picture import picture

        save(picture(architecture, measure, full), path)
    except ModuleNotFoundError as error:
        raise ValueError(f"drawing needs {error.name}; pip install {error.name}") from None
    return path


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Path(path_type=Path))
@click.option("--trial", metavar="N", help="Trial N of the search, or 'random N', in place of the best network.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="FILE.svg (architecture.svg, beside it).")
@click.option("--full", is_flag=True, help="Every layer in its place; by default what repeats is drawn once.")
def command(what: Path, trial: str | None, out: Path | None, full: bool) -> None:
    """Draw a network: the best of the run directory WHAT, or that of a config.json or of the folder it is in."""
    wanted = Wanted(what, trial)
    number = f"-{wanted.name}" if wanted.name else ""
    click.echo(draw(wanted.architecture, out or wanted.folder / f"architecture{number}.svg", full=full))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for a user's mistake, which it says in one sentence."""
    return run_command(command, arguments, "nas.draw")


if __name__ == "__main__":
    raise SystemExit(main())
