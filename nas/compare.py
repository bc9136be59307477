"""`python -m nas.compare`: strategies on one problem, several seeds of each, and whether they can be told apart."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from nas.cli import gathered
from nas.cli import search as search_command
from nas.command import run_command
from nas.comparing import table
from nas.comparing.figure import draw
from nas.comparing.runs import Comparison
from nas.configfile import read_yaml
from nas.options import Options
from nas.result import Result
from nas.run import run

STRATEGIES = ("random", "evolution", "predictor")
SEEDS = 5
OUT = "runs/comparison"
OWN = ("strategy", "seed", "out", "baseline", "dry_run", "verbose", "quiet", "config")  # what search has too


def compare(
    strategies: Sequence[str] = STRATEGIES,
    seeds: int = SEEDS,
    out: str | Path = OUT,
    *,
    first_seed: int = 0,
    verbose: bool = False,
    **options: Any,
) -> Comparison:
    """Search with each of `strategies` and each of so many seeds, as `nas.search` with the same options does.

    The searches lie in the folder `out`, beside comparison.md, comparison.csv and comparison.svg; the same call goes on
    with them, more seeds or strategies add to them. Raises `ValueError` for a mistake before anything is trained.
    """
    named = [strategies] if isinstance(strategies, str) else list(strategies)
    console, compared = Console(stderr=True), Comparison.of(Path(out), named, first_seed, seeds)
    number = 0

    def search(one: Options) -> Result:
        nonlocal number
        number += 1
        if not verbose:
            return run(one, console)
        with console.status(f"{one.strategy}, seed {one.seed}: search {number} of {len(named) * seeds}"):
            return run(one, console)

    def told(line: str) -> None:
        if verbose:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    try:
        compared.run(options, search, told)
    finally:  # what has been found is shown, whatever has come after it
        if compared.found:
            table.write(compared)
            draw(compared)
    return compared


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--strategy", "strategies", multiple=True, metavar="STRATEGY", help="To compare; the first one with all.")
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, help=f"Searches with each strategy ({SEEDS}).")
@click.option("--seed", type=click.IntRange(0), default=0, help="The first of them (0).")
@click.option("--out", default=OUT, help=f"Folder of all searches ({OUT}); the same command goes on with them.")
@click.option("--config", metavar="FILE", help="YAML file with options of the searches.")
def command(strategies: tuple[str, ...], seeds: int, seed: int, out: str, config: str | None, **given: Any) -> int:
    """Compare search strategies on one problem: --strategy A --strategy B, and all options of nas.search."""
    from_file = {key: value for key, value in (read_yaml(config) if config else {}).items() if key not in OWN}
    from_file.pop("report", None)  # of every search a page: where it is asked for here
    options = {**gathered(from_file), **gathered(given)}
    found = compare(strategies or STRATEGIES, seeds, out, first_seed=seed, verbose=True, **options)
    print_comparison(found, Console())
    return 130 if found.interrupted else 0 if found.found else 1


command.params += [parameter for parameter in search_command.params if parameter.name not in OWN]


def print_comparison(compared: Comparison, console: Console) -> None:
    if not compared.found:
        console.print(f"No search has ended; the same command goes on in {compared.path}", highlight=False)
        return
    shown = Table()
    for n, column in enumerate(table.columns(compared)):
        shown.add_column(column, justify="right" if n else "left", overflow="fold")
    for row in table.rows(compared):
        shown.add_row(*row)
    console.print(shown)
    ended = ["Interrupted; the same command continues."] if compared.interrupted else []
    files = ", ".join(f"comparison.{kind}" for kind in ("md", "csv", "svg"))
    for line in (*table.notes(compared), *ended, f"Everything is in {compared.path}/: {files}"):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 (no search has a result), 2 (a mistake), 130 (Ctrl-C)."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as of a search
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return run_command(command, arguments, "nas.compare", "interrupted; the same command begins again, or goes on")


if __name__ == "__main__":
    raise SystemExit(main())
