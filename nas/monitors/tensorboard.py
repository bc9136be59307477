"""TensorBoard: event files under RUN/tensorboard/ARM/trial-NNNNN, each written whole when its trial has ended.

They are written record by record, with neither a thread nor torch: the process that searches does without both. torch
is imported at the end alone, to draw the best network's graph.
"""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.extras import library, need
from nas.monitors._tracker import CURVES, Told, Tracker
from nas.ops import Scalar
from nas.record import read_json
from nas.trial import Trial

RECORDS = "tensorboard.summary.writer.record_writer"
PROTO, HPARAMS, TEXT = "tensorboard.compat.proto", "tensorboard.plugins.hparams", "tensorboard.plugins.text"


class TensorBoard(Tracker):
    """Learning curves, the best so far, a table of choices with their accuracy (HPARAMS), the best network's graph."""

    HELP = "Write the search for TensorBoard, to RUN/tensorboard."

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self._folder = path, path / "tensorboard"
        self._best_so_far: dict[str, _EventFile] = {}
        self._columns: dict[str, set[type]] = {}
        self._fixed: set[str] = set()  # columns of a single value, which TensorBoard may hide
        self.notice = f"TensorBoard: tensorboard --logdir {shlex.quote(str(self._folder))}"

    @classmethod
    def of(cls, value: str, path: Path, config: Mapping[str, Any]) -> TensorBoard:
        need("tensorboard", "tensorboard")
        return cls(path)

    def open(self) -> None:
        for module in (RECORDS, f"{PROTO}.event_pb2", f"{HPARAMS}.metadata", f"{TEXT}.metadata"):
            library(module)

    def write(self, told: Told) -> None:
        facts = self._facts(told)
        self._describe(facts)
        folder = self._folder / told.arm / told.name
        if not any(folder.glob("*.tfevents.*")):
            self._write_trial(told, folder, facts)
        if told.arm not in self._best_so_far:
            self._best_so_far[told.arm] = _anew(self._folder / told.arm)
        if told.best is not None:
            self._best_so_far[told.arm].add(told.finish, told.ended, [_scalar("accuracy/best", told.best)])

    def closed(self, path: Path) -> None:
        for file in self._best_so_far.values():
            file.close()
        config = path / "best" / "config.json"
        if config.is_file():
            _draw(Architecture.from_json(json.loads(config.read_text(encoding="utf-8"))["architecture"]), self._folder)

    def _facts(self, told: Told) -> dict[str, Scalar]:
        """The row of the table of hyper-parameters."""
        facts: dict[str, Scalar] = {"arm": told.arm, "parameters": told.trial.params}
        return {**facts, **{f"choice {k}" if k in facts else k: v for k, v in told.choices.items()}}

    def _describe(self, facts: Mapping[str, Scalar]) -> None:
        """Say which columns the table of hyper-parameters has; anew where a trial has one that none had before."""
        known = {name: set(types) for name, types in self._columns.items()}
        if not known:
            forks = read_json(self.path / "space.json")
            known = {name: set(map(type, options)) for name, options in forks.items()}
            self._fixed = {name for name, options in forks.items() if len(options) == 1}
        for name, value in facts.items():
            known.setdefault(name, set()).add(type(value))
        if known == self._columns:
            return
        self._columns = known
        api = library(f"{HPARAMS}.api_pb2")
        columns = [api.HParamInfo(name=name, type=_column_type(types)) for name, types in known.items()]
        for column in columns if "differs" in api.HParamInfo.DESCRIPTOR.fields_by_name else ():  # older ones lack it
            column.differs = column.name not in self._fixed
        metric = api.MetricInfo(name=api.MetricName(tag="accuracy"), display_name="validation accuracy")
        file = _anew(self._folder)
        experiment = api.Experiment(hparam_infos=columns, metric_infos=[metric], time_created_secs=time.time())
        file.add(time.time(), 0, [_hparams("_hparams_/experiment", experiment=experiment)])
        file.close()

    def _write_trial(self, told: Told, folder: Path, facts: Mapping[str, Scalar]) -> None:
        curves: dict[int, list[tuple[float, int, list[Any]]]] = {}
        for fold, epoch, at, row in told.epochs():
            figures = [_scalar(CURVES.get(name, name), value) for name, value in row.items()]
            curves.setdefault(fold, []).append((at, epoch, figures))
        for fold, events in curves.items():
            if fold:  # runs of their own, that each figure may be seen over all folds
                _write(folder / f"fold-{fold}", events)
        _write(folder, [*curves.get(0, ()), (told.finish, _kept_epoch(told.trial), self._end(told, facts))])

    def _end(self, told: Told, facts: Mapping[str, Scalar]) -> list[Any]:
        plugin, api = library(f"{HPARAMS}.plugin_data_pb2"), library(f"{HPARAMS}.api_pb2")
        start = plugin.SessionStartInfo(start_time_secs=told.begin)
        for name, value in facts.items():
            kind = "bool_value" if isinstance(value, bool) else "string_value"
            kind = kind if isinstance(value, bool | str) else "number_value"
            mixed = _column_type(self._columns[name]) == api.DATA_TYPE_STRING
            setattr(start.hparams[name], "string_value" if mixed else kind, str(value) if mixed else value)
        status = api.STATUS_FAILURE if told.trial.error is not None else api.STATUS_SUCCESS
        values = [
            _hparams("_hparams_/session_start_info", session_start_info=start),
            _hparams(
                "_hparams_/session_end_info",
                session_end_info=plugin.SessionEndInfo(status=status, end_time_secs=told.finish),
            ),
        ]
        words = [_text("network", str(told.trial.candidate.architecture))]
        if told.trial.copy_of is not None:
            words.append(_text("copy of", f"trial {told.trial.copy_of}"))
        if told.trial.error is not None:
            return [*values, *words, _text("error", told.trial.error)]
        return [*values, *words, *([] if told.accuracy is None else [_scalar("accuracy", told.accuracy)])]


