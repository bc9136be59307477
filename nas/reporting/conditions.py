"""Under which conditions a search ran, and numbers, in words."""

from __future__ import annotations

import time

from nas.reporting.facts import Run


def stopping(run: Run) -> str:
    """The rule by which trainings end."""
    config = run.config
    least = f"{points(float(config['min_change']))} points " if config.get("min_change") else ""
    if run.shared:
        taught = f"weights that all share, trained for {count(len(run.taught), 'epoch')}"
        return f"none in the search, where networks were evaluated with {taught}; the best were trained afterwards"
    said = f"at most {count(int(config['epochs']), 'epoch')}"
    if config.get("patience") and int(config["patience"]) < int(config["epochs"]):
        said += f"; ended after {count(int(config['patience']), 'epoch')} without {least}more validation accuracy"
    if config.get("patience_from"):
        said += f", not before epoch {config['patience_from']}"
    if run.rungs:
        *lower, top = run.rungs
        left = " or ".join(map(str, lower))
        return f"{said}; trainings were left after {left} epochs, and the best of them gone on with, up to {top}"
    given = sorted({max(1, round(int(config["epochs"]) * row.fidelity)) for row in run.tried})
    if len(given) > 1:
        said += f"; under the time limit trials were given {given[0]} to {given[-1]} epochs"
    return said


def tuning(run: Run) -> str:
    """The tuning budget: what was allowed, and what was used."""
    allowed = [count(int(run.config["trials"]), "trial")] if run.config.get("trials") else []
    allowed += [duration(float(run.config["time"]))] if run.config.get("time") else []
    limits = f" (allowed: {' and '.join(allowed)})" if allowed else ""
    rows = [*run.tried, *run.again]
    seconds = sum(run.taught) + sum(row.seconds for row in rows)
    epochs = len(run.taught) + sum(row.epochs for row in rows)
    arms = [(len(run.search), "of the search"), (len(run.random), "of random search")]
    trials = " and ".join(f"{count(number, 'trial')} {name}" for number, name in arms if number) or "no trial"
    again = f", {count(len(run.again), 'final training')}" if run.again else ""
    return f"{trials}{again}; {duration(seconds)} of training, {epochs:,.0f} epochs{limits}"


def seeds(run: Run) -> str:
    """Of the search, and the fresh ones."""
    fresh = sorted({row.seed for row in run.again})
    said = f"search: seed {run.config.get('seed')}"
    return f"{said}; final trainings: {', '.join(map(str, fresh))}" if fresh else said


def samples(run: Run) -> str:
    """The sizes of the parts."""
    if len(run.samples) != 3:
        return "not recorded"
    train, validation, held = (f"{number:,}" for number in run.samples)
    return f"{train} training, {validation} validation, {held} test"


def when(run: Run) -> str:
    """The day and hour that it began and ended, in UTC."""
    if not run.state.began:
        return "not recorded"
    began = time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.state.began))
    ended = f", ended {duration(run.state.ended - run.state.began)} later" if run.state.ended else ""
    return f"{began} UTC{ended}"


def percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f} %"


def points(difference: float) -> str:
    """Of a difference that is not negative."""
    return f"{100 * difference:.2f}"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`95 s`, `12 min`, `3 h 05 min`."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
