"""`python -m nas.export`: a network of a run as a file for others. (`export(run, format)` does it from Python.)"""

from __future__ import annotations

from pathlib import Path

import click

from nas import plugins
from nas.command import run_command
from nas.format import Format
from nas.record import read_json
from nas.wanted import Wanted

FOLDER = "nas.formats"


def export(run: str | Path, format: str, *, trial: int | str | None = None, out: str | Path | None = None) -> Path:
    """Write the best network of `run` (a run directory or a best/ folder), or a trial of it; the path of the file.

    `format` is a file of `nas/formats/`, or `package.module:Class`. The file is written whole or not at all. Raises
    `ValueError` where the run, the format or the folder of `out` is none, or what the format needs is not there.
    """
    name = format if ":" in format else format.replace(".", "_").replace("-", "_")  # torch.export is torch_export.py
    kind: Format = plugins.find(FOLDER, name, Format)()
    wanted = Wanted(Path(run), trial)
    file = kind.file(wanted) if out is None else Path(out)
    if file.is_dir():
        raise ValueError(f"{str(file)!r} is a folder; give a file in it as --out")
    if file.exists() and not file.is_file():  # it would be replaced, and /dev/stdout is not only ours
        raise ValueError(f"{str(file)!r} is no file that can be replaced; give another --out")
    if out is not None and not file.parent.is_dir():
        raise ValueError(f"{str(file.parent)!r} is no folder; make it, or give another --out")
    try:
        contents = kind.contents(wanted, file.stem)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--format {format} needs {error.name}, which is not installed; pip install 'nas-search[export]'"
        ) from None
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_bytes(contents)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", required=True, metavar="FORMAT", help=f"{', '.join(plugins.names(FOLDER))}.")
@click.option("--trial", metavar="N", help="Trial N of the search, or 'random N', in place of the best network.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="FILE (model.py, .pt, ..., beside it).")
def command(run: Path, format: str, trial: str | None, out: Path | None) -> None:
    """Write the best network of RUN, a run directory or a best/ folder, for other programs to read.

    optuna writes the trials of the search instead, as a study: RUN/optuna.db.
    """
    click.echo(export(run, format, trial=trial, out=out))
    if trial is None and (chosen := read_json(run / "selection.json").get("chosen", "best")) != "best":
        click.echo(f"this is the best single network; what {run} hands over lies in {run / chosen}", err=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for a user's mistake, which it says in one sentence."""
    return run_command(command, arguments, "nas.export")


if __name__ == "__main__":
    raise SystemExit(main())
