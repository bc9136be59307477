"""`python -m nas.draw`: a network as a picture. (`draw(architecture, path)` does it from Python.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nas.architecture import Architecture
from nas.command import run_command

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


def found(what: Path, trial: int | None = None) -> tuple[Architecture, Path]:
    """The architecture that is meant by a run directory, a config.json or its folder, and where its picture goes.

    Raises `ValueError` where there is none.
    """
    if not what.exists():
        raise ValueError(f"{str(what)!r} does not exist; give a run directory, or a config.json of a best/ folder")
    if trial is not None:
        return _trial(what, trial), what / f"architecture-trial{trial}.svg"
    files = [what] if what.is_file() else [what / "config.json", what / "best" / "config.json"]
    file = next((file for file in files if file.is_file()), None)
    if file is None and (what / "trials.jsonl").is_file():
        raise ValueError(f"the search in {what} has no best network yet; finish it or give --trial N")
    if file is None:
        raise ValueError(f"{what} holds no config.json and no best/config.json; give a run directory or a best/ folder")
    try:
        architecture = Architecture.from_json(json.loads(file.read_text(encoding="utf-8"))["architecture"])
        _ = architecture.num_params
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError(f"{file} holds no architecture; give the config.json of a run's best/ folder") from None
    return architecture, file.with_name("architecture.svg")


def _trial(what: Path, number: int) -> Architecture:
    log = what / "trials.jsonl"
    if not log.is_file():
        raise ValueError(f"--trial needs a run directory, and {what} has no trials.jsonl; give the folder of a search")
    rows = _rows(log)
    if number not in rows:
        held = f"trials {min(rows)}..{max(rows)}" if rows else "none"
        raise ValueError(f"trial {number} is not in {log}, which holds {held}; give one of those as --trial")
    from nas.options import Options, read_yaml
    from nas.problem import Problem

    try:
        space = Problem.of(Options.of(read_yaml(str(what / "config.yaml")))).space
        return space.replay(rows[number]["choices"]).architecture
    except ValueError as error:
        raise ValueError(
            f"trial {number} cannot be drawn, since its space cannot be made again from {what / 'config.yaml'} "
            f"({error}); draw {what}, whose best network is kept as it is"
        ) from None


def _rows(log: Path) -> dict[int, dict[str, Any]]:
    """The whole lines of a log by number of trial; a last line cut short is passed over."""
    rows = {}
    for number, line in enumerate(log.read_text(encoding="utf-8").rpartition("\n")[0].splitlines(), 1):
        try:
            row = json.loads(line)
            rows[int(row["number"])] = {"choices": dict(row["choices"])}
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{log}, line {number} is damaged; restore the file") from None
    return rows


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Path(path_type=Path))
@click.option("--trial", type=click.IntRange(0), metavar="N", help="Trial N of the run, in place of its best network.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="FILE.svg (architecture.svg, beside it).")
@click.option("--full", is_flag=True, help="Every layer in its place; by default what repeats is drawn once.")
def command(what: Path, trial: int | None, out: Path | None, full: bool) -> None:
    """Draw a network: the best of the run directory WHAT, or that of a config.json or of the folder it is in."""
    architecture, beside = found(what, trial)
    click.echo(draw(architecture, out or beside, full=full))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for a user's mistake, which it says in one sentence."""
    return run_command(command, arguments, "nas.draw")


if __name__ == "__main__":
    raise SystemExit(main())
