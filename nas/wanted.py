"""Which network of a run a user means, its best or one of its trials, and what the run has kept of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.architecture import Architecture, is_scope
from nas.record import LOGS, Record, read_json

ARRAYS = ("builtins:tuple", "builtins:list", "nas.dataset:Arrays")  # data that config.yaml can only name


@dataclass(frozen=True)
class Wanted:
    """The best network of a run, or a trial of it: `12` of its search, `"random 12"` of random search beside it.

    Everything is read when it is first asked for.

    `path` is a run directory; for the best network a best/ folder, or its config.json, will do. Where there is nothing
    at `path`, or the run has not what is asked for, `ValueError` says so.
    """

    path: Path
    trial: int | str | None = None

    def __post_init__(self) -> None:
        _ = self._place
        if not self.path.exists():
            raise ValueError(
                f"{str(self.path)!r} does not exist; give a run directory, or a config.json of a best/ folder"
            )

    @property
    def _place(self) -> tuple[str, int] | None:
        """The arm of the trial that is wanted, and its number."""
        if self.trial is None:
            return None
        said = re.fullmatch(r"(?:(random)[ :_-]?)?(\d{1,9})", str(self.trial).strip())
        if said is None:
            raise ValueError(
                f"--trial must be the number of a trial, 12, or of random search, 'random 12', got {self.trial!r}"
            )
        return said[1] or "search", int(said[2])

    @property
    def name(self) -> str:
        """What is added to the name of a file about the trial; '' for the best network."""
        if self._place is None:
            return ""
        arm, number = self._place
        return f"{'trial' if arm == 'search' else arm}{number}"

    @property
    def folder(self) -> Path:
        """Where files about the network go: beside config.json; for a trial the run directory."""
        return self._config.parent if self.trial is None else self.path

    @cached_property
    def architecture(self) -> Architecture:
        if self._place is not None:
            return self._replayed()
        try:
            config = json.loads(self._config.read_text(encoding="utf-8"))
            architecture = Architecture.from_json(config["architecture"])
            _ = architecture.num_params
            if not all(map(is_scope, (node.scope for node in architecture.nodes))):  # they are names in the source
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise ValueError(
                f"{self._config} holds no architecture; give the config.json of a run's best/ folder"
            ) from None
        return architecture

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is known of the network, under the names of config.json; any but its size may be missing."""
        architecture = self.architecture
        sizes = {"input_shape": list(architecture.input_shape), "parameters": architecture.num_params}
        if self.trial is None:
            return {**read_json(self._config), **sizes}
        best = read_json(self.path / "best" / "config.json")
        kept: dict[str, Any] = {
            name: best[name] for name in ("classes", "data", "normalisation", "parameter_budget") if name in best
        }
        values = self._row().get("values")
        value: dict[str, Any] = {"validation_accuracy": values[0]} if values else {}
        arm, number = self._place or ("search", 0)
        trial = number if arm == "search" else f"{arm} {number}"
        return {**kept, **value, "trial": trial, **sizes, "architecture": architecture.to_json()}

    @property
    def weights(self) -> Path:
        """Where its weights are, if they were kept."""
        if self._place is None:
            return self._config.with_name("weights.safetensors")
        arm, number = self._place
        return self.path / "weights" / arm / f"trial-{number:05d}.safetensors"

    def network(self) -> Any:
        """The trained `nas.network.Network`, in evaluation mode.

        Raises `ValueError` where its weights were not kept, or are damaged.
        """
        from nas.network import Network
        from nas.weights import load_weights

        network = Network(self.architecture)
        remedy = (
            "leave --trial out" if self.trial is not None else "run the search's command again, which writes it anew"
        )
        if not self.weights.is_file() and self.trial is not None:
            raise ValueError(
                f"the weights of trial {self.trial} were not kept (of the best trial they are, of more with "
                f"--ensemble); leave --trial out, or take --format source, which needs none"
            )
        if not self.weights.is_file():
            raise ValueError(f"{self.weights} is missing; {remedy}")
        if not load_weights(network, self.weights):
            raise ValueError(f"{self.weights} is damaged, or of another network; {remedy}")
        return network.eval()

    @cached_property
    def _config(self) -> Path:
        """config.json of the best network."""
        path = self.path
        files = [path] if path.is_file() else [path / "config.json", path / "best" / "config.json"]
        file = next((file for file in files if file.is_file()), None)
        if file is None and (path / "trials.jsonl").is_file():
            raise ValueError(f"the search in {path} has no best network yet; finish it or give --trial N")
        if file is None:
            raise ValueError(
                f"{path} holds no config.json and no best/config.json; give a run directory or a best/ folder"
            )
        return file

    def _row(self) -> dict[str, Any]:
        """The line of the trial in the log of its arm."""
        assert self._place is not None
        arm, number = self._place
        log = self.path / LOGS[arm]
        if not log.is_file():
            raise ValueError(
                f"--trial needs a run directory, and {self.path} has no {log.name}; give the folder of a search"
            )
        rows = _rows(log)
        if number not in rows:
            held = f"trials {min(rows)}..{max(rows)}" if rows else "none"
            raise ValueError(f"trial {number} is not in {log}, which holds {held}; give one of those as --trial")
        return rows[number]

    def _replayed(self) -> Architecture:
        from nas.configfile import read_yaml
        from nas.options import Options
        from nas.problem import Problem

        choices, config = self._row()["choices"], self.path / "config.yaml"
        try:
            options = read_yaml(str(config))
            if options.get("data") in ARRAYS:
                options["data"] = self._arrays()
            space, samples = Problem.of(Options.of(options)).space, self._epoch()
            return (space.sized(samples) if samples else space).replay(choices).architecture
        except ValueError as error:
            raise ValueError(
                f"trial {self.trial} cannot be had, since its space cannot be made again from {config} ({error}); "
                f"leave --trial out: the best network of {self.path} is kept as it is"
            ) from None

    def _epoch(self) -> int:
        """The samples of an epoch of the search, by which recipes are offered.

        Of an earlier version those of the training part; 0 where the run says nothing.
        """
        data = Record(self.path).config.get("record", {}).get("data", {})
        return int(data.get("samples_of_an_epoch") or (data.get("samples") or [0])[0])

    def _arrays(self) -> Any:
        """Arrays like those of a search that was called from Python: of their shape, with as many classes."""
        try:
            data = Record(self.path).config["record"]["data"]
            shape, classes = tuple(data["input_shape"]), int(data["classes"])
            return np.zeros((classes, *shape)), np.arange(classes)
        except (KeyError, TypeError):
            raise ValueError("it does not say what its arrays were like") from None


def _rows(log: Path) -> dict[int, dict[str, Any]]:
    """The whole lines of a log by number of trial; a last line cut short is passed over."""
    rows = {}
    for number, line in enumerate(log.read_text(encoding="utf-8").rpartition("\n")[0].splitlines(), 1):
        try:
            row = json.loads(line)
            rows[int(row["number"])] = {"choices": dict(row["choices"]), "values": row.get("values")}
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{log}, line {number} is damaged; restore the file") from None
    return rows
