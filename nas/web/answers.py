"""The answers of NNI 3.0's REST interface, made from a run directory; the UI of its `nni` package reads them.

NNI's schema is told by its web UI's sources (MIT licence), not by a document. What is served often, the trials and
their metrics, is rendered once a trial.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from nas.live import by_hand
from nas.record import Record, Row, planned_epochs

RECENT = 100  # trials that `/metric-data-latest` names; the UI asks for all others in ranges
STATUS = {"done": "DONE", "interrupted": "STOPPED", "failed": "ERROR", "killed": "ERROR"}
FACTS = {"number", "values", "params", "network", "choices", "fidelity", "metrics", "curve", "error", "copy_of"}
MANY = 24  # numbers that differ, from which on an axis is one of numbers and not of choices


class Answers:
    """What the UI is told. `refresh` before each answer; it reads what is new."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.rows: dict[int, Row] = {}
        self._jobs: dict[int, bytes] = {}
        self._metrics: dict[int, bytes] = {}
        self._live: dict[int, tuple[Row, list[Row]]] = {}
        self._seen: dict[str, dict[Any, None]] = {name: dict.fromkeys(o) for name, o in record.forks.items()}
        self._axes: list[str] = []  # the choices that the rendered trials show
        self.refresh()

    def refresh(self) -> None:
        """Read the trials that have ended since the last call, and those that run."""
        self.state = self.record.state()
        ended = {int(row["number"]): row for row in self.record.new() if row.keys() >= FACTS}
        self.rows |= ended
        self._metrics |= {n: b",".join(map(_json, _metrics(row, row["curve"]))) for n, row in ended.items()}
        for row in ended.values():
            self._see(row)
        changed = self._axes != self._open
        self._axes = self._open
        self._jobs |= {n: _json(self._ended_job(row)) for n, row in (self.rows if changed else ended).items()}
        live = self.record.running() if self.state.running else []
        self._live = {int(facts["number"]): (facts, rows) for facts, rows in live}
        for number in self._live.keys() & self.rows.keys():  # it has ended in the meantime
            del self._live[number]
        for facts, _ in self._live.values():
            self._see(facts)

    def _see(self, row: Row) -> None:
        for name, value in row["choices"].items():
            self._seen.setdefault(name, {})[value] = None

    def status(self) -> dict[str, Any]:
        """`/check-status`."""
        killed = "the search was killed; the same command goes on where it was"
        errors = {"killed": [killed], "failed": ["the search has ended with an error; see its terminal"]}
        return {"status": STATUS.get(self.state.phase, "RUNNING"), "errors": errors.get(self.state.phase, [])}

    def experiment(self) -> dict[str, Any]:
        """`/experiment`: the options of the search in NNI's words."""
        config, state = self.record.config, self.state
        limits = {"maxTrialNumber": config.get("trials"), "maxExperimentDuration": config.get("time")}
        params = {
            "experimentName": self.record.path.name,
            "experimentType": "hpo",
            "searchSpace": self.space(),
            "trialCommand": f"python -m nas.search --config {self.record.path / 'config.yaml'}",
            "trialCodeDirectory": ".",
            "trialConcurrency": state.slots,
            **{name: value for name, value in limits.items() if value is not None},
            "useAnnotation": False,
            "debug": False,
            "logLevel": "info",
            "experimentWorkingDirectory": str(self.record.path),
            "tuner": {"className": config.get("strategy"), "classArgs": {"optimize_mode": "maximize"}},
            "trainingService": {"platform": "local", "trialCommand": "nas", "useActiveGpu": False},
            "nas": {name: value for name, value in config.items() if name not in ("record", "identity")},
        }
        return {
            "params": params,
            "id": self._id,
            "execDuration": round(self._duration),
            "startTime": _ms(state.began),
            **({} if state.ended is None else {"endTime": _ms(state.ended)}),
            "logDir": str(self.record.path),
            "nextSequenceId": max(self.rows, default=-1) + 1,
            "revision": len(self.rows),
        }

    def metadata(self, port: int) -> dict[str, Any]:
        """`/experiment-metadata`."""
        state, path = self.state, self.record.path
        return {
            "id": self._id,
            "port": port,
            "startTime": _ms(state.began),
            "endTime": "N/A" if state.ended is None else _ms(state.ended),
            "status": self.status()["status"],
            "platform": "local",
            "experimentName": path.name,
            "tag": [],
            "pid": state.pid,
            "webuiUrl": [],
            "logDir": str(path),
            "prefixUrl": None,
        }

    def space(self) -> dict[str, Any]:
        """The forks that have more than one way on, as NNI writes a search space."""
        return {name: _axis(list(self._seen[name])) for name in self._open}

    def jobs(self) -> bytes:
        """`/trial-jobs`."""
        return _list([*self._jobs.values(), *(_json(self._live_job(facts)) for facts, _ in self._live.values())])

    def job(self, name: str) -> bytes | None:
        """`/trial-jobs/ID`; None where there is none."""
        number = number_of(name)
        live = self._live.get(-1 if number is None else number)
        return _json(self._live_job(live[0])) if live else self._jobs.get(-1 if number is None else number)

    def metrics(self, numbers: Iterable[int] | None = None) -> bytes:
        """`/metric-data`, or that of some trials."""
        asked = [*self._metrics, *self._live] if numbers is None else numbers
        running = {n: b",".join(map(_json, _metrics(facts, rows))) for n, (facts, rows) in self._live.items()}
        return _list(filter(None, (self._metrics.get(n) or running.get(n) for n in asked)))

    def latest(self) -> bytes:
        """`/metric-data-latest`: all that is known of the newest trials. (NNI sends their newest metric, at which its
        own page breaks as soon as a trial has reported twice between two looks.)
        """
        return self.metrics([*list(self._metrics)[-RECENT:], *self._live])

    def counts(self) -> list[dict[str, Any]]:
        """`/job-statistics`."""
        states = [*(_status(row, self.record.config) for row in self.rows.values()), *["RUNNING"] * len(self._live)]
        return [{"trialJobStatus": name, "trialJobNumber": states.count(name)} for name in dict.fromkeys(states)]

    def exported(self) -> list[dict[str, Any]]:
        """`/export-data`: what every trial was, and what came of it."""
        ended = [row for row in self.rows.values() if row["values"]]
        return [{"parameter": row["choices"], "value": row["values"][0], "id": trial_id(row)} for row in ended]

    def log(self, name: str) -> str | None:
        """The text behind a trial's log buttons; None where there is no such trial."""
        number = number_of(name)
        if number in self._live:
            facts, rows = self._live[number]
            return _text(facts, rows, "running")
        row = self.rows.get(-1 if number is None else number)
        return None if row is None else _text(row, row["curve"], row["error"] or _verdict(row))

    def story(self) -> str:
        """A line for each trial."""
        verdicts = ((row, row["error"] or _verdict(row)) for row in self.rows.values())
        return "".join(f"trial {row['number']}: {verdict} ({row['network']})\n" for row, verdict in verdicts)

    def is_running(self, number: int) -> bool:
        return number in self._live

    @property
    def _open(self) -> list[str]:
        return [name for name, options in self._seen.items() if len(options) > 1]

    @property
    def _id(self) -> str:
        return self.record.path.name.rpartition("-")[2]

    @property
    def _duration(self) -> float:
        return max(0.0, (self.state.ended or time.time()) - self.state.began)

    def _ended_job(self, row: Row) -> Row:
        ended = float(row.get("ended") or self.state.began + float(row["elapsed"]))
        job = self._job(row, _status(row, self.record.config), ended - float(row["metrics"].get("seconds", 0.0)))
        job["endTime"] = _ms(ended)
        if row["values"]:
            job["finalMetricData"] = [_final(row)]
        return job

    def _live_job(self, facts: Row) -> Row:
        return self._job(facts, "RUNNING", float(facts.get("began", 0.0)))  # without finalMetricData: [] would break it

    def _job(self, row: Row, status: str, began: float) -> Row:
        chosen = {"parameter_id": row["number"], "parameter_source": "algorithm", "parameter_index": 0}
        varied = {name: value for name, value in row["choices"].items() if len(self._seen.get(name, ())) > 1}
        return {
            "trialJobId": trial_id(row),
            "status": status,
            "hyperParameters": [json.dumps({**chosen, "parameters": varied})],
            "startTime": _ms(began),
            "sequenceId": row["number"],
            "logPath": f"{self.record.path / 'trials.jsonl'} and {self.record.path / 'errors.log'}",
            "message": row.get("error") or row["network"],
        }


