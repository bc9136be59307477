"""A Ray cluster: what is refused, a search on one, files where folders are not shared, a machine that is lost."""

from __future__ import annotations

import pickle
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import toy
from searching import Search
from toy import Toy

import nas
from nas.cli import main
from nas.events import Monitor
from nas.executors._parcel import Parcel, opened, put_back, unseen
from nas.executors._reply import Held, Reply
from nas.job import Job, Outcome, evaluate
from nas.trial import Trial

pytest_plugins = ("fixtures_run",)

LIMIT = 120.0


@pytest.fixture
def ray() -> Any:
    return pytest.importorskip("ray")


def test_a_missing_library_is_said_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.extras.find_spec", lambda module: None)
    with pytest.raises(ValueError, match=r"^--executor ray needs ray; pip install 'nas-search\[ray\]'$"):
        nas.search(budget="50K", executor="ray")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--executor rya", "there is no executor 'rya'; did you mean 'ray'?"),
        ("--executor ray:port=1", "executor ray has no option 'port'; known: address"),
        ("--executor local --ray-address auto", "--ray-address auto is of --executor ray; leave --executor local out"),
        ("--executor ray --workers 0", "--workers 0 trains in this process; leave --executor ray out"),
        ("--executor inline --workers 4", "--executor inline trains in this process; leave --workers 4 out"),
        ("--workers 0 --trial-timeout 90s", "--trial-timeout 90 stops a worker process, and --workers 0 has none"),
        ("--executor inline --trial-timeout 1m", "--trial-timeout 60 stops a worker process"),
        ("--trial-timeout soon", "a time is written 90s, 10m, 1h30m or in seconds, got 'soon'"),
        ("--workers-per-gpu 0", "--workers-per-gpu must be a whole number of at least 1, got '0'"),
    ],
)
@pytest.mark.usefixtures("here")
def test_options_that_exclude_each_other_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    status = main(["--budget", "50K", *arguments.split()])
    toy.assert_refused(status, capsys.readouterr(), said)


def test_one_gpu_of_a_cluster_cannot_be_asked_for(ray: Any) -> None:
    with pytest.raises(ValueError, match=re.escape("--device cuda:1: Ray chooses among the GPUs")):
        nas.search(budget="50K", executor="ray", device="cuda:1")


def test_an_address_where_no_cluster_answers_is_refused(ray: Any) -> None:
    with pytest.raises(ValueError, match=r"no Ray cluster at nowhere\.invalid:6379 .*ray start --head"):
        nas.search(budget="50K", executor="ray:address=nowhere.invalid:6379")


@pytest.mark.parametrize("address", ["nowhere.invalid", "nowhere.invalid:port"])
def test_what_is_no_address_of_a_cluster_is_refused_with_what_one_looks_like(ray: Any, address: str) -> None:
    with pytest.raises(ValueError, match=f"the address of a Ray cluster is auto or HOST:6379, got '{address}'"):
        nas.search(budget="50K", executor=f"ray:address={address}")