class _EventFile:
    """A file of events, each on disk as soon as it is added."""

    def __init__(self, path: Path) -> None:
        self._event = library(f"{PROTO}.event_pb2").Event
        self._summary = library(f"{PROTO}.summary_pb2").Summary
        self._records = library(RECORDS).RecordWriter(path.open("wb"))
        self._put(self._event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, at: float, step: int, values: Iterable[Any]) -> None:
        self._put(self._event(wall_time=at, step=step, summary=self._summary(value=values)))

    def close(self) -> None:
        self._records.close()

    def _put(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()


def _anew(folder: Path) -> _EventFile:
    """The only file of events in `folder`, under a new name, by which TensorBoard sees that it is another."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.tfevents.*"):
        file.unlink()
    return _EventFile(folder / f"events.out.tfevents.{time.time_ns()}.nas")


def _write(folder: Path, events: Iterable[tuple[float, int, list[Any]]]) -> None:
    """A file of events that is there as a whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "partial"
    file = _EventFile(partial)
    for event in events:
        file.add(*event)
    file.close()
    partial.replace(folder / f"events.out.tfevents.{time.time_ns()}.nas")


def _scalar(tag: str, value: float) -> Any:
    return library(f"{PROTO}.summary_pb2").Summary.Value(tag=tag, simple_value=value)


def _text(tag: str, words: str) -> Any:
    """Shown as it is: TensorBoard reads Markdown, in which four blanks make a line stand for itself."""
    lines = "\n".join(f"    {line}" for line in words.splitlines())
    metadata = library(f"{TEXT}.metadata").create_summary_metadata(display_name="", description="")
    tensor = library(f"{PROTO}.tensor_pb2").TensorProto(
        dtype=library(f"{PROTO}.types_pb2").DT_STRING, string_val=[lines.encode()]
    )
    return library(f"{PROTO}.summary_pb2").Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _hparams(tag: str, **content: Any) -> Any:
    metadata = library(f"{HPARAMS}.metadata")
    data = library(f"{HPARAMS}.plugin_data_pb2").HParamsPluginData(**content)
    described = metadata.create_summary_metadata(data)
    return library(f"{PROTO}.summary_pb2").Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)


def _column_type(types: set[type]) -> Any:
    """Of a column with values of these types: words as soon as one is a word, or where numbers and switches meet."""
    api = library(f"{HPARAMS}.api_pb2")
    if types == {bool}:
        return api.DATA_TYPE_BOOL
    return api.DATA_TYPE_STRING if types & {bool, str} else api.DATA_TYPE_FLOAT64


def _kept_epoch(trial: Trial) -> int:
    return int(trial.metrics.get("best_epoch", len(trial.curve)))


def _draw(architecture: Architecture, folder: Path) -> None:
    """The graph of a network, in the run `best`."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    from nas.network import Network

    shutil.rmtree(folder / "best", ignore_errors=True)
    # torch prints the reason of a failure, which is raised as well; tracing warns of tracing
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        with SummaryWriter(str(folder / "best")) as writer:
            writer.add_graph(Network(architecture).eval(), torch.zeros(2, *architecture.input_shape))
