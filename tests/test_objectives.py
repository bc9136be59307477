"""Several objectives: what is asked for, what is recorded, what is shown of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from searching import Search
from toy import Line, Toy, assert_refused, rows, timeless

import nas
from nas.cli import main
from nas.job import Job, Outcome
from nas.narrow import Narrowing
from nas.objectives import dominates, front
from nas.options import Options
from nas.recipe import DEFAULTS
from nas.report import write_report
from nas.result import Result
from nas.summary import print_result
from search_spaces.nasbench201 import NASBench201
from strategies.nsga2 import NSGA2

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
SEVERAL = {"objective": "accuracy,-params,-flops", "strategy": "nsga2:population=4", "budget": "20K", "space": Line}


def run(out: Path, **options: Any) -> Result:
    given = {**SEVERAL, "epochs": 1, "workers": 0, "final_epochs": 0, "trials": 8, "out": out, **options}
    return nas.search(**given)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(tmp_path_factory.mktemp("several") / "run")


class Sized(Toy):
    """Values of two objectives, the second of which may be not finite."""

    def __call__(self, job: Job) -> Outcome:
        outcome = super().__call__(job)
        params = float(job.candidate.architecture.num_params)
        return Outcome((*outcome.values, -params if params < 700 else float("-inf")), outcome.metrics, outcome.curve)


def test_the_values_are_accuracy_and_what_the_network_costs(found: Result) -> None:
    for trial in [*found.trials, *found.baseline]:
        network = trial.candidate.architecture
        assert trial.values == (trial.metrics["val_accuracy"], -network.num_params, -network.flops)
        assert trial.value == trial.values[0]
        assert trial.metrics["flops"] == network.flops


def test_the_front_is_of_both_searches_and_nothing_dominates_it(found: Result) -> None:
    both = [*found.trials, *found.baseline]
    on = {trial.values for trial in found.front}
    assert len(on) > 1
    for trial in both:
        assert (trial.values in on) is not any(dominates(other.values, trial.values) for other in both)
    assert found.best.value == max(trial.value for trial in both)


def test_table_report_and_csv_show_the_front(found: Result) -> None:
    console = Console(record=True, width=200)
    print_result(found, Options.of(SEVERAL), console, quiet=False)
    shown = console.export_text()
    page = write_report(found.path).read_text(encoding="utf-8")
    assert "front of accuracy, -params, -flops" in shown
    assert "Trade-offs" in page
    assert 'aria-label="Accuracy against FLOPs of' in page
    assert (found.path / "figures" / "flops.svg").exists()
    assert not (found.path / "figures" / "latency.svg").exists()
    handed = json.loads((found.path / "best" / "config.json").read_text())
    assert handed["costs"] == {"flops": found.best.candidate.architecture.flops}
    for trial in found.front:
        flops = f"{trial.candidate.architecture.flops:,}"
        assert f"{100 * trial.value:.2f} %" in shown
        assert flops in shown
        assert f'<td class="n">{trial.params:,}</td><td class="n">{flops}</td>' in page
    on = {trial.number for trial in found.front if any(trial is other for other in found.trials)}
    with (found.path / "trials.csv").open() as file:
        assert {int(row["number"]) for row in csv.DictReader(file) if row["front"] == "True"} == on


def test_with_one_objective_nothing_of_a_front_is_shown(tmp_path: Path) -> None:
    result = run(tmp_path / "one", objective="accuracy", trials=2, baseline=False)
    assert all(len(trial.values) == 1 for trial in result.trials)
    assert "front" not in (tmp_path / "one" / "trials.csv").read_text().splitlines()[0].split(",")
    assert "Trade-offs" not in write_report(result.path).read_text(encoding="utf-8")


def test_stopped_and_resumed_equals_uninterrupted(found: Result, tmp_path: Path) -> None:
    resumed = tmp_path / "resumed"
    run(resumed, trials=3, baseline=False)
    run(resumed)
    assert timeless(rows(resumed / "trials.jsonl")) == timeless(rows(found.path / "trials.jsonl"))
    for other in ("accuracy,-params", "accuracy"):
        with pytest.raises(ValueError, match="objective"):
            run(resumed, objective=other)


def test_a_run_from_before_there_were_several_goes_on(tmp_path: Path) -> None:
    one = {"objective": "accuracy", "strategy": "random"}
    before = run(tmp_path / "run", trials=2, **one)
    recorded = yaml.safe_load((before.path / "config.yaml").read_text())
    assert "objective" not in recorded["identity"]
    assert recorded["objective"] == ["accuracy"]
    assert len(run(tmp_path / "run", trials=4, **one).trials) == 4
    with pytest.raises(ValueError, match="objective is None there"):
        run(tmp_path / "run", objective="accuracy,-params", strategy="random")


def test_the_final_training_is_of_the_most_accurate(tmp_path: Path) -> None:
    result = run(tmp_path / "final", final_epochs=1, finalists=1, final_seeds=2, trials=5, baseline=False)
    best = max(result.trials, key=lambda trial: trial.value)
    assert [trial.candidate.values for trial in result.final] == [best.candidate.values] * 2
    assert all(trial.values[1:] == best.values[1:] for trial in result.final)
    assert (result.folder / "model.py").exists()


def test_the_web_page_shows_the_first(found: Result) -> None:
    pytest.importorskip("starlette", reason="the web UI needs the extra [nni]")
    from serving import API, Run, data

    client = Run.client(type("Made", (), {"path": found.path})())  # type: ignore[arg-type]  # a path is all it takes
    shown = {job["sequenceId"]: job["finalMetricData"][0] for job in client.get(f"{API}/trial-jobs").json()}
    assert {number: data(metric)["default"] for number, metric in shown.items()} == {
        trial.number: trial.value for trial in found.trials
    }


def test_an_objective_that_is_not_finite_is_a_failure(search: Search) -> None:
    trials = search("nsga2:population=4", evaluator=Sized(failing=False))
    large = [trial for trial in trials if trial.params >= 700]
    assert large
    assert all("not finite" in str(trial.error) and not trial.values for trial in large)
    assert all(len(trial.values) == 2 for trial in trials if trial.params < 700)
    assert timeless(search("nsga2:population=4", evaluator=Sized(failing=False))) == timeless(trials)  # read again


class Held(Toy):
    """Values of networks that may hold more parameters than they compute with; all are as accurate."""

    def __call__(self, job: Job) -> Outcome:
        return Outcome((0.5, -float(job.candidate.architecture.num_params)), {})


def test_a_network_that_computes_the_same_as_another_has_a_cost_of_its_own(search: Search) -> None:
    fixed = Narrowing({"edge": ("none", "conv1x1", "conv3x3"), **{name: (value,) for name, value in DEFAULTS.items()}})
    space = NASBench201((1, 8, 8), 3, cells=1, channels=4).on(narrowing=fixed)
    two = ("accuracy", "-params")
    trials = search("nsga2", space=space, evaluator=Held(failing=False), trials=60, objectives=two)
    copies = [trial for trial in trials if trial.copy_of is not None]
    original = {trial.number: trial for trial in trials}
    assert any(trial.params < original[trial.copy_of].params for trial in copies if trial.copy_of is not None)
    assert all(trial.values == (0.5, -trial.params) for trial in trials)
    (best,) = {trial.params for trial in front(trials)}
    assert best == min(trial.params for trial in trials)
    told = NSGA2(space)
    for trial in trials:
        told.tell(trial)
    assert min(trial.params for trial in told.population) == best


@pytest.mark.parametrize("strategy", ["evolution", "local", "reinforce", "asha:inner=nsga2", "hyperband"])
def test_a_strategy_of_one_objective_says_so(strategy: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--budget", "20K", "--objective", "accuracy,-params", "--strategy", strategy])
    assert_refused(status, capsys.readouterr(), f"accuracy,-params is too much for strategy {strategy},")


@pytest.mark.parametrize(
    "wrong", ["params", "-params", "accuracy,params", "accuracy,-energy", "accuracy,accuracy", "", ","]
)
def test_an_objective_that_there_is_not_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(main(["--budget", "20K", f"--objective={wrong}"]), capsys.readouterr(), f"got {wrong!r}")


@pytest.mark.parametrize("wrong", [3, [], ["accuracy", 3], ["accuracy", ["-params"]], {"accuracy": 1}])
def test_so_it_is_from_python_and_yaml(wrong: Any) -> None:
    with pytest.raises(ValueError, match="objective must be accuracy"):
        Options.of({"budget": "20K", "objective": wrong})
