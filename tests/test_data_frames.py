"""Speech in folders, `hw1p2`: whole utterances, every frame with its label; which folder is which part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import hw1p2, write_speech
from toy import SHARED

from nas.checks import check
from nas.data.hw1p2 import Hw1p2
from nas.dataset import Dataset, Part
from nas.normalise import normalised


def speech(folder: Path, options: dict[str, Any] | None = None, **folders: int) -> Hw1p2:
    return Hw1p2(hw1p2(**folders)(folder), **(options or {}))


def folders(part: Part) -> set[str]:
    return {name.partition("/")[0] for name in part.names}


def assert_as_written(part: Part, dataset: Dataset, root: Path) -> None:
    names = np.array(dataset.classes)
    assert part.groups is not None
    for number, name in enumerate(part.names):
        split, _, utterance = name.partition("/")
        rows = part.groups == number
        words = np.load(root / split / "transcript" / f"{utterance}.npy")
        words = words[(words != "[SOS]") & (words != "[EOS]")]
        assert (part.x[rows] == np.load(root / split / "mfcc" / f"{utterance}.npy")).all()
        assert (names[part.y[rows]] == words).all()


def test_every_frame_has_its_label_with_and_without_marks_at_the_ends(tmp_path: Path) -> None:
    dataset = speech(tmp_path, train_a=6, train_b=5, dev=4, test=3).load(0)
    assert dataset.classes == ("ant", "bee", "cat", "dog")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert_as_written(part, dataset, tmp_path)


def test_all_training_folders_are_joined_and_one_can_be_chosen(tmp_path: Path) -> None:
    whole = speech(tmp_path, train_clean_100=6, train_clean_360=5, train_other=2, val=4, test=3)
    assert folders(whole.load(0).train) == {"train-clean-100", "train-clean-360", "train-other"}
    for pattern, wanted in {
        "train-clean-100": {"train-clean-100"},
        "train-clean*": {"train-clean-100", "train-clean-360"},
    }.items():
        dataset = Hw1p2(str(tmp_path), train=pattern).load(0)
        assert folders(dataset.train) == wanted
        assert folders(dataset.validation) == {"val"}


def test_a_test_folder_without_transcripts_is_replaced_by_half_of_dev(tmp_path: Path) -> None:
    dataset = speech(tmp_path, train=6, dev_clean=9, test_clean=-3).load(0)
    assert folders(dataset.validation) == folders(dataset.test) == {"dev-clean"}
    assert len(dataset.validation.names) + len(dataset.test.names) == 9
    assert not {*dataset.validation.names} & {*dataset.test.names}
    assert any("dev-clean had to be split, 4 utterances for the validation part, 5" in w for w in check(dataset))


def test_no_utterance_is_in_two_parts_where_one_folder_makes_them_all(tmp_path: Path) -> None:
    dataset = speech(tmp_path, train=20).load(0)
    named = [part.names for part in (dataset.train, dataset.validation, dataset.test)]
    assert [len(names) for names in named] == [12, 4, 4]
    assert len({name for names in named for name in names}) == 20


def test_contexts_are_those_up_to_the_largest_or_one_alone() -> None:
    assert Hw1p2("x").contexts == (0, 5, 10, 15, 20, 25, 30)
    assert Hw1p2("x", max_context=50).contexts == (0, 5, 10, 15, 20, 25, 30, 40, 50)
    assert Hw1p2("x", max_context=12).contexts == (0, 5, 10)
    assert Hw1p2("x", context=17, max_context=5).contexts == (17,)
    assert Hw1p2("x", context=0).contexts == (0,)


@pytest.mark.parametrize("options", [{"max_context": -1}, {"max_context": 51}, {"context": -2}])
def test_a_context_that_cannot_be_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"context must be .*, got (-1|51|-2)"):
        Hw1p2("x", **options)


def test_what_it_is_about_is_known_without_reading_the_frames(tmp_path: Path) -> None:
    source = speech(tmp_path, train=6, dev=4, test=3)
    files = sorted(tmp_path.glob("*/mfcc/*.npy"))
    for file in files:
        file.write_bytes(file.read_bytes()[:130])  # the header alone
    assert source.task() == ((5,), 4)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int16])
def test_frames_of_any_type_of_number_become_float32(tmp_path: Path, kind: type) -> None:
    source = speech(tmp_path, train=6, dev=4, test=3)
    for file in tmp_path.glob("*/mfcc/*.npy"):
        np.save(file, np.load(file).round().astype(kind))
    assert source.load(0).train.x.dtype == np.float32


def test_hidden_files_are_no_utterances(tmp_path: Path) -> None:
    source = speech(tmp_path, train=6, dev=4, test=3)
    (tmp_path / "train" / "mfcc" / "._0-000.npy").write_bytes(b"resource fork")
    assert len(source.load(0).train.names) == 6


def test_an_utterance_is_normalised_by_itself(tmp_path: Path) -> None:
    dataset = speech(tmp_path, train=6, dev=4, test=3).load(0)
    assert dataset.normalise == "utterance-mean"
    part = dataset.validation
    assert part.groups is not None
    x = normalised(part, dataset)
    for group in range(len(part.names)):
        rows = part.groups == group
        np.testing.assert_allclose(x[rows].mean(axis=0), 0, atol=1e-5)


def test_thousands_of_utterances_are_no_more_than_their_number_times_one(tmp_path: Path) -> None:
    write_speech(tmp_path / "train", 0, 4)
    for number in range(4, 1500):
        for kind in ("mfcc", "transcript"):
            (tmp_path / "train" / kind / f"0-{number:04d}.npy").hardlink_to(tmp_path / "train" / kind / "0-000.npy")
    dataset = Hw1p2(str(tmp_path)).load(0)
    assert len(dataset.train.names) == 900


@pytest.mark.skipif(not (SHARED / "fsdd-frames").is_dir(), reason="real speech is not on this machine (../shared/data)")
def test_real_speech_is_read_as_it_is() -> None:
    root = SHARED / "fsdd-frames"
    source = Hw1p2(str(root))
    assert source.task() == ((28,), 11)
    dataset = source.load(0)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [100305, 12606, 12326]
    assert [len(part.names) for part in (dataset.train, dataset.validation, dataset.test)] == [2400, 300, 300]
    assert_as_written(dataset.validation, dataset, root)
    assert check(dataset) == []
