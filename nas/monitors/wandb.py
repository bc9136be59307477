"""Weights & Biases: one run for the search; a row for each trial, tables of trials and learning curves for each arm.

All of it happens in the thread of this monitor and in W&B's own process; nothing is printed, captured or hooked.
Where nobody is logged in, or W&B cannot be reached, the run is written to RUN/wandb for `wandb sync`.
"""

from __future__ import annotations

import configparser
import logging
import netrc
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nas.extras import library, need
from nas.monitors._tracker import CURVES, Told, Tracker
from nas.record import read_json
from nas.trial import best_first

CURVED = 1000  # trials of an arm, the best, whose curves are shown: a table holds 200,000 rows
HELD = 100  # rows that W&B may not have written yet when all was killed
WAIT = 20  # seconds for W&B to answer at the start, and to take what is left at the end
OFFLINE = ("offline", "dryrun", "disabled")
HOSTS = ("https://api.wandb.ai", "https://api.forge.coreweave.com")  # of W&B itself, as its releases call it


class WandB(Tracker):
    """A row for each trial under its arm's name (search/accuracy, search/best, ...), its choices under choice/..."""

    HELP = "Log the search to Weights & Biases, to this project (nas); offline where nobody is logged in."
    VALUE = "PROJECT"

    def __init__(self, path: Path, project: str, config: Mapping[str, Any], mode: str) -> None:
        super().__init__()
        self.path, self.project, self.config, self.mode = path, project, config, mode
        self._folder = path / "wandb"
        self._run: Any = None
        self._written: set[str] = set()
        self._told: dict[str, list[Told]] = {}
        self._tabled: dict[str, int] = {}  # trials in the tables of an arm
        self.notice = _notice(project, mode, self._folder)

    @classmethod
    def of(cls, value: str, path: Path, config: Mapping[str, Any]) -> WandB:
        need("wandb", "wandb")
        return cls(path, value or os.environ.get("WANDB_PROJECT") or "nas", config, choose_mode(os.environ))

    def open(self) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")  # it says nothing in the terminal, and asks for no key there
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # a search tells nobody of itself unasked
        wandb = library("wandb")
        self._folder.mkdir(exist_ok=True)  # W&B writes elsewhere where it is missing and cannot be made
        marks = self._marks.read_text(encoding="utf-8").split() if self._marks.exists() else []
        self._written = set(marks if marks[-1:] == ["end"] else marks[:-HELD])
        options: dict[str, Any] = {
            "project": self.project,
            "dir": str(self.path),
            "config": dict(self.config),
            "name": self.path.resolve().name,
            "group": self.path.resolve().name,
            "job_type": "search",
        }
        with _unhooked():
            run = self._online(wandb, options) if self.mode not in OFFLINE else None
            if run is None:
                run = wandb.init(**options, mode=self.mode, settings=_settings(wandb))
        run.define_metric("number")
        run.define_metric("*", step_metric="number")
        self._run = run

    def write(self, told: Told) -> None:
        self._told.setdefault(told.arm, []).append(told)
        mark = f"{told.arm}/{told.name}"
        if told.earlier and mark in self._written:
            return
        row: dict[str, Any] = {"arm": told.arm, "number": told.trial.number}
        figures = {name: value for name, value in _row(told).items() if name != "number" and value is not None}
        row |= {name if name.startswith("choice/") else f"{told.arm}/{name}": v for name, v in figures.items()}
        self._run.log(row)
        self._mark(mark)

    def finished(self) -> None:
        self._tables(self.arm)

    def closed(self, path: Path) -> None:
        if self._run is None:
            return
        for arm in self._told:
            self._tables(arm)
        self._summarise(read_json(path / "best" / "config.json"))
        self._run.finish(exit_code=0)
        self._mark("end")
        wandb = library("wandb")
        if wandb.run is None:  # nobody else in this process uses the process that W&B has started
            wandb.teardown()

    def _mark(self, word: str) -> None:
        with self._marks.open("a", encoding="utf-8") as file:
            file.write(word + "\n")

    @property
    def _marks(self) -> Path:
        """The trials written so far, by all sessions, and `end` after each that was not killed: W&B does not tell."""
        return self._folder / "written.txt"

    def _online(self, wandb: Any, options: Mapping[str, Any]) -> Any:
        """The run of earlier sessions, or a new one; None, and henceforth offline, where W&B cannot be had."""
        before = sorted(self._folder.glob("run-*-*"))  # those of offline sessions begin with another word
        same = {"id": before[-1].name.rpartition("-")[2], "resume": "allow"} if before else {}
        try:
            return wandb.init(**options, **same, mode="online", settings=_settings(wandb))
        except (wandb.errors.Error, OSError, TimeoutError) as error:
            self.mode = "offline"
            reason = str(error).partition("\n")[0]
            logging.getLogger("nas").warning("%s (%s)", _notice(self.project, "offline", self._folder), reason)
            return None

    def _tables(self, arm: str) -> None:
        """Log the tables of an arm, with the trials of earlier sessions, unless nothing is new since the last time."""
        told = self._told.get(arm, [])
        if self._run is None or len(told) == self._tabled.get(arm, 0):
            return
        self._tabled[arm] = len(told)
        table, plot = library("wandb").Table, library("wandb").plot
        rows = [_row(t) for t in told]
        trials = table(*_columns(rows), allow_mixed_types=True)
        best = {id(trial) for trial in best_first(t.trial for t in told)[:CURVED]}
        curves = [row for t in told if id(t.trial) in best for row in _curve(t)]
        logged: dict[str, Any] = {f"{arm}/trials": trials}
        if curves and "accuracy/validation" in curves[0]:
            titles = {"title": f"{arm}: validation accuracy", "stroke": "trial"}
            logged[f"{arm}/curves"] = plot.line(table(*_columns(curves)), "epoch", "accuracy/validation", **titles)
        self._run.log(logged)

    def _summarise(self, exported: Mapping[str, Any]) -> None:
        """What the page of the project shows of the search: its best trial, and the test of the exported network."""
        every = {id(t.trial): t for arm in ("search", "random", "final") for t in self._told.get(arm, ())}
        final = [t.trial for t in self._told.get("final", ())]
        best = next(iter(best_first(final) or best_first(t.trial for t in every.values())), None)
        if best is not None:
            row = {name: value for name, value in _row(every[id(best)]).items() if value is not None}
            row.pop("best")
            self._run.summary.update({"arm": every[id(best)].arm, **row})
        if exported.get("test_accuracy") is not None:
            self._run.summary["test_accuracy"] = exported["test_accuracy"]


