"""A run directory as a report needs it: rows made safe to read, ranked and counted, from the logs alone.

Nothing is replayed, so that a report can be made on any machine, with the data and the search space gone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.budget import parse_size
from nas.oneshot.lesson import taught
from nas.ops import Scalar
from nas.record import LOGS, Record, Row, Rows, State, read_json

ARMS = {  # in words
    "search": "search",
    "random": "random search",
    "final": "final training",
    "distilled": "distillation",
}
SEARCHES = ("search", "random")
FOLDERS = ("best", "ensemble", "distilled")


@dataclass(frozen=True)
class Tried:
    """A line of a log. `value` is None where there is none, and `error` then says why."""

    arm: str
    number: int
    value: float | None
    error: str | None
    choices: Mapping[str, Scalar]
    params: int = 0
    network: str = ""
    fidelity: float = 1.0
    progress: float = 1.0  # share of its learning rate's schedule that it was trained for
    seed: int = 0
    copy_of: int | None = None
    elapsed: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[Mapping[str, float]] = ()
    values: tuple[float, ...] = ()  # all objectives

    @classmethod
    def of(cls, arm: str, row: Row) -> Tried:
        """Raises `KeyError`, `TypeError` or `ValueError` where the row is no trial."""
        values = [float(value) for value in row["values"]]
        value = values[0] if values and all(map(math.isfinite, values)) else None
        return cls(
            arm=arm,
            number=int(row["number"]),
            value=value,
            error=None if value is not None else _plain(str(row.get("error") or "the log holds no value")),
            choices={_plain(str(name)): _scalar(option) for name, option in dict(row["choices"]).items()},
            params=int(row["params"]),
            network=_plain(str(row["network"])),
            fidelity=float(row["fidelity"]),
            progress=float(row["fidelity"]) / (number_of(row.get("horizon")) or float(row["fidelity"])),
            seed=int(row["seed"]),
            copy_of=None if row.get("copy_of") is None else int(row["copy_of"]),
            elapsed=float(row.get("elapsed") or 0.0),
            metrics=_numbers(row.get("metrics") or {}),
            curve=tuple(_numbers(epoch) for epoch in row.get("curve") or ()),
            values=() if value is None else tuple(values),
        )

    @property
    def score(self) -> float:
        """The value of a trial that has one."""
        assert self.value is not None
        return self.value

    @property
    def costs(self) -> tuple[float, ...]:
        """By the objectives after the first; to be minimised."""
        return tuple(-value for value in self.values[1:])

    @cached_property
    def key(self) -> str:
        """Equal for two trials of the same choices, whatever the seed and the epochs."""
        return json.dumps(self.choices, sort_keys=True)

    @property
    def epochs(self) -> float:
        """Epochs that were trained, of all folds; 0 for a copy."""
        return self.metrics.get("epochs", 0.0)

    @property
    def length(self) -> float:
        """Epochs of the whole training, those of trials that it goes on from too."""
        return max(self.epochs, len(self.curve))

    @property
    def seconds(self) -> float:
        return self.metrics.get("seconds", 0.0)


def best_first(rows: Iterable[Tried]) -> list[Tried]:
    """Those with a value, in the order of `nas.trial.best_first`."""
    return sorted(
        (row for row in rows if row.value is not None),
        key=lambda row: (-row.progress, -row.score, row.copy_of is not None, row.costs, row.params, row.number),
    )


@dataclass(frozen=True)
class Selection:
    """What a search has decided at its end: the numbers of the rows of each log that count, what it wrote and chose.

    `joining`: of the final trainings those of small networks, for an ensemble's sake.
    """

    counting: Mapping[str, frozenset[int]]
    handed: tuple[str, ...]
    chosen: str
    joining: frozenset[int] = frozenset()

    @classmethod
    def read(cls, file: Path) -> Selection | None:
        """None where there is none: the search is running or was interrupted, or is of a version that wrote none."""
        loaded = read_json(file)
        try:
            counting = {arm: frozenset(int(number) for number in loaded[arm]) for arm in ("final", "distilled")}
            joining = frozenset(int(number) for number in loaded.get("joining", ()))
            return cls(counting, tuple(str(name) for name in loaded["handed"]), str(loaded["chosen"]), joining)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class Run:
    """What a run directory holds. `unread` lines of its logs were damaged."""

    path: Path
    config: Mapping[str, Any]
    state: State
    search: Sequence[Tried]
    random: Sequence[Tried]
    final: Sequence[Tried]
    distilled: Sequence[Tried]
    handed: Mapping[str, Mapping[str, Any]]  # folder -> its config.json, of best, ensemble, distilled
    unread: int = 0
    tests: int = 1  # networks or ensembles that the test part was used for, in all sessions
    selection: Selection | None = None

    @classmethod
    def read(cls, path: Path) -> Run:
        """Raises `ValueError` where `path` is no run directory."""
        record = Record(path)
        try:
            state = record.state()
        except (OSError, TypeError):  # no log yet, or a state that says nothing
            state = State()
        if not (path / "state.json").is_file():  # the dates of files are of the last copy as likely as of the search
            state = State(state.phase)
        arms: dict[str, list[Tried]] = {}
        unread = 0
        for arm in ARMS:
            rows, name = record.new(arm), LOGS[arm]
            arms[arm] = [tried for tried in (_read(arm, row) for row in rows) if tried is not None]
            unread += _lines(path / name) - len(arms[arm])
        tests = len({str(row.get("what")) for row in Rows(path / "tests.jsonl").new()}) or 1
        selection = Selection.read(path / "selection.json")
        written = FOLDERS if selection is None else selection.handed  # others are of an earlier session
        handed = {name: read_json(path / name / "config.json") if name in written else {} for name in FOLDERS}
        return cls(path, record.config, state, **arms, handed=handed, unread=unread, tests=tests, selection=selection)

    @property
    def exported(self) -> Mapping[str, Any]:
        """What best/ says of the best single network."""
        return self.handed["best"]

    @property
    def shared(self) -> bool:
        """Whether the search evaluated with shared weights: a score ranks, and is no trained network's accuracy."""
        return bool(self.config.get("one_shot"))

    @cached_property
    def taught(self) -> list[float]:
        """The seconds of each epoch that shared weights were trained; none where there are no such."""
        return taught(self.path)

    @property
    def measure(self) -> str:
        """What a score in the search is."""
        return "accuracy with shared weights" if self.shared else "validation accuracy"

    @cached_property
    def tried(self) -> list[Tried]:
        """The trials of both searches."""
        return [*self.search, *self.random]

    @cached_property
    def trained(self) -> list[Tried]:
        """Those that have a value of their own: no failures, no copies, and of a network its furthest training."""
        own = [row for row in self.tried if row.value is not None and row.copy_of is None]
        if self.shared:  # of one round, which have seen the same weights
            last = max((row.progress for row in own), default=1.0)
            return [row for row in own if row.progress == last]
        furthest: dict[str, float] = {}
        for row in own:
            furthest[row.key] = max(row.progress, furthest.get(row.key, 0.0))
        return [row for row in own if row.progress == furthest[row.key]]

    @cached_property
    def rungs(self) -> list[int]:
        """Epochs of the rungs at which the search has left trainings and gone on with the best; none without rungs."""
        if self.shared or all(row.progress == 1 for row in self.search):
            return []
        return sorted({max(1, round(int(self.config["epochs"]) * row.fidelity)) for row in self.search})

    @cached_property
    def ranked(self) -> list[Tried]:
        return best_first(self.tried)

    @property
    def failed(self) -> list[Tried]:
        """Trials and final trainings without a value."""
        return [row for row in (*self.tried, *self.again) if row.value is None]

    @property
    def again(self) -> list[Tried]:
        """What was trained after the searches."""
        return [*self.final, *self.distilled]

    def counting(self, arm: str) -> list[Tried]:
        """Of the final or the distilled trainings those that the search has gone by; all where it does not say."""
        rows = {"final": self.final, "distilled": self.distilled}[arm]
        return [row for row in rows if self.selection is None or row.number in self.selection.counting[arm]]

    @cached_property
    def budget(self) -> int:
        """0 where the run does not say it."""
        given = self.config.get("budget")
        return parse_size(given) if given else 0

    def share(self, params: int) -> float | None:
        """Of the parameter budget."""
        return params / self.budget if self.budget else None

    def original(self, row: Tried) -> Tried:
        """The trial that a copy took its result from, of either search; the row itself where it is none."""
        if row.copy_of is None:
            return row
        for arm in (self.search, self.random):  # random search may copy the search, never the other way round
            for other in arm:
                if other.number == row.copy_of and other.copy_of is None and other.value == row.value:
                    return other
        return row

    @property
    def samples(self) -> tuple[int, ...]:
        """Of the training, validation and test parts; empty where the run does not say."""
        return tuple(int(part) for part in mapping(self.record.get("data")).get("samples") or ())

    @property
    def record(self) -> Mapping[str, Any]:
        """What config.yaml says of where the search ran."""
        return mapping(self.config.get("record"))


def _read(arm: str, row: Row) -> Tried | None:
    try:
        return Tried.of(arm, row)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _lines(path: Path) -> int:
    """Whole lines of a file; 0 where it is missing."""
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    found = {str(name): number_of(value) for name, value in row.items()}
    return {name: value for name, value in found.items() if value is not None}


def number_of(value: Any) -> float | None:
    """A finite number, or None."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else None


def _scalar(value: Any) -> Scalar:
    return (
        value
        if isinstance(value, bool | int | float)
        else _plain(value if isinstance(value, str) else json.dumps(value))
    )


def _plain(text: str) -> str:
    """Without what neither XML nor UTF-8 can hold."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is a mapping, and an empty one where it is not."""
    return value if isinstance(value, Mapping) else {}
