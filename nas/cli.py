"""The command line of a search: options to `nas.options`, mistakes to one sentence, results to a table."""

from __future__ import annotations

import os
import signal
from typing import Any

import click
from rich.console import Console

from nas import plugins
from nas.command import run_command
from nas.configfile import read_yaml
from nas.dryrun import describe
from nas.options import DEFAULT_TRIALS, Options
from nas.run import run
from nas.summary import print_result
from nas.watching import watching

HELP = {
    "space": "Search space: {spaces}, or package.module:Class; options as NAME:key=value,...",
    "budget": "Parameter budget, the most parameters a network may have: 20M, 2.5e6, 800K, 20_000_000. Required.",
    "data": "Data as KIND:PATH; kinds: {kinds}.",
    "strategy": "Search strategy: {strategies}, or package.module:Class; options as NAME:key=value,...",
    "objective": "What is maximised: accuracy, or accuracy,-params,-flops,-latency for the front of all (accuracy).",
    "trials": f"Networks to train ({DEFAULT_TRIALS} where no --time is given).",
    "time": "Time limit of search and final training, reading the data and the report apart: 90s, 10m, 1h30m.",
    "epochs": "Most epochs a network is trained (8).",
    "patience": "Epochs without improvement after which a training stops (half of them).",
    "min-change": "Least improvement of validation accuracy that counts (0).",
    "patience-from": "Epoch before which no training stops (0).",
    "final-epochs": "Epochs of the final training of the best networks (4 x --epochs, or the time left); 0: none.",
    "finalists": "Networks that are trained again from scratch, the best of the search (3; under --time what fits).",
    "final-seeds": "Fresh seeds for each of them; their mean decides (3; under --time what fits).",
    "fix": "Choices fixed or narrowed: optimizer=adamw,lr=1e-3|2e-3,depth=4.",
    "only": "Choices that are searched, all others at their defaults: width,depth.",
    "sample": "Share of the training part that the search trains on; the final training uses all (1).",
    "folds": "Folds of cross-validation; their mean is what is maximised (1: the validation part).",
    "normalise": "zscore, minmax, none, utterance or utterance-mean (what suits the kind of data).",
    "fill": "Least share of the parameter budget a network uses (0.9 where widths are solved, none for free).",
    "workers": "Processes that train, or auto: one a GPU, else one a core. 0: in this process.",
    "workers-per-gpu": "Processes on each GPU, where --workers is auto (1).",
    "executor": "What the workers run on: {executors}, or package.module:Class (local, processes of this machine).",
    "ray-address": "Ray cluster to train on, auto: the one of this machine; means --executor ray.",
    "trial-timeout": "Time after which a training is stopped and has failed: 90s, 10m (none).",
    "device": "auto, cpu, cuda or cuda:N.",
    "seed": "Seed of every random choice (0).",
    "out": "Run directory; the same command continues it (runs/<name of the search>).",
}


def _options(command: Any) -> Any:
    lists = {"spaces": "search_spaces", "kinds": "nas.data", "strategies": "strategies", "executors": "nas.executors"}
    known = {word: ", ".join(plugins.names(folder)) for word, folder in lists.items()}
    for name, kind in sorted(watching().items(), reverse=True):
        shape: Any = (
            {"metavar": f"[{kind.VALUE}]", "is_flag": False, "flag_value": ""} if kind.VALUE else {"is_flag": True}
        )
        command = click.option(f"--{name}", help=kind.HELP, default=None, **shape)(command)
    for name, text in reversed(HELP.items()):
        metavar = name.upper().replace("-", "_")
        command = click.option(f"--{name}", metavar=metavar, help=text.format(**known))(command)
    return command


def gathered(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given; monitors gathered by that name, --no-final and --ray-address as what they mean."""
    options = {key: value for key, value in given.items() if value is not None}
    if options.pop("no_final", False):
        if (epochs := options.get("final_epochs", 0)) not in (0, "0"):
            raise ValueError(f"--final-epochs {epochs} is of the final training, which --no-final leaves out")
        options["final_epochs"] = 0
    if (address := options.pop("ray_address", None)) is not None:
        if not str(address).strip():  # a variable that is not set, and the search would train here, unasked
            raise ValueError(f"--ray-address must be auto or HOST:6379, got {address!r}")
        if options.get("executor", "ray") != "ray":
            raise ValueError(
                f"--ray-address {address} is of --executor ray; leave --executor {options['executor']} out"
            )
        options["executor"] = f"ray:address={address}"
    monitors = {name: value for name in watching() if (value := options.pop(name, False)) is not False}
    if monitors and "monitors" in options:
        raise ValueError(f"monitors and {next(iter(monitors))} are both given; name all of them under monitors")
    return {**options, **({"monitors": monitors} if monitors else {})}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_options
@click.option(
    "--fused/--no-fused",
    default=None,
    help="Small perceptrons many at once (on); the same numbers up to rounding.",
)
@click.option("--baseline/--no-baseline", default=None, help="Random search at equal cost (on, except under --time).")
@click.option("--no-final", is_flag=True, help="No final training: the best network is that of the search.")
@click.option("--ensemble", is_flag=True, default=None, help="Join trained networks inside the parameter budget.")
@click.option("--distill", metavar="[T]", is_flag=False, flag_value="4", help="The ensemble teaches the best network.")
@click.option(
    "--one-shot",
    metavar="[rounds=N,epochs=N]",
    is_flag=False,
    flag_value="",
    help="Evaluate with weights that all networks share; the best are trained at the end.",
)
@click.option("--report/--no-report", default=None, help="report.html and figures/ at the end (on).")
@click.option("--config", metavar="FILE", help="YAML file with any of these options; the command line has precedence.")
@click.option("--dry-run", is_flag=True, help="Describe the space inside the budget, estimate the time, train nothing.")
@click.option("-v", "--verbose", count=True, help="A line for every trial.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing but the path of the result.")
def search(config: str | None, dry_run: bool, verbose: int, quiet: bool, **given: Any) -> int:
    """Search for the best network inside a parameter budget, and export it."""
    if quiet and verbose:
        raise ValueError("-q prints nothing and -v more; leave one of them out")
    from_file, here = gathered(read_yaml(config) if config else {}), gathered(given)
    options = Options.of({**from_file, **here}, {name: f"--{name.replace('_', '-')}" for name in here})
    console, progress = Console(), Console(stderr=True)
    if dry_run:
        describe(options, console)
        return 0
    result = run(options, progress, -1 if quiet else verbose)
    print_result(result, options, console, quiet)
    if result.interrupted:
        return 130
    return 0 if any(trial.values for trial in result.trials) else 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 (every trial failed), 2 (a user's mistake), 130 (Ctrl-C)."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the cores are the workers'; a controller's LSTM needs one
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is saved like Ctrl-C
    return run_command(search, arguments, "nas.search", "interrupted; the same command begins again, or goes on")