def choose_mode(environment: Mapping[str, str]) -> str:
    """`WANDB_MODE` where it asks for less than a login; else `online`, or `offline` where there is no key to log in."""
    mode = environment.get("WANDB_MODE", "").lower()
    if mode in OFFLINE:
        return mode
    if environment.get("WANDB_API_KEY") or environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return "online"
    chosen = environment.get("WANDB_BASE_URL") or _logged_in_at(environment)
    hosts = [urlsplit(url).netloc for url in ([chosen] if chosen else HOSTS)]
    file = Path(environment.get("NETRC") or "~/.netrc").expanduser()
    with suppress(OSError, netrc.NetrcParseError):
        return "online" if any(map(netrc.netrc(file).authenticators, hosts)) else "offline"
    return "offline"


def _logged_in_at(environment: Mapping[str, str]) -> str:
    """The server that `wandb login --host` has left in the settings; '' where there is none."""
    settings = configparser.ConfigParser(interpolation=None)
    with suppress(configparser.Error, OSError):
        settings.read(Path(environment.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser() / "settings")
    return settings.get("default", "base_url", fallback="")


def _notice(project: str, mode: str, folder: Path) -> str:
    if mode == "disabled":
        return ""
    if mode != "online":
        place = shlex.quote(str(folder))
        return f"Weights & Biases: offline, in {folder}; after `wandb login`: wandb sync {place}/offline-run-*"
    return f"Weights & Biases: online, in project {project}"


def _settings(wandb: Any) -> Any:
    wanted = {
        "console": "off",
        "silent": True,
        "init_timeout": WAIT,
        "finish_timeout": WAIT,
        "reinit": "create_new",  # leaves alone a run that the user's own program has begun
    }
    known = getattr(wandb.Settings, "model_fields", wanted)  # older releases do not have them all
    return wandb.Settings(**{name: value for name, value in wanted.items() if name in known})


@contextmanager
def _unhooked() -> Iterator[None]:
    """W&B puts functions of its own in the place of these two; they are the program's."""
    kept = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = kept


def _row(told: Told) -> dict[str, Any]:
    """The facts of a trial; None where there is none."""
    trial = told.trial
    facts = {
        "number": trial.number,
        "accuracy": told.accuracy,
        "parameters": trial.params,
        "best": told.best,
        "seconds": trial.metrics.get("seconds"),
        "copy_of": trial.copy_of,
        "error": trial.error,
    }
    return {**facts, **{f"choice/{name}": value for name, value in told.choices.items()}}


def _curve(told: Told) -> list[dict[str, Any]]:
    rows = []
    for fold, epoch, _, figures in told.epochs():
        where = {"trial": told.name, **({"fold": fold} if fold else {}), "epoch": epoch}
        rows.append({**where, **{CURVES.get(name, name): value for name, value in figures.items()}})
    return rows


def _columns(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Names, and values of each row with None where it has no such value."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [[row.get(name) for name in names] for row in rows]
