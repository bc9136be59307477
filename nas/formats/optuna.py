"""The search as an Optuna study in an SQLite file: `optuna-dashboard sqlite:///RUN/optuna.db` shows it."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from nas.format import Format
from nas.record import Record, Row
from nas.wanted import Wanted


class OptunaStudy(Format):
    """The study is called like the run directory. Choices are parameters, validation accuracies are the values."""

    ENDING = ".db"

    def file(self, wanted: Wanted) -> Path:
        return wanted.path / "optuna.db"

    def contents(self, wanted: Wanted, name: str) -> bytes:
        import optuna

        if wanted.trial is not None:
            raise ValueError(f"--format optuna takes the whole search, not trial {wanted.trial}; leave --trial out")
        record = Record(wanted.path)
        rows = record.new()
        if not rows:
            raise ValueError(f"no trial of the search in {wanted.path} has ended; wait for the first")
        try:
            made = _trials(sorted(rows, key=lambda row: int(row["number"])), record.forks)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"{wanted.path / 'trials.jsonl'} is damaged; restore the file") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "study.db"
            storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
            directions = [optuna.study.StudyDirection.MAXIMIZE] * max(len(row["values"]) or 1 for row in rows)
            called = wanted.path.resolve().name
            optuna.create_study(storage=storage, study_name=called, directions=directions).add_trials(made)
            storage.remove_session()
            storage.engine.dispose()  # or the file stays open
            return file.read_bytes()


def _trials(rows: list[Row], forks: dict[str, list[Any]]) -> list[Any]:
    """Rows of the log as Optuna's trials; a fork's options are those of space.json and those that were taken."""
    from optuna.distributions import CategoricalDistribution

    options = {name: dict.fromkeys(of) for name, of in forks.items()}
    for row in rows:
        for name, value in row["choices"].items():
            options.setdefault(name, {})[value] = None
    return [
        _trial(row, {name: CategoricalDistribution(list(options[name])) for name in row["choices"]}) for row in rows
    ]


def _trial(row: Row, distributions: dict[str, Any]) -> Any:
    from optuna.trial import TrialState, create_trial

    facts = {"trial": row["number"], "parameters": row["params"], "network": row["network"], "seed": row["seed"]}
    facts |= {name: row[name] for name in ("fidelity", "error", "copy_of") if row[name] is not None}
    made = create_trial(
        state=TrialState.COMPLETE if row["values"] else TrialState.FAIL,
        values=row["values"] or None,
        params=row["choices"],
        distributions=distributions,
        user_attrs={**facts, **row["metrics"]},
        intermediate_values={
            step: epoch["val_accuracy"] for step, epoch in enumerate(row["curve"], 1) if "val_accuracy" in epoch
        },
    )
    if row.get("ended"):  # logs of version 0.1 have none
        made.datetime_complete = datetime.fromtimestamp(row["ended"])
        made.datetime_start = made.datetime_complete - timedelta(seconds=row["metrics"].get("seconds", 0))
    return made
