"""What is wrong with data is said in a sentence with its numbers, and refused where results would be worthless."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.checks import check, loss_at_initialisation
from nas.data.csv import Csv
from nas.data.digits import Digits
from nas.dataset import Arrays, Dataset, Part

CLASSES = ("ant", "bee", "cat")


def part(size: int, seed: int, shape: tuple[int, ...] = (4,)) -> Part:
    x = np.random.default_rng(seed).normal(size=(size, *shape)).astype(np.float32)
    return Part(x, np.arange(size) % 3)


def dataset(shape: tuple[int, ...] = (4,), **parts: Part) -> Dataset:
    whole = {"train": part(600, 0, shape), "validation": part(300, 1, shape), "test": part(300, 2, shape)}
    return Dataset("data", **{**whole, **parts}, classes=CLASSES)


def speech(prefix: str, seed: int, utterances: int = 50, length: int = 6) -> Part:
    """Utterances that begin and end with the same frames of silence."""
    made = part(utterances * length, seed)
    x = made.x.reshape(utterances, length, 4).copy()
    x[:, [0, -1]] = 0
    names = tuple(f"{prefix}{number:03d}" for number in range(utterances))
    return Part(x.reshape(-1, 4), made.y, np.repeat(np.arange(utterances), length), names)


def frames(**parts: Part) -> Dataset:
    whole = {
        "train": speech("train/a", 0, 100),
        "validation": speech("dev/b", 1, 100),
        "test": speech("test/c", 2, 100),
    }
    return Dataset("speech", **{**whole, **parts}, classes=CLASSES, contexts=(0, 5), normalise="utterance")


def labelled(made: Part, y: Any) -> Part:
    return replace(made, y=np.asarray(y, np.int64))


def only(found: list[str]) -> str:
    (warning,) = found
    assert "\n" not in warning
    return warning


@pytest.mark.parametrize("made", [dataset(), dataset((1, 3, 3)), frames(), Digits().load(0)])
def test_sound_data_gives_no_warning(made: Dataset) -> None:
    assert check(made) == []


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("train", "validation", "of 300 samples of the validation part are in the training part too"),
        ("train", "test", "of 300 samples of the test part are in the training part too"),
        ("validation", "test", "of 300 samples of the test part are in the validation part too"),
    ],
)
@pytest.mark.parametrize("shape", [(4,), (1, 3, 3)])
def test_samples_of_one_part_in_another_are_counted(one: str, other: str, words: str, shape: tuple[int, ...]) -> None:
    made = dataset(shape)
    x = getattr(made, other).x.copy()
    x[5:12] = getattr(made, one).x[100:107]
    leaking = replace(made, **{other: replace(getattr(made, other), x=x)})
    assert only(check(leaking)) == f"7 {words}; remove copies before the split"
    x[:160] = getattr(made, one).x[:160]
    with pytest.raises(ValueError, match=f"^data: 160 {words}; results on it would be worthless"):
        check(leaking)


def test_frames_of_silence_that_repeat_are_no_leak_but_utterances_are() -> None:
    made = frames()
    x = made.test.x.copy()
    x[:12] = made.train.x[60:72]
    leaking = replace(made, test=replace(made.test, x=x))
    assert only(check(leaking)).startswith("2 of 100 utterances of the test part are in the training part too")


def test_utterances_of_one_name_are_shown() -> None:
    found = check(frames(test=speech("test/b", 2, 100)))
    assert only(found) == (
        "100 of 100 utterances of the test part have the name of one in the validation part, "
        "such as dev/b000 and test/b000; are they the same?"
    )


def test_a_folder_that_had_to_be_split_is_said() -> None:
    found = check(frames(test=speech("dev/c", 2, 100)))
    assert only(found).startswith("dev had to be split, 100 utterances for the validation part, 100 utterances for the")


def test_a_part_of_one_class_is_refused() -> None:
    for name, called in {"train": "training", "validation": "validation", "test": "test"}.items():
        made = dataset()
        made = replace(made, **{name: labelled(getattr(made, name), np.full(len(getattr(made, name)), 1))})
        with pytest.raises(ValueError, match=f"data: the {called} part has samples of 1 class: bee; give it samples"):
            check(made)


def test_classes_that_training_never_shows_count_as_mistakes() -> None:
    made = dataset(train=labelled(part(600, 0), np.arange(600) % 2))
    words = "100 of 300 samples of the {} part are of classes the training part has not, so they count as mistakes: cat"
    assert check(made) == [words.format(name) for name in ("validation", "test")]
    worse = replace(made, test=labelled(made.test, [0, *[2] * 299]))
    with pytest.raises(ValueError, match=r"data: 299 of 300 samples of the test part are of classes .* has not: cat"):
        check(worse)


def test_classes_that_a_part_or_the_data_has_not_are_named() -> None:
    made = dataset(validation=labelled(part(300, 1), np.arange(300) % 2))
    assert only(check(made)) == "the validation part has no sample of 1 classes: cat"
    more = replace(dataset(), classes=(*CLASSES, *"defghi"))
    assert only(check(more)) == "6 of 9 classes have no sample at all: d, e, f, g, h and 1 more"


def test_classes_out_of_balance_are_named_with_what_the_largest_one_gets() -> None:
    uneven = [0] * 20 + [1] * 540 + [2] * 40
    made = dataset(train=labelled(part(600, 0), uneven), validation=labelled(part(300, 1), ([1] * 8 + [0, 2]) * 30))
    assert only(check(made)) == (
        "classes are out of balance: 540 training samples of 'bee', 20 of 'ant' (27 to 1); "
        "always answering 'bee' is right on 80.0 % of the validation part"
    )


def test_features_that_never_change_are_counted_of_flat_data_alone() -> None:
    for shape, warned in (((9,), True), ((1, 3, 3), False)):
        made = dataset(shape)
        x = made.train.x.copy().reshape(600, 9)
        x[:, [1, 2, 3, 5, 7, 8]] = 2.5
        found = check(replace(made, train=replace(made.train, x=x.reshape(600, *shape))))
        names = "feature 1, feature 2, feature 3, feature 5, feature 7 and 1 more"
        expected = f"6 of 9 features are constant in the training part: {names}"
        assert found == ([expected] if warned else [])


def test_a_value_that_makes_all_others_alike_is_named_by_its_column(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=1500)
    rows = [f"{'pqr'[i % 3]},{value},{i % 2}" for i, value in enumerate(numbers)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["word,size,y", *rows]))
    assert check(Csv(str(table), target="y").load(0)) == []
    table.write_text("\n".join(["word,size,y", *rows, *["p,1e30,1"] * 9]))
    (said,) = [warning for warning in check(Csv(str(table), target="y").load(0)) if "alike" in warning]
    assert said.startswith("column 'size' has 1e+30, and 90 % of its values lie within 1.")
    table.write_text("\n".join(["word,size,y", *rows, *["p,-999,1"] * 80]))  # which stands for nothing
    assert any("column 'size' has -999, and" in warning for warning in check(Csv(str(table), target="y").load(0)))
    for row, heavy in enumerate(np.random.default_rng(1).standard_t(2, size=(5, 600, 4))):  # tails are no mistake
        assert check(dataset(train=replace(part(600, row), x=heavy.astype(np.float32)))) == []


@pytest.mark.parametrize(("classes", "each", "said"), [(40, 10, True), (40, 60, False), (20, 10, False)])
def test_classes_that_are_rather_a_quantity_are_doubted(classes: int, each: int, said: bool) -> None:
    y = np.repeat(np.arange(classes), each)
    x = np.random.default_rng(0).normal(size=(len(y), 4)).astype(np.float32)
    made = Arrays(x, y).load(0)
    assert any("a quantity that is to be predicted?" in warning for warning in check(made)) is said
    words = Arrays(x, np.array([f"word {n}" for n in y])).load(0)
    assert not any("a quantity" in warning for warning in check(words))


@pytest.mark.parametrize(("size", "warned"), [(60, True), (240, True), (250, False)])
def test_a_small_validation_part_is_measured_by_its_interval(size: int, warned: bool) -> None:
    found = check(dataset(validation=part(size, 1)))
    assert bool(found) is warned
    if warned:
        half = 196 * math.sqrt(0.16 / size)
        assert f"{size} samples: an accuracy of 80 % on it is known to +-{half:.1f} points" in only(found)


def test_a_hundred_thousand_samples_are_checked_in_seconds() -> None:
    made = dataset((28,), train=part(100_000, 0, (28,)), validation=part(20_000, 1, (28,)))
    start = time.process_time()
    assert check(made) == []
    assert time.process_time() - start < 3


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_first_loss_is_near_that_of_guessing(classes: int) -> None:
    guessing = math.log(classes)
    assert loss_at_initialisation(guessing, classes) is None
    assert loss_at_initialisation(guessing + 0.9, classes) is None
    for loss in (3 * guessing + 1.1, math.nan, math.inf):
        warning = loss_at_initialisation(loss, classes)
        assert warning is not None
        assert f"{loss:.3g}" in warning
        assert f"guessing among {classes} classes costs {guessing:.3g}" in warning
    assert (loss_at_initialisation(0.01, classes) is None) is (classes == 2)


def test_images_with_their_channels_last_are_noticed() -> None:
    assert not any("look like" in word for word in check(dataset((3, 8, 8))))
    assert any("(8, 8, 3) look like (height, width, channels)" in word for word in check(dataset((8, 8, 3))))


def test_rows_that_must_be_alike_are_no_reason_to_refuse_a_table() -> None:
    rng = np.random.default_rng(0)
    parts = [Part(rng.integers(0, 2, (n, 3)).astype(np.float32), np.arange(n) % 2) for n in (300, 100, 100)]
    found = check(Dataset("table", *parts, ("a", "b")))
    assert any(word.endswith("100 of 100 samples of the test part are in the training part too") for word in found)
