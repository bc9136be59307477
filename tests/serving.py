"""A run directory made by hand, and the server of the NNI web UI on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from starlette.testclient import TestClient

from nas.record import Record
from nas.web.app import make_app
from nas.web.serve import find_ui

API = "/api/v1/nni"


def row(number: int, **facts: Any) -> dict[str, Any]:
    """A line of trials.jsonl."""
    curve = [{"epoch": n, "val_accuracy": n / 10, "train_loss": 1 / n, "seconds": 0.1} for n in range(1, 9)]
    given = {
        "number": number,
        "values": [0.8],
        "params": 1000 + number,
        "network": "64-32, relu",
        "widths": [64, 32],
        "choices": {"depth": 2 + number % 3, "activation": ("relu", "gelu")[number % 2], "lr": 0.001, "clip": 1.0},
        "fidelity": 1.0,
        "seed": 1,
        "metrics": {"epochs": 8, "seconds": 0.8},
        "curve": curve,
        "error": None,
        "copy_of": None,
        "elapsed": number + 1.0,
        "ended": 1.7e9 + number,
    }
    return {**given, **facts}


def failed(number: int, error: str) -> dict[str, Any]:
    return row(number, values=[], metrics={}, curve=[], error=error)


ROWS = [
    row(0),
    row(1, metrics={"epochs": 5, "seconds": 0.5}, curve=row(1)["curve"][:5]),
    failed(2, "NotFinite: the loss is not finite"),
    failed(3, "Stopped: stopped by hand in epoch 2"),
    row(4, copy_of=0, metrics={"epochs": 0, "seconds": 0.0}),
]


class Run:
    """A run directory made by hand; `client` asks its server."""

    def __init__(self, path: Path, written: list[dict[str, Any]], phase: str = "done") -> None:
        self.path = path
        (path / "live" / "search").mkdir(parents=True)
        config = {"epochs": 8, "folds": 1, "strategy": "evolution", "trials": 24, "budget": 5000}
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        (path / "space.json").write_text(json.dumps({"depth": [2, 3, 4], "clip": [1.0]}))
        (path / "errors.log").write_text("trial 2: NotFinite: the loss\nTraceback\n\ntrial 3: Stopped\n\n")
        self.write(written)
        self.enter(phase)

    def write(self, written: list[dict[str, Any]]) -> None:
        with (self.path / "trials.jsonl").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in written)

    def enter(self, phase: str) -> None:
        ended = 1.7e9 + 90 if phase == "done" else None
        state = {"phase": phase, "began": 1.7e9, "ended": ended, "pid": 1, "slots": 2}
        (self.path / "state.json").write_text(json.dumps(state))

    def running(self, number: int, epochs: int) -> None:
        """A trial that has run for so many epochs."""
        facts = {key: row(number)[key] for key in ("number", "params", "network", "widths", "choices", "fidelity")}
        lines = [{**facts, "began": 1.7e9}, *row(number)["curve"][:epochs]]
        file = self.path / "live" / "search" / f"trial-{number:05d}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def client(self, token: str | None = None, **headers: str) -> TestClient:
        app = make_app(Record(self.path), find_ui(), 8080, token)
        return TestClient(app, base_url="http://localhost:8080", headers=headers, follow_redirects=False)


def data(metric: dict[str, Any]) -> Any:
    """JSON inside JSON, as the page reads it."""
    return json.loads(json.loads(metric["data"]))
