"""The command line, from the first line to the exit status: what is printed, what is left, how it ends and goes on."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from toy import ROOT, command, environment, rows

from nas.cli import gathered, main
from nas.configfile import read_yaml
from nas.options import Options
from nas.result import Result
from nas.summary import print_result

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("--budget", "50K", "--trials", "4", "--epochs", "2", "--device", "cpu")
LIMIT = 120


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(), cwd=cwd, capture_output=True, text=True, check=False, timeout=LIMIT
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A whole small search on two workers, and where it ran."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(*SMALL, "--workers", "2", "--out", "out", cwd=folder)


Finished = tuple[Path, subprocess.CompletedProcess[str]]


def test_a_whole_search_leaves_every_file_that_the_readme_names(finished: Finished) -> None:
    folder, done = finished
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    names = {str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*") if p.is_file()}
    best = {f"best/{name}" for name in ("model.py", "weights.safetensors", "config.json", "predict.py")}
    assert names >= {"config.yaml", "trials.jsonl", "trials.csv", "baseline.jsonl", *best}
    assert not [name for name in names if name.endswith(".partial")]
    assert sorted(row["number"] for row in rows(folder / "out" / "trials.jsonl")) == [0, 1, 2, 3]
    with (folder / "out" / "trials.csv").open(newline="") as file:
        assert [row["number"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
    assert [p.name for p in folder.iterdir()] == ["out"]


def test_the_end_of_a_search_says_what_was_found_and_where_it_is(finished: Finished) -> None:
    folder, done = finished
    values = [row["values"][0] for name in ("trials", "baseline") for row in rows(folder / "out" / f"{name}.jsonl")]
    for words in (
        "The best networks inside the parameter budget of 50K",
        f"{100 * max(values):.2f} %",
        "4 trials",
        "Random search at equal cost, 4 trials",
        "Test accuracy of the best network, measured once",
        "Everything is in out/",
        "python out/best/predict.py samples.npy",
    ):
        assert words in done.stdout
    sizes = [int(text.replace(",", "")) for text in re.findall(r"│ +([\d,]+) │ +[\d.]+ % │", done.stdout)]
    assert 0 < len(sizes) <= 5
    assert max(sizes) <= 50_000


def test_the_same_command_again_trains_nothing_more_and_prints_the_same(finished: Finished) -> None:
    folder, done = finished
    logs = [folder / "out" / name for name in ("trials.jsonl", "baseline.jsonl", "trials.csv", "best/config.json")]
    before = [path.read_bytes() for path in logs]
    again = run(*SMALL, "--workers", "2", "--out", "out", cwd=folder)
    assert again.returncode == 0
    assert again.stdout == done.stdout
    assert [path.read_bytes() for path in logs] == before


def test_config_yaml_continues_its_search_and_quiet_prints_the_path_alone(
    finished: Finished, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.chdir(finished[0])
    before = Path("out/trials.jsonl").read_bytes()
    assert main(["--config", "out/config.yaml", "--workers", "0", "-q"]) == 0
    assert capsys.readouterr() == ("out/best\n", "")
    assert Path("out/trials.jsonl").read_bytes() == before
    assert Options.of(read_yaml("out/config.yaml")).workers == 0


def test_a_file_of_options_has_them_as_the_command_line_has(here: Path) -> None:
    Path("c.yaml").write_text("no_final: true\nnni: 8081\nwandb: false\nmlflow: true\nray_address: auto\n")
    wanted = {"final_epochs": 0, "monitors": {"nni": 8081, "mlflow": True}, "executor": "ray:address=auto"}
    assert gathered(read_yaml("c.yaml")) == wanted
    assert dict(Options.of({"budget": "20K", **wanted}).monitors) == {"nni": "8081", "mlflow": ""}


def test_another_search_in_the_same_directory_is_refused(
    finished: Finished, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.chdir(finished[0])
    assert main([*SMALL, "--workers", "0", "--seed", "1", "--out", "out"]) == 2
    assert "seed is 0 there and 1 now" in capsys.readouterr().err


def test_help_names_every_option_and_plugin(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    words = ["--budget", "--dry-run", "--config", "mlp", "evolution", "random", "reinforce", "digits", "npz"]
    for word in ("parameter budget", "the most parameters a network may have", *words):
        assert word.lower() in text.lower()


@pytest.mark.parametrize("baseline", [True, False])
def test_a_dry_run_describes_the_space_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], baseline: bool
) -> None:
    switch = "--baseline" if baseline else "--no-baseline"
    assert main(["--budget", "50K", "--trials", "4", "--workers", "1", "--device", "cpu", switch, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    lines = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in out.splitlines())
    assert err == ""
    assert list(lines) == [
        *("space", "parameter budget", "decisions", "smallest", "median", "largest", "raw space inside", "time"),
    ]
    assert lines["space"] == "mlp, 1x8x8 inputs, 10 classes"
    assert lines["parameter budget"] == "50,000"
    sizes = [int(lines[name].split()[0].replace(",", "")) for name in ("smallest", "median", "largest")]
    assert 0 < sizes[0] < sizes[1] <= sizes[2] <= 50_000
    assert 0 <= float(lines["raw space inside"].split()[0]) <= 100
    assert "for 4 trials" in lines["time"]
    assert ("the baseline" in lines["time"]) == baseline
    assert list(here.iterdir()) == []


def test_a_search_in_which_every_trial_fails_ends_with_status_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--budget", "5K", "--space", "toy:Diverging", "--trials", "3", "--workers", "0", "--out", "out"]
    assert main([*arguments, "--no-baseline"]) == 1
    out, err = capsys.readouterr()
    assert " ".join(out.split()) == ("No network was trained to the end (3 of 3 trials failed); see out/errors.log")
    assert "trial 0 failed: NotFinite" in err
    assert "Traceback" not in err
    assert (here / "out" / "errors.log").read_text().count("not finite after epoch 1") >= 3
    assert main([*arguments, "--no-baseline"]) == 1
    assert len(rows(here / "out" / "trials.jsonl")) == 3


def test_a_line_for_every_trial_where_they_are_asked_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--budget", "5K", "--space", "toy:Line", "--trials", "3", "--workers", "0", "--no-baseline", "-v"])
    err = " ".join(capsys.readouterr().err.split())
    assert [f"trial {n}:" in err for n in range(4)] == [True, True, True, False]


def test_a_path_with_brackets_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = Options.of({"budget": "5K", "out": str(tmp_path / "[bold]run")})
    result = Result(tmp_path / "[bold]run", [], [], [], None, interrupted=False)
    print_result(result, options, Console(width=500), quiet=True)
    assert "[bold]run" in capsys.readouterr().out


def test_a_search_interrupted_before_its_first_result_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result(tmp_path, [], [], [], None, interrupted=True)
    print_result(result, Options.of({"budget": "5K"}), Console(width=500), quiet=False)
    out = capsys.readouterr().out
    assert "nterrupted" in out
    assert "failed" not in out


def test_a_module_beside_the_user_is_found_by_the_console_script_too(tmp_path: Path) -> None:
    """`nas-search` is a script elsewhere, so the working directory is not where Python looks by itself."""
    script, mine = tmp_path / "bin" / "nas-search", tmp_path / "mine"
    script.parent.mkdir()
    mine.mkdir()
    script.write_text("from nas.cli import main\nraise SystemExit(main())\n")
    (mine / "beside.py").write_text((ROOT / "tests" / "toy.py").read_text())
    arguments = [sys.executable, str(script), "--space", "beside:Line", "--budget", "9"]
    environment_ = {**environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, env=environment_, cwd=mine, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("error: the smallest network of space beside"), done.stderr


def test_the_module_of_the_command_line_does_not_hide_the_function() -> None:
    """`nas.search` is both a function and the module of `python -m nas.search`."""
    code = "import nas, importlib; importlib.import_module('nas.search'); assert callable(nas.search), nas.search"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
