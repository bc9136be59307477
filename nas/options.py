"""Every option of a search, from the command line, a YAML file or Python: one place that reads and checks them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nas.budget import Budget, parse_size
from nas.narrow import Narrowing
from nas.normalise import NORMALISATIONS
from nas.objectives import ACCURACY, read_objectives
from nas.oneshot.option import TRIALS, check_one_shot, read_one_shot
from nas.ops import Scalar
from nas.plugins import nearest, parse_value

DEFAULT_TRIALS = 24
SEARCH_SHARE = 1 / 2
LEAST_PATIENCE = 3  # where it is not given, it is half of the epochs: what an annealed schedule gains comes late
LARGEST_SEED = 2**64 - 1  # that torch takes
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The resolved options. `--dry-run`, `--config` and `-v/-q` stand outside: they choose no trial."""

    budget: int
    space: Any = "mlp"
    data: Any = "digits"
    strategy: Any = "predictor"
    objective: tuple[str, ...] = (ACCURACY,)
    trials: int | None = None
    time: float | None = None
    epochs: int = 8
    patience: int = 4
    min_change: float = 0.0
    patience_from: int = 0
    final_epochs: int | None = None
    finalists: int | None = None
    final_seeds: int | None = None
    sample: float = 1.0
    folds: int = 1
    fix: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    normalise: str | None = None
    fill: float | None = None
    seed: int = 0
    workers: int | str = "auto"
    workers_per_gpu: int = 1
    device: str = "auto"
    executor: str = "local"
    trial_timeout: float | None = None
    baseline: bool | None = None
    fused: bool = True
    one_shot: Mapping[str, int] | None = None
    report: bool = True
    ensemble: bool = False
    distill: float | None = None
    monitors: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any], written: Mapping[str, str] | None = None) -> Options:
        """Read raw values, words or numbers; None stands for the default. Raises `ValueError` in one sentence.

        `written`: how the user has written the names of options, where that was not as they are here.
        """
        written = written or {}
        known = [f.name for f in fields(cls)]
        for key in raw:
            if key not in known:
                raise ValueError(f"unknown option {key!r}; {nearest(str(key), known)}")
        given = {key: value for key, value in raw.items() if value is not None}
        if "budget" not in given:
            raise ValueError("the parameter budget is missing; give --budget, for example --budget 20M")
        read = {k: _READ[k](written.get(k, k), value) if k in _READ else value for k, value in given.items()}
        read.setdefault("patience", max(LEAST_PATIENCE, read.get("epochs", cls.epochs) // 2))
        options = cls(**read)
        if options.distill is not None and options.final_epochs == 0:
            raise ValueError(f"--distill {options.distill:g} teaches in the final training; leave --no-final out")
        for name, value in (("--finalists", options.finalists), ("--final-seeds", options.final_seeds)):
            if value is not None and options.final_epochs == 0:
                raise ValueError(f"{name} {value} is of the final training; leave it out, or --final-epochs 0")
        if options.joins and options.final_epochs == 0 and options.folds > 1:
            raise ValueError(f"--folds {options.folds} leaves no weights to join; leave --no-final out")
        if options.one_shot is not None:
            check_one_shot(options.final_epochs, options.folds, options.fix, options.only)
        return options._placed()

    def _placed(self) -> Options:
        """With `workers` 0 for whatever means this process. Raises `ValueError` for options that exclude each other."""
        if self.executor == "inline" and self.workers not in ("auto", 0):
            raise ValueError(f"--executor inline trains in this process; leave --workers {self.workers} out")
        if self.workers == 0 and self.executor not in ("local", "inline"):
            raise ValueError(f"--workers 0 trains in this process; leave --executor {self.executor} out")
        options = replace(self, workers=0, executor="local") if self.executor == "inline" else self
        if options.workers == 0 and options.trial_timeout is not None:
            limit = f"--trial-timeout {options.trial_timeout:g}"
            raise ValueError(f"{limit} stops a worker process, and --workers 0 has none; leave one of them out")
        return options

    @property
    def limits(self) -> tuple[int | None, float | None]:
        """Trials and seconds; the default number of trials where neither is given."""
        usual = DEFAULT_TRIALS if self.one_shot is None else TRIALS
        return (usual if self.trials is None and self.time is None else self.trials), self.time

    @property
    def parameter_budget(self) -> Budget:
        return Budget(self.budget, self.fill)

    @property
    def search_share(self) -> float:
        """Of a time limit, what the search gets; the rest is for the final training."""
        return SEARCH_SHARE if self.final_epochs is None else 1.0

    @property
    def search_limits(self) -> tuple[int | None, float | None]:
        """Of the search alone."""
        trials, seconds = self.limits
        return trials, None if seconds is None else seconds * self.search_share

    @property
    def joins(self) -> bool:
        """Whether trained networks are to be joined; distillation needs an ensemble to teach."""
        return self.ensemble or self.distill is not None

    @property
    def groups(self) -> bool:
        """Whether a worker may train several networks as one.

        Not in this process, where a search that was stopped and continued is the uninterrupted one, nor where each has
        a time limit of its own.
        """
        return self.fused and self.workers != 0 and self.trial_timeout is None

    @property
    def narrowing(self) -> Narrowing:
        return Narrowing(self.fix, frozenset(self.only) or None)

    @property
    def wants_baseline(self) -> bool:
        """Random search at equal cost is run unless refused; it doubles the cost, so under --time only on demand."""
        return self.time is None if self.baseline is None else self.baseline


def parse_time(text: str | int | float) -> float:
    """`'10m'`, `'1h30m'`, `'90s'`, or seconds -> seconds."""
    word = str(text).strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", word):
        seconds = float(word)
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", word):
        seconds = sum(float(n) * _SECONDS[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", word))
    else:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise ValueError(f"a time is written 90s, 10m, 1h30m or in seconds, got {text!r}")
    return seconds


def _integer(least: int, most: float = math.inf) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        try:
            number = int(str(value).replace("_", ""))
        except ValueError:
            number = least - 1
        if not least <= number <= most or isinstance(value, bool):
            meaning = f"of at least {least}" if most == math.inf else f"in {least}..{most}"
            raise ValueError(f"{key} must be a whole number {meaning}, got {value!r}")
        return number

    return read


def _real(meaning: str, fits: Callable[[float], bool]) -> Callable[[str, Any], float]:
    def read(key: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not fits(number) or isinstance(value, bool):
            raise ValueError(f"{key} must be {meaning}, got {value!r}")
        return number

    return read


def _fix(key: str, value: Any) -> dict[str, tuple[Scalar, ...]]:
    """`'lr=1e-3|2e-3,optimizer=adamw'`, or a mapping from names to a value or a list of values."""
    if isinstance(value, str):
        items = [item.partition("=") for item in value.split(",") if item.strip()]
        if wrong := next(("".join(item) for item in items if not (item[0].strip() and item[2].strip())), None):
            raise ValueError(f"{key} takes choice=value or choice=value|value, got {wrong!r}")
        names = [name.strip() for name, _, _ in items]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{key} names {twice} twice; write {twice}=value|value")
        value = {name: values.split("|") for name, (_, _, values) in zip(names, items, strict=True)}
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be choice=value,... or a mapping, got {value!r}")
    fixed: dict[str, tuple[Scalar, ...]] = {}
    for name, given in value.items():
        several = list(given) if isinstance(given, list | tuple) else [given]
        if not several or not all(isinstance(v, bool | int | float | str) for v in several):
            raise ValueError(f"{key} {name} must be a value or a list of values, got {given!r}")
        fixed[str(name)] = tuple(parse_value(v.strip()) if isinstance(v, str) else v for v in several)
    return fixed


def _names(key: str, value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n.strip() for n in names):
        raise ValueError(f"{key} must be names of choices such as width,depth, got {value!r}")
    return tuple(name.strip() for name in names)


def _monitors(key: str, value: Any) -> dict[str, str]:
    """A mapping from names of monitors to their values, '' for none; or a list of `name` and `name:value`."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        value = dict(item.partition(":")[::2] for item in value)
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be names such as [tensorboard, 'nni:8080'], got {value!r}")
    return {str(name): "" if given in (None, True) else str(given) for name, given in value.items()}


def _normalise(key: str, value: Any) -> str:
    if value not in NORMALISATIONS:
        raise ValueError(f"{key} must be one of {', '.join(NORMALISATIONS)}, got {value!r}")
    return str(value)


def _path(key: str, value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ValueError(f"{key} must be the path of a folder, got {value!r}")
    return Path(value)


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, got {value!r}")
    return value


def _workers(key: str, value: Any) -> int | str:
    return "auto" if value == "auto" else _integer(0)(f"{key}, where not auto,", value)


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} must be a name such as local, got {value!r}")
    return value.strip()


def _device(key: str, value: Any) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(value)):
        likely = "cuda" if "gpu" in str(value).lower() else str(value).lower()
        raise ValueError(f"{key} must be auto, cpu or cuda, got {value!r}; {nearest(likely, ('auto', 'cpu', 'cuda'))}")
    return str(value)


_READ: dict[str, Callable[[str, Any], Any]] = {
    "budget": lambda key, value: parse_size(value),
    "objective": read_objectives,
    "trials": _integer(1),
    "time": lambda key, value: parse_time(value),
    "epochs": _integer(1),
    "patience": _integer(1),
    "min_change": _real("a difference of accuracies in 0..1, such as 0.001", lambda v: 0 <= v < 1),
    "patience_from": _integer(0),
    "final_epochs": _integer(0),
    "finalists": _integer(1),
    "final_seeds": _integer(1),
    "sample": _real("a share of the training part, above 0 and at most 1", lambda v: 0 < v <= 1),
    "folds": _integer(1),
    "fix": _fix,
    "only": _names,
    "normalise": _normalise,
    "fill": _real("a share of the parameter budget in 0..1", lambda v: 0 <= v <= 1),
    "seed": _integer(0, LARGEST_SEED),
    "workers": _workers,
    "workers_per_gpu": _integer(1),
    "device": _device,
    "executor": _name,
    "trial_timeout": lambda key, value: parse_time(value),
    "baseline": _switch,
    "fused": _switch,
    "one_shot": read_one_shot,
    "monitors": _monitors,
    "report": _switch,
    "ensemble": _switch,
    "distill": _real("a temperature of at least 1, such as 4", lambda v: 1 <= v < 1e3),
    "out": _path,
}