@pytest.mark.usefixtures("here")
def test_an_empty_ray_address_does_not_mean_that_the_search_trains_here(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--budget", "50K", "--ray-address", ""])
    toy.assert_refused(status, capsys.readouterr(), "--ray-address must be auto or HOST:6379, got ''")


def copy(evaluator: Toy, source: Path, target: Path) -> str:
    """A job that reads one file and writes two, one of them beside what it was told to write."""
    text = source.read_text()
    for path in (target, target.with_name("beside.txt")):
        path.write_text(text.upper())
    return str(target)


def test_where_folders_are_not_shared_a_job_finds_its_files_and_brings_back_what_it_writes(tmp_path: Path) -> None:
    here = tmp_path / "run"
    here.mkdir()
    for name in ("in.txt", "in-fold2.txt", "input.txt", "out of it.txt"):
        (here / name).write_text("weights")
    parcel = Parcel.of((copy, (here / "in.txt", here / "out.txt"), {}))
    assert set(parcel.files(parcel.folders)[str(here)]) == {"in.txt", "in-fold2.txt"}
    assert unseen(parcel.folders) == []
    files = parcel.files(parcel.folders)
    (tmp_path / "run").rename(tmp_path / "on another machine")
    assert unseen(parcel.folders) == [str(here)]
    ((data, written),) = opened(Held(Toy(), "cpu"), parcel.data, files)
    reply = Reply.read(data)
    assert (reply.failure, Path(reply.result).exists()) == (None, False)
    assert not here.exists()
    put_back(written)
    assert {path.name: path.read_text() for path in here.iterdir()} == {"out.txt": "WEIGHTS", "beside.txt": "WEIGHTS"}


def test_where_folders_are_shared_nothing_travels_and_paths_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("weights")
    parcel = Parcel.of((copy, (Path("in.txt"), Path("out.txt")), {}))
    monkeypatch.chdir("/")
    ((reply, written),) = opened(Held(Toy(), "cpu"), parcel.data, {})
    assert (pickle.loads(reply).result, written) == (str(tmp_path / "out.txt"), {})
    assert (tmp_path / "out.txt").read_text() == "WEIGHTS"


def test_a_reply_of_another_version_is_a_failure_that_says_so() -> None:
    failure = Reply.read(pickle.dumps((True, 3))).failure
    assert str(failure) == "TypeError: the worker runs another version of nas: it has sent (True, 3)"


@pytest.mark.slow
def test_a_whole_search_runs_on_a_ray_of_its_own(ray: Any, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    given: dict[str, Any] = {"budget": "5K", "trials": 3, "epochs": 1, "final_epochs": 1, "finalists": 1}
    result = nas.search("toy:Line", baseline=False, executor="ray", workers=1, out=tmp_path / "run", **given)
    assert [trial.error for trial in result.trials] == [None] * 3
    assert result.test_accuracy is not None
    assert (tmp_path / "run" / "best" / "weights.safetensors").exists()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not ray.is_initialized()


def number_of(node_id: str) -> int:
    """A node as a metric, which is a number."""
    return crc32(node_id.encode())


class Timed(Toy):
    """Takes its time, and says on which node."""

    def __init__(self, folder: Path) -> None:
        super().__init__(failing=False)
        self.folder = folder

    def __call__(self, job: Job) -> Outcome:
        import ray

        node = number_of(ray.get_runtime_context().get_node_id())
        (self.folder / f"{job.number}-{time.time_ns()}").touch()
        time.sleep(1.0)
        outcome = super().__call__(job)
        return Outcome(outcome.values, {**outcome.metrics, "node": node}, outcome.curve)


@pytest.fixture
def cluster(ray: Any) -> Iterator[Any]:
    """Three nodes with a core each."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024}
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    made = Cluster(initialize_head=True, head_node_args={**node, "_system_config": quick, "include_dashboard": False})
    made.extra = [made.add_node(**node) for _ in range(2)]
    made.wait_for_nodes()
    made.node = node
    yield made
    made.shutdown()


class Loses(Monitor):
    """Takes a node from the cluster in the middle of its second trial, and brings another some trials later."""

    def __init__(self, cluster: Any) -> None:
        self.cluster, self.doomed = cluster, number_of(cluster.extra[0].node_id)
        self.nodes: list[float] = []
        self.lost = 0  # trials told before that

    def told(self, trial: Trial) -> None:
        if trial.copy_of is None:
            self.nodes.append(trial.metrics["node"])
        if not self.lost and self.doomed in self.nodes[:-1] and self.nodes[-1] != self.doomed:
            self.cluster.remove_node(self.cluster.extra[0], allow_graceful=False)
            self.lost = len(self.nodes)
        elif len(self.nodes) == self.lost + 6:
            self.cluster.add_node(**self.cluster.node)


@pytest.mark.slow
def test_a_search_on_three_nodes_outlives_one_of_them_and_takes_another(
    cluster: Any, search: Search, tmp_path: Path
) -> None:
    from nas.executors.ray import Cluster as Backend

    begun = tmp_path / "begun"
    begun.mkdir()
    weights = tmp_path / "weights"
    weights.mkdir()
    backend, loses = Backend(address=cluster.address), Loses(cluster)
    try:
        devices = backend.open("auto", "auto", 1)
        executor = backend.workers(Timed(begun), devices)
        start = time.monotonic()
        trials = search(
            executor=executor,
            trials=40,
            monitors=(loses,),
            weights_of=lambda number: weights / f"{number}",
            keep_all=True,
        )
        seconds = time.monotonic() - start
        executor.shutdown()
    finally:
        backend.close()
    trained = [trial for trial in trials if trial.copy_of is None]
    nodes = [trial.metrics["node"] for trial in trained]
    runs = len(list(begun.iterdir()))
    counts = [nodes.count(node) for node in dict.fromkeys(nodes)]
    print(f"{len(trained)} trained, {runs} begun, by node {counts}, {loses.lost} before the loss, {seconds:.1f} s")
    assert devices == ["cpu"] * 3
    assert sorted(trial.number for trial in trials) == list(range(40))
    assert [trial.error for trial in trials] == [None] * 40
    assert runs >= len(trained)  # more, but where the node was lost between two jobs
    assert len(set(nodes)) >= 3  # four, but where the new one came late
    assert {path.name for path in weights.iterdir()} == {str(trial.number) for trial in trained}


@pytest.mark.slow
def test_a_file_for_a_folder_that_is_nowhere_yet_comes_back(ray: Any, tmp_path: Path) -> None:
    from nas.executors.ray import Cluster as Backend

    backend = Backend()
    try:
        executor = backend.workers(Toy(failing=False), backend.open("cpu", 1, 1))
        candidate = toy.line().replay({"depth": 1, "lr": 1e-3, "width0": 4})
        job = Job(7, candidate, 1, weights=tmp_path / "new" / "weights", live=tmp_path / "live" / "7")
        executor.submit(evaluate, job).result(LIMIT)
        executor.shutdown()
    finally:
        backend.close()
    assert (tmp_path / "new" / "weights").read_text() == "7"
