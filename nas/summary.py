"""The end of a search on the terminal: the five best, the baseline in one line, where everything lies."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.table import Table

from nas.budget import format_size
from nas.latency import recorded
from nas.objectives import LATENCY, PARAMS, cost_in_words, in_words, spent_in_words
from nas.oneshot.lesson import taught
from nas.options import Options
from nas.record import read_json
from nas.result import Result
from nas.selection import Finalist, against_random, finalists_of
from nas.trial import Trial, best_first


def print_result(result: Result, options: Options, console: Console, quiet: bool) -> None:
    """Print the result; with `quiet` the path of the best network alone."""
    ranked = best_first([*result.trials, *result.baseline])
    if not ranked:
        failed = len(result.trials)
        line = f"No network was trained to the end ({failed} of {failed} trials failed); see {result.path}/errors.log"
        if not failed:
            line = f"Stopped before the first network was trained; the same command goes on in {result.path}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
        return
    if quiet:
        console.print(str(result.folder), highlight=False, soft_wrap=True)
        return
    console.print(_table(result, options))
    model = recorded(result.path / "latency.json") if LATENCY in options.objective else None
    for line in (
        *([str(model)] if model else []),
        *_comparison(result, options.one_shot is not None),
        *_places(result),
    ):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _table(result: Result, options: Options) -> Table:
    """The best five; where there are several objectives, all that no other dominates."""
    searched = {id(trial) for trial in result.trials}
    several, beside = len(options.objective) > 1, [o for o in options.objective[1:] if o != PARAMS]
    shown = f"front of {', '.join(options.objective)}" if several else "best networks"
    table = Table(title=f"The {shown} inside the parameter budget of {format_size(options.budget)}")
    accuracy = "accuracy" if options.one_shot is None else "with shared weights"
    for column in (accuracy, "parameters", "of budget", *map(in_words, beside), "trial"):
        table.add_column(column, justify="right")
    table.add_column("network")
    originals = [t for t in best_first([*result.trials, *result.baseline]) if t.copy_of is None]
    for trial in result.front if several else originals[:5]:
        found = str(trial.number) if id(trial) in searched else f"random {trial.number}"
        share = f"{100 * trial.params / options.budget:.1f} %"
        accuracy, size = f"{100 * trial.value:.2f} %", f"{trial.params:,}"
        spent = (cost_in_words(trial.metrics[name.removeprefix("-")]) for name in beside)
        table.add_row(accuracy, size, share, *spent, found, str(trial.candidate.architecture))
    return table


def _comparison(result: Result, shared: bool) -> list[str]:
    """The search and the baseline at equal cost, each in one line."""
    lines = _ranked(result) if shared else [f"{_count(result.trials)}: best {_best(result.trials)} validation accuracy"]
    if result.baseline and not shared:
        lines.append(
            f"Random search at equal cost, {_count(result.baseline)}: best {_best(result.baseline)} "
            f"(one run each, so a small difference means little)"
        )
    lines += [*_final(result), *_joint(result)]
    if result.test_accuracy is not None:
        what = {"network": "best network", "distilled": "distilled network"}.get(result.chosen, result.chosen)
        often = "measured once"
        if result.tests > 1:
            often = f"number {result.tests} that this run has tested, so no longer free of choice"
        lines.append(f"Test accuracy of the {what}, {often}: {100 * result.test_accuracy:.2f} %")
    return lines


def _final(result: Result) -> list[str]:
    """What the network that is chosen has reached with fresh seeds, beside the score that it was found by."""
    if not result.finalists:
        failed = len(result.final)
        words = f"All {failed} final trainings failed; see {result.path}/errors.log. What follows is of the search"
        return [words] if failed else []
    chosen = result.finalists[0]
    best = chosen.best
    mean = _mean(chosen)
    epochs = f"{best.metrics['epochs']:.0f} epochs, {best.metrics['seconds']:.0f} s"
    facts = ", ".join((f"{best.params:,} parameters", *spent_in_words(best.metrics), epochs))
    network = f"({facts}): {best.candidate.architecture}"
    number = len(result.finalists)
    trained = f"the best {number}" if result.joint is None else f"{number} networks, small ones for an ensemble too,"
    lines = [f"Final training of {trained} on all training data: {mean} validation accuracy {network}"]
    if compared := against_random(result.trials, result.baseline, result.final):
        ours, theirs, by = compared
        if ours is theirs:
            return [*lines, "Random search has found the same network"]
        lines.append(f"The search's best, trained again, minus random search's: {by}")
    return lines


def _mean(finalist: Finalist) -> str:
    mean, seeds = f"{100 * finalist.mean:.2f} %", len(finalist.trials)
    number = f"{seeds} fresh seeds" if not finalist.failed else f"{seeds} of {seeds + finalist.failed} fresh seeds"
    if finalist.half_width is None:
        return mean if seeds == 1 and not finalist.failed else f"{mean} (mean of {number})"
    return f"{mean} ± {100 * finalist.half_width:.2f} (mean of {number}, 95 % interval)"


def _joint(result: Result) -> list[str]:
    """The ensemble, and the network that it has taught."""
    if (joint := result.joint) is None:
        return []
    number = f"{len(joint.members)} networks" if len(joint.members) > 1 else "one network"
    size, accuracy = f"{joint.params:,} parameters together", f"{100 * joint.crossed:.2f} % validation accuracy"
    lines = [f"Ensemble of {number}, {size}: {accuracy} (selected on one half of that part, measured on the other)"]
    return lines + [f"The best network, taught by it: {_mean(f)}" for f in finalists_of(result.distilled)]


def _count(trials: list[Trial]) -> str:
    seconds, epochs = (sum(t.metrics.get(name, 0.0) for t in trials) for name in ("seconds", "epochs"))
    failed = sum(t.error is not None for t in trials)
    copies = sum(t.copy_of is not None for t in trials)
    notes = [f"{failed} failed"] * bool(failed) + [f"{copies} already trained"] * bool(copies)
    return (
        f"{len(trials)} trials"
        + (f" ({', '.join(notes)})" if notes else "")
        + f", {epochs:.0f} epochs, {seconds:.0f} s of training"
    )


def _ranked(result: Result) -> list[str]:
    """The search and the baseline, where weights were shared."""
    each, failed = taught(result.path), sum(t.error is not None for t in result.trials)
    trials = f"{len(result.trials)} trials" + f" ({failed} failed)" * bool(failed)
    weights = f"shared weights ({len(each)} epochs, {sum(each):.0f} s of training)"
    lines = [f"{trials} with {weights}: best {_best(result.trials)}, to rank by and no network's accuracy"]
    if result.baseline:
        lines.append(f"As many drawn at random, with the same weights: best {_best(result.baseline)}")
    return lines


def _best(trials: list[Trial]) -> str:
    ranked = best_first(trials)
    return f"{100 * ranked[0].value:.2f} %" if ranked else "none"


def _places(result: Result) -> list[str]:
    lines = ["Interrupted; the same command continues."] if result.interrupted else []
    there = [name for name in ("report.html", "trials.jsonl", "trials.csv") if (result.path / name).exists()]
    lines.append(f"Everything is in {result.path}/: {', '.join(there)}")
    if (result.folder / "predict.py").exists():
        file = read_json(result.folder / "config.json").get("file", "samples.npy")
        lines.append(f"    python {shlex.quote(str(result.folder / 'predict.py'))} {file}")
    return lines
