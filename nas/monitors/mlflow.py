"""MLflow: a run for the search and, nested in it, one for each trial; in RUN/mlruns, or at a tracking URI.

Everything goes through a client with explicit ids, so a run that the user's own program has begun is left alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nas.events import public
from nas.extras import library, need
from nas.monitors._tracker import Told, Tracker
from nas.record import read_json
from nas.trial import finite

PARENT, TRIAL = "mlflow.parentRunId", "nas.trial"  # tags: the run it is nested in, and which trial it is
METRICS, PARAMS = 800, 100  # in one request, which takes a thousand of all kinds
LONGEST = 500  # characters of a value that every store takes
DATABASES = ("sqlite", "mysql", "postgresql", "mssql")
ENDED = {"interrupted": "KILLED", "failed": "FAILED"}  # status of the search, by the phase in which it has ended


class MLflow(Tracker):
    """A nested run holds a trial's choices as parameters, its curve as metrics with the epoch as step, its accuracy."""

    HELP = "Log the search to MLflow, to this tracking URI (RUN/mlruns)."
    VALUE = "URI"

    def __init__(self, path: Path, uri: str, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.path, self.uri, self.config = path, uri, config
        self._client: Any = None
        self._experiment = self._parent = ""
        self._written: set[str] = set()
        self.notice = f"MLflow: {_command(public(uri))}"

    @classmethod
    def of(cls, value: str, path: Path, config: Mapping[str, Any]) -> MLflow:
        need("mlflow", "mlflow")
        uri = value or os.environ.get("MLFLOW_TRACKING_URI") or str(path / "mlruns")
        if not re.match(r"[\w+]+:|databricks$", uri):
            uri = str(Path(uri).absolute())
        _check(uri)
        return cls(path, uri, config)

    def open(self) -> None:
        """Take up the search's run where an earlier session has left it, or begin one."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a search tells nobody of itself unasked
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # the terminal is the progress bar's
        if _is_folder(self.uri):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3.7 and later refuse a folder else
        self._client = library("mlflow.tracking").MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        file = self.path / "mlflow.json"  # an http store may hold runs of an older search in a folder of this name
        before, uri = read_json(file), public(self.uri)
        if before.get("uri") != uri or not self._take_up(str(before.get("run_id"))):
            self._begin_search()
            file.write_text(json.dumps({"uri": uri, "run_id": self._parent}) + "\n", encoding="utf-8")

    def write(self, told: Told) -> None:
        name = f"{told.arm}/{told.name}"
        if told.earlier and name in self._written:
            return
        run = self._begin(told, name)
        entities, end = library("mlflow.entities"), _milliseconds(told.finish)
        metrics = [entities.Metric(*metric) for metric in _metrics(told)]
        params = [entities.Param(_key(name), str(value)[:LONGEST]) for name, value in told.choices.items()]
        for some, others in zip_longest(_portions(metrics, METRICS), _portions(params, PARAMS), fillvalue=()):
            self._client.log_batch(run, metrics=some, params=others)
        if told.best is not None:
            self._client.log_metric(self._parent, f"{told.arm}/best_accuracy", told.best, end, told.ended)
        self._client.set_terminated(run, "FAILED" if told.trial.error is not None else "FINISHED", end)

    def closed(self, path: Path) -> None:
        if self._client is None:
            return
        best = read_json(path / "best" / "config.json")
        for name in ("validation_accuracy", "test_accuracy", "parameters"):
            if isinstance(best.get(name), int | float):
                self._client.log_metric(self._parent, name, best[name])
        phase = read_json(path / "state.json").get("phase", "done")
        self._client.set_terminated(self._parent, ENDED.get(phase, "FINISHED"))

    def _begin(self, told: Told, name: str) -> str:
        trial = told.trial
        facts = {"network": str(trial.candidate.architecture), "copy_of": trial.copy_of, "error": trial.error}
        tags = {f"nas.{key}": str(fact)[:LONGEST] for key, fact in facts.items() if fact is not None}
        tags |= {PARENT: self._parent, TRIAL: name}
        run = self._client.create_run(self._experiment, _milliseconds(told.begin), tags, name)
        return str(run.info.run_id)

    def _take_up(self, parent: str) -> bool:
        """Go on with the run `parent`, without those of trials that were not written to their end."""
        try:
            run = self._client.get_run(parent)
        except library("mlflow.exceptions").MlflowException:
            return False
        if run.info.lifecycle_stage != "active":
            return False
        self._parent, self._experiment = parent, run.info.experiment_id
        self._client.update_run(parent, status="RUNNING")
        token: str | None = ""
        runs: list[Any] = []
        while token is not None:
            filtered = f"tags.`{PARENT}` = '{parent}'"
            page = self._client.search_runs([self._experiment], filtered, max_results=1000, page_token=token or None)
            runs, token = [*runs, *page], page.token or None
        for run in runs:
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            else:
                self._written.add(run.data.tags.get(TRIAL, ""))
        return True

    def _begin_search(self) -> None:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "nas"
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
        run = self._client.create_run(self._experiment, run_name=self.path.resolve().name)
        self._parent = str(run.info.run_id)
        options = {key: value for key, value in self.config.items() if key != "record" and value is not None}
        param = library("mlflow.entities").Param
        for some in _portions(list(options.items()), PARAMS):
            self._client.log_batch(self._parent, params=[param(_key(k), str(v)[:LONGEST]) for k, v in some])


def _metrics(told: Told) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, milliseconds since 1970 and step of what was measured: every epoch, then the trial."""
    each = set()
    for fold, epoch, at, row in told.epochs():
        for name, value in row.items():
            key = {"seconds": "epoch_seconds"}.get(name, name)
            key = f"fold-{fold}/{key}" if fold else key
            each.add(key)
            yield _key(key), value, _milliseconds(at), epoch
    facts = {name: value for name, value in finite(told.trial.metrics).items() if name not in each}
    facts |= {"parameters": told.trial.params, **({} if told.accuracy is None else {"accuracy": told.accuracy})}
    for name, value in facts.items():
        yield _key(name), value, _milliseconds(told.finish), int(facts.get("best_epoch", 0))


def _key(name: str) -> str:
    """A name with the signs that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", name)


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)


def _portions(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    return (items[i : i + most] for i in range(0, len(items), most))


def _is_folder(uri: str) -> bool:
    return uri.startswith(("file:", "/"))


def _command(uri: str) -> str:
    """Where to look: an address, or the command that shows what lies in a folder or a database."""
    if uri.startswith(("http:", "https:", "databricks")):
        return uri
    allowed = "MLFLOW_ALLOW_FILE_STORE=true " if _is_folder(uri) else ""
    return f"{allowed}mlflow ui --backend-store-uri {shlex.quote(uri)}"


def _check(uri: str) -> None:
    """Raise `ValueError` where nobody listens at an address, or a database needs libraries that are missing."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        try:
            socket.create_connection(
                (parts.hostname or "", parts.port or (80, 443)[parts.scheme == "https"]), 5
            ).close()
        except (OSError, ValueError) as error:
            raise ValueError(
                f"--mlflow {public(uri)}: no server answers there ({error}); start it, or leave the URI out"
            ) from None
    elif parts.scheme.partition("+")[0] in DATABASES and find_spec("sqlalchemy") is None:
        raise ValueError(f"--mlflow {public(uri)}: a database needs the whole of MLflow; pip install mlflow")
    elif parts.scheme not in ("", "file", "databricks") and parts.scheme.partition("+")[0] not in DATABASES:
        raise ValueError(f"--mlflow takes a folder, http(s)://HOST:PORT or a database URI, got {public(uri)!r}")
