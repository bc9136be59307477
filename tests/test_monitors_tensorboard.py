"""What TensorBoard's own readers find in RUN/tensorboard: curves, the table of choices, failures, the graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from telling import copied, failed, session, trial

pytest.importorskip("tensorboard")

from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

NAMES = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/validation",
    "lr": "lr",
    "grad_norm": "grad_norm",
    "update_ratio": "update_ratio",
}


pytest_plugins = ("fixtures_trackers",)
pytestmark = pytest.mark.usefixtures("by_itself")


def read(folder: Path) -> EventAccumulator:
    assert len(list(folder.glob("*tfevents*"))) == 1
    return EventAccumulator(str(folder)).Reload()


class Table:
    """The HPARAMS tab, as its server makes it."""

    def __init__(self, folder: Path) -> None:
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(folder))
        backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
        wanted = api_pb2.ListSessionGroupsRequest(
            start_index=0,
            slice_size=100,
            allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING],
            col_params=[api_pb2.ColParams(metric=api_pb2.MetricName(tag="accuracy"))],
        )
        experiment = get_experiment.Handler(
            context.RequestContext(), backend, "", api_pb2.GetExperimentRequest(include_metrics=True)
        ).run()
        self.columns = {info.name: info.type for info in experiment.hparam_infos}
        self.metrics = [info.name.tag for info in experiment.metric_infos]
        groups = list_session_groups.Handler(context.RequestContext(), backend, "", wanted).run().session_groups
        assert all(len(group.sessions) == 1 for group in groups)
        self.rows = {group.name: group for group in groups}

    def choices(self, row: str) -> dict[str, Any]:
        hparams = self.rows[row].hparams
        return {name: getattr(value, value.WhichOneof("kind")) for name, value in hparams.items()}

    def accuracy(self, row: str) -> float | None:
        return next((metric.value for metric in self.rows[row].metric_values), None)


def test_the_curves_of_a_trial_are_read_back_epoch_by_epoch(tmp_path: Path) -> None:
    session(tmp_path / "run", {"tensorboard": ""}, [trial(17)])
    found, told = read(tmp_path / "run/tensorboard/search/trial-00017"), trial(17)
    for name, tag in NAMES.items():
        points = [(event.step, event.value) for event in found.Scalars(tag)]
        assert points == [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in told.curve]
    assert [event.value for event in found.Scalars("accuracy")] == [pytest.approx(told.value)]
    ended = [event.wall_time for event in found.Scalars("lr")]
    assert ended == [told.ended - 0.5, told.ended]  # the second epoch took half a second


def test_the_best_so_far_is_a_line_over_the_trials_of_an_arm(tmp_path: Path) -> None:
    trials = [trial(3), failed(4), trial(1), trial(8)]
    session(tmp_path / "run", {"tensorboard": ""}, trials)
    session(tmp_path / "run", {"tensorboard": ""}, [failed(0), trial(2)], arm="random")
    for arm, best in {"search": [(1, 0.23), (2, 0.23), (3, 0.23), (4, 0.28)], "random": [(2, 0.22)]}.items():
        events = read(tmp_path / "run/tensorboard" / arm).Scalars("accuracy/best")
        assert [(event.step, event.value) for event in events] == [(n, pytest.approx(v)) for n, v in best]


def test_the_table_of_hyper_parameters_has_a_row_for_each_trial(tmp_path: Path) -> None:
    trials = [trial(n) for n in range(6)]
    session(tmp_path / "run", {"tensorboard": ""}, trials)
    table = Table(tmp_path / "run/tensorboard")
    assert set(table.rows) == {f"search/trial-{n:05d}" for n in range(6)}
    assert table.metrics == ["accuracy"]
    assert set(table.columns) == {"arm", "parameters", "lr", "depth", "width0", "width1", "width2"}
    assert table.columns["lr"] == table.columns["parameters"] == api_pb2.DATA_TYPE_FLOAT64
    assert table.columns["arm"] == api_pb2.DATA_TYPE_STRING
    for told in trials:
        row = f"search/trial-{told.number:05d}"
        assert table.choices(row) == {"arm": "search", "parameters": told.params, **told.candidate.values}
        assert table.accuracy(row) == pytest.approx(told.value)


def test_failures_are_failed_rows_and_copies_keep_the_curve_they_took_over(tmp_path: Path) -> None:
    session(tmp_path / "run", {"tensorboard": ""}, [trial(0), failed(1), copied(2, trial(0))])
    folder = tmp_path / "run/tensorboard"
    table = Table(folder)
    assert table.rows["search/trial-00001"].sessions[0].status == api_pb2.STATUS_FAILURE
    assert table.rows["search/trial-00002"].sessions[0].status == api_pb2.STATUS_SUCCESS
    assert table.accuracy("search/trial-00001") is None
    words = read(folder / "search/trial-00001").Tensors("error")[0].tensor_proto.string_val[0].decode()
    assert words == "    NotFinite: the loss\n    is not finite"
    losses = [[e.value for e in read(folder / f"search/trial-0000{n}").Scalars("loss/train")] for n in (0, 2)]
    assert losses[0] == losses[1] == [pytest.approx(row["train_loss"]) for row in trial(0).curve]


def test_folds_are_runs_of_their_own(tmp_path: Path) -> None:
    rows = trial(0).curve
    folded = tuple({**row, "fold": fold, "val_loss": fold + row["epoch"] / 8} for fold in (1, 2) for row in rows)
    session(tmp_path / "run", {"tensorboard": ""}, [trial(0, curve=folded)])
    folder = tmp_path / "run/tensorboard/search/trial-00000"
    for fold in (1, 2):
        events = read(folder / f"fold-{fold}").Scalars("loss/validation")
        assert [(e.step, e.value) for e in events] == [(1, fold + 1 / 8), (2, fold + 2 / 8)]
    assert read(folder).Tags()["scalars"] == ["accuracy"]


def test_a_resumed_search_writes_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    run, wanted = tmp_path / "run", {"tensorboard": ""}
    session(run, {}, [trial(0)])  # a session that did not write
    session(run, wanted, [trial(1)], [trial(0)])
    written = {file: file.stat().st_mtime_ns for file in run.glob("tensorboard/search/trial-*/*")}
    session(run, wanted, [trial(2)], [trial(0), trial(1)])
    assert len(written) == 2
    assert {file: file.stat().st_mtime_ns for file in written} == written
    assert [event.step for event in read(run / "tensorboard/search").Scalars("accuracy/best")] == [1, 2, 3]
    assert len(Table(run / "tensorboard").rows) == 3


def test_columns_of_words_and_numbers_are_words_and_the_space_says_so_beforehand(tmp_path: Path) -> None:
    run = tmp_path / "run"
    session(run, {}, [])  # so that it is a search's folder
    (run / "space.json").write_text(json.dumps({"lr": [0.1, "auto"], "depth": [1, 2, 3], "late": [True, False]}))
    session(run, {"tensorboard": ""}, [trial(0)])
    table = Table(run / "tensorboard")
    assert table.choices("search/trial-00000")["lr"] == str(trial(0).candidate.values["lr"])
    assert table.columns["lr"] == api_pb2.DATA_TYPE_STRING
    assert table.columns["late"] == api_pb2.DATA_TYPE_BOOL
    assert table.columns["depth"] == api_pb2.DATA_TYPE_FLOAT64


def test_the_graph_of_the_best_network_is_drawn(tmp_path: Path) -> None:
    best = trial(0).candidate.architecture
    (tmp_path / "run/best").mkdir(parents=True)
    (tmp_path / "run/config.yaml").write_text("identity: {seed: 3}\n")
    (tmp_path / "run/best/config.json").write_text(json.dumps({"architecture": best.to_json()}))
    for _ in range(2):  # the second takes the place of the first
        session(tmp_path / "run", {"tensorboard": ""}, [trial(0)])
    nodes = {node.op for node in read(tmp_path / "run/tensorboard/best").Graph().node}
    assert "aten::linear" in nodes