def trial_id(row: Mapping[str, Any]) -> str:
    return f"trial-{row['number']}"


def number_of(name: str) -> int | None:
    """`'trial-7'` -> 7; None for anything else."""
    digits = name.removeprefix("trial-")
    return int(digits) if digits.isdecimal() and len(digits) < 12 and name.startswith("trial-") else None


def _status(row: Row, config: Mapping[str, Any]) -> str:
    if row["error"]:
        return "USER_CANCELED" if by_hand(str(row["error"])) else "FAILED"
    planned = planned_epochs(config, float(row["fidelity"]))
    early = row["copy_of"] is None and row["metrics"].get("epochs", planned) < planned
    return "EARLY_STOPPED" if early else "SUCCEEDED"


def _final(row: Row) -> Row:
    facts = {"default": row["values"][0], "parameters": row["params"], "widest": max(row.get("widths") or [0])}
    return _metric(row, "FINAL", 0, json.dumps(facts))


def _metrics(row: Row, curve: Iterable[Row]) -> list[Row]:
    values = [epoch["val_accuracy"] for epoch in curve if "val_accuracy" in epoch]
    rows = [_metric(row, "PERIODICAL", n, json.dumps(value)) for n, value in enumerate(values)]
    return [*rows, _final(row)] if row.get("values") else rows


