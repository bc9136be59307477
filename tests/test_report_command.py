"""How a report comes to be: the command line, and the end of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_report import Page
from toy import assert_refused

import nas
from nas.report import main, write_report


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{tmp}/nowhere"], "'{tmp}/nowhere' is no run directory (it has no config.yaml); give the folder of a search"),
        (["{tmp}"], "is no run directory"),
        ([], "Missing argument 'RUN'"),
        (["{tmp}", "--what"], "No such option"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_two(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([argument.format(tmp=tmp_path) for argument in arguments])
    assert_refused(status, capsys.readouterr(), said.format(tmp=tmp_path))


def test_a_config_that_is_no_searchs_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("[")
    assert main([str(tmp_path)]) == 2
    assert "is damaged, or no search's; restore the file" in capsys.readouterr().err


def test_the_report_of_a_real_search_repeats_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = nas.search(space="mlp:max_depth=2,max_width=32", budget="5K", trials=3, epochs=2, workers=0, out=tmp_path)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert f"{100 * result.best.value:.2f}" in page.text
    assert result.test_accuracy is not None
    assert f"{100 * result.test_accuracy:.2f} % on the test part" in page.text
    assert f"{result.best.params:,} parameters" in page.text
    assert {file.stem for file in (tmp_path / "figures").glob("*.svg")} >= {"progress", "size", "architecture"}


@pytest.mark.reported
def test_every_search_ends_with_its_report(tmp_path: Path) -> None:
    given: dict[str, Any] = {"space": "mlp:max_depth=2,max_width=32", "budget": "5K", "trials": 2, "epochs": 1}
    nas.search(**given, workers=0, baseline=False, final_epochs=0, out=tmp_path / "run")
    assert "validation accuracy" in (tmp_path / "run" / "report.html").read_text()
    nas.search(**given, workers=0, baseline=False, final_epochs=0, out=tmp_path / "without", report=False)
    assert not (tmp_path / "without" / "report.html").exists()


@pytest.mark.reported
@pytest.mark.parametrize("failure", [OSError("no space left"), KeyError("choices"), KeyboardInterrupt()])
def test_a_search_is_not_lost_to_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: BaseException
) -> None:
    def broken(path: Path) -> Path:
        raise failure

    monkeypatch.setattr("nas.reporting.writing.write_report", broken)
    result = nas.search("mlp:max_depth=2,max_width=32", "5K", trials=2, epochs=1, workers=0, baseline=False,
                        final_epochs=0, out=tmp_path / "run", verbose=True)  # fmt: skip  # options
    assert result.test_accuracy is not None
    said = capsys.readouterr().err
    assert "warning: no report was written" in said
    assert f"python -m nas.report {tmp_path / 'run'} writes it" in said
    assert result.interrupted == isinstance(failure, KeyboardInterrupt)


def test_a_test_part_that_was_used_for_several_choices_is_said_to_be(tmp_path: Path) -> None:
    given: dict[str, Any] = {"budget": "4K", "workers": 0, "baseline": False, "epochs": 1, "out": tmp_path / "run"}
    nas.search(**given, trials=2, final_epochs=0)
    assert "which was used once" in write_report(tmp_path / "run").read_text()
    nas.search(**given, trials=2, final_epochs=2, finalists=1, final_seeds=1)
    assert "which was used for 2 choices of this run" in write_report(tmp_path / "run").read_text()
