"""What is no classification problem is refused in one sentence that names the file and the value."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas import plugins
from nas.dataset import Arrays, Dataset, Source

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = np.arange(60) % 3
WORDS = np.array(["ant", "bee", "cat"])[Y]
SPLIT = {"X_train": X[:30], "y_train": Y[:30], "X_val": X[30:45], "y_val": Y[30:45], "X_test": X[45:], "y_test": Y[45:]}


def with_(array: Any, position: int, value: Any) -> np.ndarray:
    changed = np.array(array)
    changed.flat[position] = value
    return changed


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Source]:
    """An npz file of the given arrays, as a source."""

    def write(**arrays: Any) -> Source:
        np.savez(tmp_path / "data.npz", **arrays)
        return opened(tmp_path / "data.npz")

    return write


def opened(path: Path | str) -> Source:
    made: Source = plugins.find("nas.data", "npz", Source)(str(path))
    return made


def read(source: Source) -> Dataset:
    """As a search does it."""
    source.task()
    return source.load(0)


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {  # arrays, what the message must show
    "labels missing": ({"X": X}, ["it has X", "needs arrays X and y"]),
    "half a split": ({name: SPLIT[name] for name in list(SPLIT)[:4]}, ["X_test", "it has X_train, X_val, y_train"]),
    "nothing": ({"weights": X}, ["it has weights"]),
    "too few labels": ({"X": X, "y": Y[:-1]}, ["(60,)", "(59,)"]),
    "labels one-hot": ({"X": X, "y": np.eye(3)[Y]}, ["(60,)", "(60, 3)"]),
    "a label for all": ({"X": X, "y": np.int64(1)}, ["()"]),
    "samples of no feature": ({"X": X[:, 0], "y": Y}, ["(n, features...)", "(60,)"]),
    "samples of zero features": ({"X": X[:, :0], "y": Y}, ["(n, features...)", "(60, 0)"]),
    "one number": ({"X": np.float32(1), "y": Y}, ["()"]),
    "words as samples": ({"X": WORDS[:, None], "y": Y}, ["must be numbers", "<U3"]),
    "complex samples": ({"X": X + 1j, "y": Y}, ["must be numbers", "complex"]),
    "NaN": ({"X": with_(with_(X, 7, np.nan), 90, np.inf), "y": Y}, ["2 of 240 values are NaN or infinite"]),
    "beyond float32": ({"X": with_(X.astype(float), 7, 1e300), "y": Y}, ["1 of 240"]),
    "one class": ({"X": X, "y": Y * 0}, ["at least 2 classes", "[0]"]),
    "no sample": ({"X": X[:0], "y": Y[:0]}, ["at least 2 classes", "[]"]),
    "fractions as labels": ({"X": X, "y": with_(Y.astype(float), 9, 1.5)}, ["whole numbers or words", "1.5"]),
    "NaN as a label": ({"X": X, "y": with_(Y.astype(float), 9, np.nan)}, ["whole numbers or words", "nan"]),
    "a sample of each class": ({"X": X[:6], "y": np.arange(6) // 2}, ["6 samples of 3 classes", "at least 3"]),
    "two shapes in a split": ({**SPLIT, "X_val": SPLIT["X_val"][:, :3]}, ["different shapes", "'val': (3,)"]),
    "NaN in the test part": ({**SPLIT, "X_test": with_(SPLIT["X_test"], 3, np.nan)}, ["(test)", "1 of 60"]),
    "wrong length in a split": ({**SPLIT, "y_val": Y[:4]}, ["(val)", "(15,)", "(4,)"]),
    "pickled samples": ({"X": np.array([[{}, 1]] * 60, dtype=object), "y": Y}, ["'X'", "allow_pickle"]),
    "pickled labels": ({"X": X, "y": np.array([{}] * 60, dtype=object)}, ["'y'", "allow_pickle"]),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("error")
def test_an_archive_that_will_not_do_is_refused(archive: Callable[..., Source], tmp_path: Path, name: str) -> None:
    arrays, shown = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "data.npz"))) as refusal:
        read(archive(**arrays))
    message = str(refusal.value)
    assert [words for words in shown if words not in message] == []
    assert "\n" not in message


def test_words_are_labels(archive: Callable[..., Source]) -> None:
    source = archive(X=X, y=WORDS)
    assert source.task() == ((4,), 3)
    dataset = source.load(0)
    assert dataset.classes == ("ant", "bee", "cat")
    assert dataset.fingerprint != archive(X=X, y=Y).load(0).fingerprint
    numbered = archive(X=X, y=Y).load(0)
    assert (dataset.train.y == numbered.train.y).all()


def test_a_split_of_its_own_is_left_as_it_is(archive: Callable[..., Source]) -> None:
    source = archive(**SPLIT)
    assert source.task() == ((4,), 3)
    one, other = source.load(0), source.load(1)
    assert one.fingerprint == other.fingerprint
    for part, name in ((one.train, "train"), (one.validation, "val"), (one.test, "test")):
        assert (part.x == SPLIT[f"X_{name}"]).all()
        assert (part.y == SPLIT[f"y_{name}"]).all()


def test_a_class_that_only_one_part_has_is_a_class_of_all(archive: Callable[..., Source]) -> None:
    dataset = read(archive(**{**SPLIT, "y_test": with_(SPLIT["y_test"], 0, 9)}))
    assert dataset.classes == ("0", "1", "2", "9")
    assert set(dataset.test.y.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float64, bool])
def test_numbers_of_any_kind_become_float32(archive: Callable[..., Source], kind: type) -> None:
    dataset = read(archive(X=(X > 0).astype(kind), y=Y.astype(np.int8)))
    assert dataset.train.x.dtype == np.float32
    assert set(np.unique(dataset.train.x)) == {0.0, 1.0}


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ValueError, match=r"there is no file 'nowhere\.npz'; --data npz:FILE"):
        read(opened("nowhere.npz"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["X", "y", "X header"])
def test_an_archive_damaged_anywhere_is_refused_with_its_name(tmp_path: Path, save: Any, name: str) -> None:
    path = tmp_path / "data.npz"
    save(path, X=RNG.normal(size=(6000, 4)), y=RNG.integers(0, 3, 6000))
    whole = path.read_bytes()
    place = whole.index(f"{name[0]}.npy".encode()) + (40 if name == "X header" else 300)
    path.write_bytes(whole[:place] + bytes(255 - byte for byte in whole[place : place + 60]) + whole[place + 60 :])
    with pytest.raises(ValueError, match=r"data\.npz"):
        read(opened(path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_an_archive_cut_short_is_refused_with_its_name(
    archive: Callable[..., Source], tmp_path: Path, share: float
) -> None:
    archive(X=X, y=Y)
    path = tmp_path / "data.npz"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"data\.npz is damaged or not a NumPy archive"):
        read(opened(path))


def test_a_zip_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as file:
        file.writestr("X.npy", "not an array")
        file.writestr("y.npy", "nor this")
    with pytest.raises(ValueError, match=r"data\.npz"):
        read(opened(tmp_path / "data.npz"))


@pytest.mark.parametrize(
    ("x", "y", "shown"),
    [
        (X[:4], Y[:4], "4 samples of 3 classes leave no validation or test part; at least 3 samples of some class"),
        (X, Y[:3], "60 samples need labels of shape (60,), got (3,)"),
        ([[1.0], [2.0, 3.0]], [0, 1], "samples"),
        ([["a"], ["b"]], [0, 1], "samples must be numbers"),
        (X, [None, "a"] * 30, "labels"),
    ],
    ids=["tiny", "short", "ragged", "words", "None among the labels"],
)
def test_arrays_that_will_not_do_are_refused_in_one_sentence(x: Any, y: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=re.escape(shown)) as refusal:
        read(Arrays(x, y))
    assert "\n" not in str(refusal.value)


def test_a_number_that_float32_cannot_hold_is_shown_with_its_place() -> None:
    x = np.arange(120.0).reshape(60, 2)
    x[7, 1] = 1e300
    with pytest.raises(ValueError, match=r"1 of 120 values are NaN or infinite as float32, 1e\+300 in sample 7"):
        Arrays(x, np.arange(60) % 2).load(0)
