"""Every mistake is answered in one line that carries the value, before anything is trained, with exit status 2."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click
import numpy as np
import pytest

import nas
from nas.cli import main
from nas.command import run_command
from nas.data.digits import Digits
from nas.data.npz import Npz
from nas.dataset import Arrays, Source

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("here")
BUDGET = ("--budget", "50K")


@pytest.fixture(autouse=True)
def never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mistake here needs the data to be read."""

    def load(self: Source, seed: int) -> None:
        raise AssertionError("the data were read")

    for cls in (Digits, Npz, Arrays):
        monkeypatch.setattr(cls, "load", load)


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a mistake is answered with."""
    status = main(arguments)
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert not Path("runs").exists()
    return err


MISTAKES: list[tuple[str, list[str]]] = [  # arguments, what the line must show
    ("", ["the parameter budget is missing", "--budget 20M"]),
    ("--budget twenty", ["'twenty'", "20M"]),
    ("--budget 0", ["'0'"]),
    ("--budget -5K", ["'-5K'"]),
    ("--budget 2.5", ["'2.5'"]),
    ("--budget 1e400", ["'1e400'"]),
    ("--budget 1e16", ["'1e16'"]),
    ("--budget 50K --space mpl", ["'mpl'", "did you mean 'mlp'?"]),
    ("--budget 50K --space mlp:max_dept=3", ["'max_dept'", "did you mean 'max_depth'?"]),
    ("--budget 50K --space mlp:max_depth=deep", ["max_depth", "'deep'", "10"]),
    ("--budget 50K --space mlp:max_depth=[", ["max_depth", "'['"]),
    ("--budget 50K --space mlp:max_depth=", ["max_depth", "10"]),
    ("--budget 50K --space mlp:max_depth", ["'max_depth'", "key=value"]),
    ("--budget 50K --space mlp:max_depth=0", ["max_depth must be in 1..64, got 0"]),
    ("--budget 50K --space nowhere:Space", ["'nowhere:Space'", "nowhere"]),
    ("--budget 50K --space .nowhere:Space", ["'.nowhere:Space'"]),
    ("--budget 50K --space :Space", ["':Space'"]),
    ("--budget 50K --space nas.space:Nothing", ["'nas.space:Nothing'", "Nothing"]),
    ("--budget 50K --space nas.ops:OPS", ["'nas.ops:OPS'", "SearchSpace"]),
    ("--budget 50K --strategy evolutoin", ["'evolutoin'", "did you mean 'evolution'?"]),
    ("--budget 50K --strategy evolution:population=5,sample=30", ["sample must be in 1..population (5), got 30"]),
    ("--budget 50K --strategy random:population=5", ["'population'"]),
    ("--budget 50K --data digit", ["'digit'", "did you mean 'digits'?"]),
    ("--budget 50K --data npz:nowhere.npz", ["'nowhere.npz'"]),
    ("--budget 50K --data npz", ["npz", "npz:FILE"]),
    ("--budget 50K --data digits:mine.npz", ["'mine.npz'"]),
    ("--budget 50K --trials 0", ["--trials must be a whole number of at least 1, got '0'"]),
    ("--budget 50K --seed 100000000000000000000", ["--seed must be a whole number in 0..18446744073709551615"]),
    ("--budget 50K --final-seeds 0", ["--final-seeds must be a whole number of at least 1, got '0'"]),
    ("--budget 50K --min-change 2", ["--min-change must be a difference"]),
    ("--budget 50K --workers -1", ["--workers, where not auto, must be a whole number"]),
    ("--budget 50K --trials ten", ["'ten'"]),
    ("--budget 50K --time 0", ["'0'", "10m"]),
    ("--budget 50K --time 10x", ["'10x'", "10m"]),
    ("--budget 50K --epochs 1.5", ["epochs", "'1.5'"]),
    ("--budget 50K --patience -1", ["patience", "'-1'"]),
    ("--budget 50K --fill 1.5", ["fill", "'1.5'"]),
    ("--budget 50K --fill nan", ["fill", "'nan'"]),
    ("--budget 50K --workers many", ["workers", "'many'", "auto"]),
    ("--budget 50K --workers -1", ["workers", "'-1'"]),
    ("--budget 50K --device gpu", ["'gpu'", "did you mean 'cuda'?"]),
    ("--budget 50K --device cuda:99", ["--device cuda:99", "use --device cpu or auto"]),
    ("--budget 50K --seed -3", ["seed", "'-3'"]),
    ("--budget 50K --config nowhere.yaml", ["nowhere.yaml"]),
    ("--budget 50K --config .", ["--config .", "directory"]),
    ("--budget 50K --no-final --final-epochs 4", ["--final-epochs 4 is of the final training, which --no-final"]),
    ("--budget 50K -q -v", ["-q", "leave one of them out"]),
    ("--budgt 50K", ["--budgt", "--budget"]),
    ("--budget", ["--budget"]),
    ("--budget 50K something", ["something"]),
    ("--budget 100", ["the smallest network", "parameter budget is 100", "raise --budget to at least"]),
    ("--budget 50K --fill 1 --space mlp:max_width=16,max_depth=1", ["at least 1 of the parameter budget 50,000"]),
]


@pytest.mark.parametrize(("arguments", "shown"), MISTAKES, ids=[mistake or "nothing" for mistake, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: str, shown: list[str]
) -> None:
    line = refusal(arguments.split(), capsys)
    assert [words for words in shown if words not in line] == []


FILES: dict[str, list[str]] = {  # a file for --config, what the line must show
    "budgt: 50K": ["'budgt'", "did you mean 'budget'?"],
    "budget: 50K\nverbose: true": ["'verbose'", "known: baseline, budget"],
    "budget: 50K\ndry-run: true": ["'dry-run'"],
    "budget: 50K\nno_final: true\nfinal_epochs: 3": ["--final-epochs 3"],
    "budget: 50K\nray_address: ''": ["--ray-address must be auto or HOST:6379"],
    "budget: 50K\nmonitors: [wandb]\nnni: true": ["monitors and nni are both given"],
    "budget: 50K\nbudget: 60K": ["budget stands there twice"],
    "budget: 50K\nfix: {lr: 0.1, depth: 2, lr: 0.2}": ["lr stands there twice"],
    "budget: [1, 2]": ["[1, 2]"],
    "budget: .inf": ["inf"],
    "budget: true": ["True"],
    "trials: 3": ["the parameter budget is missing"],
    "budget: 50K\ntrials: ten": ["trials", "'ten'"],
    "budget: 50K\ntrials: 2.5": ["trials", "2.5"],
    "budget: 50K\nbaseline: maybe": ["baseline must be true or false, got 'maybe'"],
    "budget: 50K\nseed: true": ["seed", "True"],
    "budget: 50K\nfill: true": ["fill", "True"],
    "budget: 50K\ntime: {}": ["{}", "10m"],
    "budget: 50K\nworkers: 1.5": ["workers", "1.5"],
    "budget: 50K\ndevice: 0": ["device", "0"],
    "budget: 50K\nspace: 5": ["space", "5"],
    "budget: 50K\nstrategy: {name: random}": ["strateg", "{'name': 'random'}"],
    "budget: 50K\ndata: 5": ["data", "int"],
    "budget: 50K\ndata: [1, 2]": ["samples must be numbers"],
    "budget: 50K\nout: 5": ["out", "5"],
    "budget: 50K\nout: ''": ["out", "''"],
    "budget: 50K\nout: [runs]": ["out", "['runs']"],
    "- budget": ["options.yaml", "list"],
    "": ["options.yaml", "NoneType"],
    "budget: [50K": ["options.yaml is not YAML", "line 1"],
    "budget: 50K\n\ttrials: 3": ["options.yaml is not YAML", "line 2"],
}


@pytest.mark.parametrize("text", FILES)
def test_a_mistake_in_a_file_is_answered_in_one_line(capsys: pytest.CaptureFixture[str], here: Path, text: str) -> None:
    (here / "options.yaml").write_text(text)
    line = refusal(["--config", "options.yaml"], capsys)
    assert [words for words in FILES[text] if words not in line] == []


def test_a_file_that_is_no_text_is_answered_in_one_line(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "options.yaml").write_bytes(b"\xff\xfe\x00budget")
    assert "options.yaml is not YAML" in refusal(["--config", "options.yaml"], capsys)


def test_the_command_line_has_precedence_over_the_file(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "options.yaml").write_text("budget: 50K\ntrials: ten\nspace: mpl")
    line = refusal(["--config", "options.yaml", "--trials", "4", "--space", "mlq"], capsys)
    assert "'mlq'" in line


def test_an_impossible_budget_is_refused_before_the_samples_are_read(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    x, y = np.zeros((50, 3, 20)), np.arange(50) % 5
    np.savez(here / "data.npz", X=x, y=y)
    line = refusal(["--data", "npz:data.npz", "--budget", "900"], capsys)
    assert "3x20 inputs and 5 classes" in line
    assert "parameter budget is 900" in line
    with pytest.raises(nas.BudgetError, match="3x20 inputs and 5 classes"):
        nas.search("mlp", 900, (x, y))
    with pytest.raises(AssertionError, match="the data were read"):  # or this test shows nothing
        nas.search("mlp", "50K", (x, y), workers=0)


def test_a_directory_that_cannot_be_used_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the data may be read: a run directory is told from another by them
    (here / "file").write_text("")
    for out in (here / "file", here / "file" / "below"):
        assert f"'{out}'" in refusal([*BUDGET, "--workers", "0", "--out", str(out)], capsys)


def test_the_python_door_refuses_as_the_command_line_does() -> None:
    for options, shown in (
        ({"budget": None}, "budget is missing"),
        ({"budgt": 5}, "did you mean 'budget'"),
        ({"space": nas.Strategy}, "SearchSpace"),
        ({"strategy": nas.SearchSpace}, "Strategy"),
        ({"data": object()}, "got object"),
        ({"data": (np.zeros((4, 2)),)}, "tuple"),
        ({"time": -1}, "-1"),
    ):
        with pytest.raises(ValueError, match=shown):
            nas.search(**{"budget": "50K", **options})


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/trials.jsonl"),
        OSError(f"the weights cannot be written to run/weights: {os.strerror(errno.ENOSPC)}"),
    ],
    ids=str,
)
def test_a_full_disk_is_told_what_to_do(error: OSError, capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def write() -> None:
        raise error

    assert run_command(write, [], "nas.search") == 2
    said = capsys.readouterr().err
    assert "make room and give the same command again" in said
    assert (error.filename or "") in said