def _metric(row: Row, kind: str, sequence: int, data: str) -> Row:
    """A metric; its data are JSON inside JSON."""
    facts = {"timestamp": 0, "trialJobId": trial_id(row), "parameterId": str(row["number"])}
    return {**facts, "type": kind, "sequence": sequence, "data": json.dumps(data)}


def _axis(options: list[Any]) -> dict[str, Any]:
    numbers = [o for o in options if isinstance(o, int | float) and not isinstance(o, bool)]
    if len(numbers) == len(options):
        if len(numbers) > MANY:
            return {"_type": "uniform", "_value": [min(numbers), max(numbers)]}
        options = sorted(numbers)
    return {"_type": "choice", "_value": options}


def _verdict(row: Row) -> str:
    copied = "" if row["copy_of"] is None else f", taken over from trial {row['copy_of']}, the same network"
    return f"validation accuracy {row['values'][0]:.4f}{copied}"


def _text(row: Row, curve: list[Row], verdict: str) -> str:
    """A trial for a reader: the network, its choices, and its learning curve as a table."""
    lines = [f"trial {row['number']}: {verdict}", f"{row['params']:,} parameters: {row['network']}", ""]
    lines += [f"{name:>18}  {value}" for name, value in row["choices"].items()]
    if curve:
        columns = list(dict.fromkeys(name for epoch in curve for name in epoch))  # what is not finite was left out
        lines += ["", "  ".join(f"{name:>14}" for name in columns)]
        lines += ["  ".join(_cell(epoch.get(name, "")) for name in columns) for epoch in curve]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:>14.6g}" if isinstance(value, int | float) else f"{value!s:>14}"


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _list(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
