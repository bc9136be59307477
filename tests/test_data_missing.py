"""What stands for a missing value in a table, and for a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import refusal

from nas.data.csv import Csv


def table(folder: Path, odd: str, share: int, number: str = "{}.5") -> str:
    """A column of numbers, every `share`-th one written as `odd`, and one of words, likewise."""
    rows = (odd if i % share == 0 else number.format(i % 9) for i in range(60))
    lines = [f"{row},{odd if i % 7 == 3 else 'pqr'[i % 3]},{i * i % 2}" for i, row in enumerate(rows)]
    (folder / "t.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    return str(folder / "t.csv")


@pytest.mark.parametrize("odd", ["?", "NA", "-", "n/a", "-1", "none"])
def test_a_word_for_nothing_is_read_like_an_empty_field(tmp_path: Path, odd: str) -> None:
    empty = Csv(table(tmp_path, "", 4), target="y").load(0)
    named = Csv(table(tmp_path, odd, 4), target="y", missing=f"x|{odd}").load(0)
    assert named.fingerprint == empty.fingerprint


@pytest.mark.parametrize(("written", "said"), [("-1.0", "-1"), ("-1", "-1.0"), ("999", "999")])
def test_a_number_for_nothing_may_be_spelt_otherwise(tmp_path: Path, written: str, said: str) -> None:
    empty = Csv(table(tmp_path, "", 4), target="y").load(0)
    assert np.array_equal(Csv(table(tmp_path, written, 4), target="y", missing=said).load(0).train.x, empty.train.x)


@pytest.mark.parametrize("share", [2, 4, 20])
def test_numbers_beside_a_word_for_nothing_are_no_categories_however_many(tmp_path: Path, share: int) -> None:
    said = refusal(Csv(table(tmp_path, "NA", share), target="y"))
    assert f"has numbers in {60 - 60 // share} of 60 rows, and 'NA' in row 1; add missing=NA if that is" in said


def test_a_column_cannot_be_the_class_and_left_out() -> None:
    with pytest.raises(ValueError, match=r"drop=a\|y leaves out y, and target=y makes it the class"):
        Csv("t.csv", target="y", drop="a|y")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["007", "7", "12"], ("007", "12", "7")),
        (["01", "02", "10"], ("01", "02", "10")),
        (["2", "10", "0"], ("0", "2", "10")),
        (["-1", "1", "0"], ("-1", "0", "1")),
        (["2.0", "1.0", "0.0"], ("0.0", "1.0", "2.0")),
        (["True", "false", "TRUE"], ("False", "True")),
        (["nan", "1", "2"], ("1", "2", "nan")),
        ([" a", "b ", "1"], ("1", "a", "b")),
    ],
)
def test_labels_are_numbers_only_where_they_are_written_as_such(
    tmp_path: Path, labels: list[str], classes: tuple[str, ...]
) -> None:
    rows = "".join(f"{i % 7}.5,{labels[i % 3]}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"a, y \n{rows}")
    dataset = Csv(str(tmp_path / "t.csv"), target="y").load(0)
    assert dataset.classes == classes


def test_what_stands_for_nothing_in_features_may_be_a_class(tmp_path: Path) -> None:
    rows = "".join(f"{i % 3 and i % 7}.5,{0 if i % 5 == 0 else i},{i % 2}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
    dataset = Csv(str(tmp_path / "t.csv"), target="y", missing="0").load(0)
    assert dataset.classes == ("0", "1")
    assert 0.0 not in np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])[:, 1]


def test_versions_are_words(tmp_path: Path) -> None:
    rows = "".join(f"{('1.2.3', '1.10.0', '2.0.1')[i % 3]},{i % 7}.5,{i % 2}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"v,a,y\n{rows}")
    assert Csv(str(tmp_path / "t.csv"), target="y").task() == ((4,), 2)


@pytest.mark.parametrize("date", ["2024-03-{:02d}", "{:02d}/03/2024", "2024-03-{:02d}T10:00:00", "{}.3.24"])
def test_dates_are_no_categories(tmp_path: Path, date: str) -> None:
    rows = "".join(f"{date.format(1 + i % 28)},{i % 7}.5,{i % 2}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"when,a,y\n{rows}")
    assert "column 'when' has dates in 60 of 60 rows" in refusal(Csv(str(tmp_path / "t.csv"), target="y"))
    assert Csv(str(tmp_path / "t.csv"), target="y", drop="when").task() == ((1,), 2)
