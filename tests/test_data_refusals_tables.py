"""Tables and folders of arrays, `csv` and `npy`: what a column becomes, and what is refused, by name and number."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import assert_shows, npy, read, refusal, refusals_of_damage, samples, saved, split_arrays

from nas import plugins
from nas.data.csv import Csv
from nas.data.npy import Npy
from nas.data.npz import Npz
from nas.dataset import Arrays, Dataset

RNG = np.random.default_rng(0)
SIZE = 60


def column(*values: Any) -> list[Any]:
    """A column of `SIZE` rows that repeats these values."""
    return [values[i % len(values)] for i in range(SIZE)]


NUMBERS = RNG.normal(size=SIZE).round(6).tolist()


def table(folder: Path, sep: str = ",", **columns: list[Any]) -> Path:
    lines = [sep.join(columns), *(sep.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (folder / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "data.csv"


def whole(dataset: Dataset) -> np.ndarray:
    return np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])


def test_numbers_stay_and_words_become_a_feature_each(tmp_path: Path) -> None:
    path = table(tmp_path, width=NUMBERS, colour=column("red", "blue", "red", "green"), y=column("no", "yes"))
    source = Csv(str(path), target="y")
    assert source.task() == ((4,), 2)
    dataset = source.load(0)
    assert dataset.classes == ("no", "yes")
    rows = {row[0]: row[1:].tolist() for row in whole(dataset)}
    for number, colour in zip(NUMBERS, column("red", "blue", "red", "green"), strict=True):
        assert rows[np.float32(number)] == [colour == known for known in ("blue", "green", "red")]


@pytest.mark.parametrize("blank", ["", "  ", '" "'])
def test_a_class_of_nothing_but_spaces_is_missing(tmp_path: Path, blank: str) -> None:
    path = table(tmp_path, x=NUMBERS, y=column("a", "b", blank))
    assert "column 'y' is empty in 20 of 60 rows, first in row 3; remove them" in refusal(Csv(str(path), target="y"))


def test_a_missing_number_is_the_median_of_the_training_part_alone(tmp_path: Path) -> None:
    width = [float(i) if i % 5 else "" for i in range(SIZE)]
    path = table(tmp_path, row=NUMBERS, width=width, y=column("a", "b", "c"))
    dataset = Csv(str(path), target="y").load(0)
    missing = {np.float32(NUMBERS[i]) for i in range(0, SIZE, 5)}
    known = [row[1] for row in dataset.train.x if row[0] not in missing]
    for row in whole(dataset):
        assert (row[1] == np.median(known)) is np.bool_(row[0] in missing)
    assert len({Csv(str(path), target="y").load(seed).test.x.max() for seed in range(5)}) > 1


def test_a_field_of_nothing_but_spaces_is_missing(tmp_path: Path) -> None:
    width = [float(i) if i % 5 else "   " for i in range(SIZE)]
    padded = table(tmp_path, row=NUMBERS, width=width, word=column(" a ", "  ", " b"), y=column("a", "b", "c"))
    x = whole(Csv(str(padded), target="y").load(0))
    assert x.shape == (SIZE, 4)
    assert (x[:, 2:].sum(1) == 0).sum() == SIZE // 3


def test_a_missing_word_and_a_column_of_numbers_missing_in_training_are_zeros(tmp_path: Path) -> None:
    path = table(tmp_path, row=NUMBERS, colour=column("red", "", "blue"), y=column("a", "b"))
    x = whole(Csv(str(path), target="y").load(0))
    assert sorted(np.unique(x[:, 1:].sum(axis=1), return_counts=True)[1].tolist()) == [20, 40]
    first = Csv(str(path), target="y").load(0).test.x[0, 0]
    rare = [5.0 if np.float32(number) == first else "" for number in NUMBERS]
    dataset = Csv(str(table(tmp_path, row=NUMBERS, rare=rare, y=column("a", "b"))), target="y").load(0)
    assert set(dataset.train.x[:, 1]) == {0.0}
    assert 5.0 in dataset.test.x[:, 1]


def test_truth_values_are_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, row=NUMBERS, wet=column("True", "False", "True"), y=column("True", "False"))
    dataset = read(Csv(str(path), target="y"))
    assert dataset.classes == ("False", "True")
    assert dataset.input_shape == (2,)
    assert set(whole(dataset)[:, 1]) == {0.0, 1.0}


@pytest.mark.parametrize(("sep", "name"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_columns_may_be_separated_by_another_character(tmp_path: Path, sep: str, name: str) -> None:
    path = table(tmp_path, sep, row=NUMBERS, y=column(1, 0))
    assert Csv(str(path), target="y", sep=name).task() == ((1,), 2)
    assert refusal(Csv(str(path), target="y")).endswith(f"; add ,sep={name} to --data")


def test_a_packed_table_with_a_mark_of_byte_order_is_read(tmp_path: Path) -> None:
    path = table(tmp_path, y=column("a", "b"), row=NUMBERS)
    packed = tmp_path / "data.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert Csv(str(packed), target="y").task() == ((1,), 2)


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    path = table(tmp_path, id=list(range(SIZE)), name=[f"n{i}" for i in range(SIZE)], row=NUMBERS, y=column("a", "b"))
    assert "column 'id' has 60 different whole numbers in 60 rows" in refusal(Csv(str(path), target="y"))
    assert "leave it out by drop=id" in refusal(Csv(str(path), target="y"))
    assert "column 'name' has 60 different words in 60 rows: an id" in refusal(Csv(str(path), target="y", drop="id"))
    assert Csv(str(path), target="y", drop="id|name").task() == ((1,), 2)


Y = column("a", "b")
REFUSED: dict[str, tuple[dict[str, list[Any]], str, tuple[str, ...]]] = {  # columns, target, what must be shown
    "no target": ({"row": NUMBERS, "kind": Y}, "", ("which column is the class?", "columns: row, kind")),
    "a word for a target": ({"row": NUMBERS, "kind": Y}, "kinds", ("no column 'kinds'; did you mean 'kind'?",)),
    "no other column": ({"y": Y}, "y", ("no column beside y",)),
    "classes missing": ({"row": NUMBERS, "y": column("a", "b", "")}, "y", ("20 of 60 rows", "first in row 3")),
    "one class": ({"row": NUMBERS, "y": column("a")}, "y", ("at least 2 classes", "['a']", "column 'y'")),
    "a measure for a class": ({"row": NUMBERS, "y": NUMBERS}, "y", ("whole numbers or words", "column 'y'")),
    "an empty column": ({"row": NUMBERS, "none": column(""), "y": Y}, "y", ("'none' has no value in any of 60 rows",)),
    "infinity": ({"row": column(1.5, "inf"), "y": Y}, "y", ("'row' is infinite in 30 of 60 rows",)),
    "beyond float32": ({"row": column(1.5, "1e300"), "y": Y}, "y", ("30 of 60 values",)),
    "a class in each row": ({"row": NUMBERS, "y": list(range(SIZE))}, "y", ("60 samples of 60 classes",)),
    "two of a name": ({"row": NUMBERS, " row": NUMBERS, "y": Y}, "y", ("two columns 'row'",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_will_not_do_is_refused(tmp_path: Path, name: str) -> None:
    columns, target, shown = REFUSED[name]
    path = table(tmp_path, **columns)
    message = refusal(Csv(str(path), target=target))
    assert [words for words in (str(path), *shown) if words not in message] == []


def test_more_categories_than_a_hundred_are_refused(tmp_path: Path) -> None:
    rows = [f"w{i % 101},{i % 2}" for i in range(404)]
    (tmp_path / "data.csv").write_text("\n".join(["word,y", *rows]))
    assert "'word' has 101 different words, such as 'w0', and at most 100" in refusal(
        Csv(str(tmp_path / "data.csv"), target="y")
    )
    (tmp_path / "data.csv").write_text("\n".join(["word,y", *rows]).replace("w100", "w99"))
    assert Csv(str(tmp_path / "data.csv"), target="y").task() == ((100,), 2)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "is empty"),
        (b"a,y\n", "2 columns and 0 rows"),
        (b"a,y\n1,2\n1,2,3\n", "line 3"),
        (b"a,y\n1,2,3\n1,2,3\n", "rows have more fields than the line of names; give every column a name"),
        (b'a,y\n1,"2\n', "cannot be read"),
        (b"a;y\n1;2\n1,5;2\n", "as in --data 'csv:FILE,target=COLUMN,sep=;'"),
        (b"a,b,y\n1,2,x\n1,a, b,x\n", "line 3 has 4 fields, and the lines before it have 3; a field with ',' in it"),
        (b"a,y\n\xff\xfe,2\n", "is not UTF-8"),
        (b"PK\x03\x04\x00\x00", "column 'y'"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, shown: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    message = refusal(Csv(str(path), target="y"))
    assert str(path) in message
    assert shown in message


def test_a_table_that_is_not_there_or_a_separator_that_is_none_is_refused() -> None:
    assert "there is no file 'nowhere.csv'; --data csv:FILE,target=COLUMN" in refusal(Csv("nowhere.csv", target="y"))
    with pytest.raises(ValueError, match=r"sep must be one character or the word tab, got '::'"):
        Csv("x", sep="::")


def test_a_damaged_packed_table_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(table(tmp_path, row=NUMBERS, y=Y).read_bytes()))
    messages = refusals_of_damage(path, lambda: Csv(str(path), target="y"))
    assert len(messages) > 10
    assert [message for message in messages if str(path) not in message] == []


def test_a_folder_of_arrays_and_the_archive_of_them_are_the_same_data(tmp_path: Path) -> None:
    for arrays in (dict(zip("Xy", samples(), strict=True)), split_arrays()):
        folder = tmp_path / str(len(arrays))
        folder.mkdir()
        np.savez(folder / "data.npz", **arrays)
        npz = plugins.find("nas.data", "npz", Npy.__mro__[1])(str(folder / "data.npz"))
        source = Npy(saved(folder, arrays))
        assert source.task() == npz.task()
        assert source.load(1).fingerprint == npz.load(1).fingerprint


def test_a_folder_without_the_arrays_is_refused(tmp_path: Path) -> None:
    assert "there is no folder 'nowhere'; --data npy:DIR" in refusal(Npy("nowhere"))
    assert f"{tmp_path} needs arrays X and y, or X_train, y_train" in refusal(Npy(str(tmp_path)))
    np.save(tmp_path / "X.npy", np.ones((3, 2)))
    assert "it has X" in refusal(Npy(str(tmp_path)))
    np.save(tmp_path / "y.npy", np.array([{}] * 3, dtype=object))
    message = refusal(Npy(str(tmp_path)))
    assert str(tmp_path / "y.npy") in message
    assert "allow_pickle" in message
    np.save(tmp_path / "y.npy", np.arange(4))
    assert "3 samples need labels of shape (3,), got (4,)" in refusal(Npy(str(tmp_path)))


def test_words_in_one_part_and_numbers_in_another_are_refused(tmp_path: Path) -> None:
    arrays = split_arrays()
    arrays["y_val"] = arrays["y_val"].astype(str)
    message = refusal(Npy(saved(tmp_path, arrays)))
    assert str(tmp_path) in message
    assert "all be words or all be numbers, got {'train': 'int64', 'val': '<U21', 'test': 'int64'}" in message


@pytest.mark.parametrize("name", ["X.npy", "y.npy"])
def test_any_damage_to_an_array_is_a_refusal_by_name_or_harmless(tmp_path: Path, name: str) -> None:
    npy(tmp_path)
    messages = refusals_of_damage(tmp_path / name, lambda: Npy(str(tmp_path)))
    assert len(messages) > 10
    assert [message for message in messages if str(tmp_path) not in message] == []


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (
            "?",
            [
                "has numbers in 39 of 40 rows",
                "and '?' in row 8; add missing=? if that is a missing value, or leave it out by drop=a",
            ],
        ),
        ("NA", ["has numbers in 39 of 40 rows", "and 'NA' in row 8; add missing=NA if that is a missing value"]),
    ],
)
def test_a_column_of_numbers_with_a_word_in_it_is_refused(tmp_path: Path, odd: str, words: list[str]) -> None:
    rows = [f"{odd if i == 7 else i % 9},{'pq'[i % 2]}" for i in range(40)]
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["a,t", *rows]))
    assert_shows(refusal(Csv(str(file), target="t")), *words, "column 'a'")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (lambda i: f"{i % 9},5", "with a decimal comma in 40 of 40 rows; write it as a point"),
        (lambda i: f"-0,{i % 9}25", "with a decimal comma in 40 of 40 rows; write it as a point"),
        (lambda i: f"{i % 9},{100 + i}".rstrip("0"), "with a decimal comma in 40 of 40 rows; write it as a point"),
        (lambda i: f"{i % 9},5 %", "with a decimal comma in 40 of 40 rows; write it as a point"),
        (lambda i: f"{i % 9}.5 %", "with a sign beside them in 40 of 40 rows; write them without"),
        (lambda i: f"-${i % 9}.5", "with a sign beside them in 40 of 40 rows; write them without"),
        (lambda i: f"1{i % 9},500", "; write it as a point, or leave it out where it parts thousands"),
        (lambda i: f"${i % 9},500.25", "with separators of thousands in 40 of 40 rows; write them without"),
        (lambda i: f"{i % 9}\u202f500", "with separators of thousands in 40 of 40 rows; write them without"),
        (lambda i: f"{i % 9}.500,5", "with points and a decimal comma in 40 of 40 rows; write them as 1234.5"),
    ],
)
def test_numbers_in_another_spelling_are_not_taken_for_words(
    tmp_path: Path, number: Callable[[int], str], words: str
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["a;t", *(f"{number(i)};{'pq'[i % 2]}" for i in range(40))]))
    assert_shows(refusal(Csv(str(file), target="t", sep=";")), words)


def test_classes_called_na_and_none_are_classes(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["a,t", *(f"{i * i % 37}.5,{('NA', 'EU', 'None')[i % 3]}" for i in range(60))]))
    assert Csv(str(file), target="t").load(0).classes == ("EU", "NA", "None")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["a,t,t", *(f"{i}.5,{'pq'[i % 2]},{i % 7}.5" for i in range(40))]))
    assert_shows(refusal(Csv(str(file), target="t")), "has two columns 't'")


def test_a_table_in_another_encoding_is_told_how_to_be_saved(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("größe,t\n1.5,a\n2.5,b\n".encode("latin-1"))
    assert_shows(refusal(Csv(str(file), target="t")), "is not UTF-8", "save it as UTF-8")


def test_columns_without_a_name_are_no_two_of_one_name(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\n".join([",a,,t", *(f"{i % 7}.5,{i % 5}.5,{i % 3}.5,{'pq'[i % 2]}" for i in range(40))]))
    assert Csv(str(file), target="t").task() == ((3,), 2)
    assert Csv(str(file), target="t", drop="Unnamed: 0").task() == ((2,), 2)


def test_labels_of_bytes_are_those_of_words(tmp_path: Path) -> None:
    arrays = split_arrays()
    words = {name: np.array(["no", "yes"])[y % 2] for name, y in arrays.items() if name.startswith("y")}
    coded = {name: y.astype("S3") if name == "y_train" else y for name, y in words.items()}
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    np.savez(one, **{**arrays, **words})
    np.savez(two, **{**arrays, **coded})
    assert Npz(str(one)).load(0).fingerprint == Npz(str(two)).load(0).fingerprint


def test_a_column_whose_numbers_float32_cannot_tell_apart_is_named_with_what_to_do(tmp_path: Path) -> None:
    seconds = 1_760_000_000 + np.random.default_rng(0).uniform(0, 600, 60).round(2)
    (tmp_path / "t.csv").write_text("a,t,y\n" + "".join(f"{n % 7},{t},{n % 2}\n" for n, t in enumerate(seconds)))
    said = (
        r"column 't' goes from 176000000\d.* to 1760000\d+.*, which float32 has in steps of 128; subtract 176000000\d"
    )
    with pytest.raises(ValueError, match=said):
        Csv(str(tmp_path / "t.csv"), target="y").load(0)
    with pytest.raises(ValueError, match="arrays: feature 0 goes from"):
        Arrays(seconds[:, None], np.arange(60) % 2).load(0)
    Arrays((seconds - seconds.min())[:, None], np.arange(60) % 2).load(0)
    Arrays(np.full((60, 1), 1.76e9), np.arange(60) % 2).load(0)  # nothing is lost of what is constant
