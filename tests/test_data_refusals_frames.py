"""Damaged speech is refused in one sentence that names the file and the two numbers that do not fit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import WORDS, hw1p2, refusal, refusals_of_damage

from nas.data.hw1p2 import Hw1p2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(hw1p2(train=6, dev=4, test=3)(tmp_path))


FRAMES, LABELS = "dev/mfcc/1-002.npy", "dev/transcript/1-002.npy"


def longer(root: Path) -> None:
    np.save(root / FRAMES, np.ones((500, 5), np.float32))


def unlabelled(root: Path) -> None:
    np.save(root / LABELS, np.array(["[SOS]", *WORDS, "[EOS]"]))


def wider(root: Path) -> None:
    np.save(root / FRAMES, np.ones((len(np.load(root / LABELS)), 7), np.float32))


def flat(root: Path) -> None:
    np.save(root / FRAMES, np.ones(40, np.float32))


def nan(root: Path) -> None:
    x = np.load(root / FRAMES)
    x[1, 2] = np.nan
    x[0, 0] = -np.inf
    np.save(root / FRAMES, x)


def beyond_float32(root: Path) -> None:
    np.save(root / FRAMES, np.load(root / FRAMES).astype(float) * 1e300)


def words_as_frames(root: Path) -> None:
    np.save(root / FRAMES, np.full((len(np.load(root / LABELS)), 5), "x"))


def numbers_as_labels(root: Path) -> None:
    np.save(root / LABELS, np.arange(10))


def labels_of_two_axes(root: Path) -> None:
    np.save(root / LABELS, np.array([WORDS, WORDS]))


def bytes_as_labels(root: Path) -> None:
    np.save(root / LABELS, np.array([b"\xff\xfe"] * 10))


def pickled_frames(root: Path) -> None:
    np.save(root / FRAMES, np.array([{}, 1], dtype=object), allow_pickle=True)


def pickled_labels(root: Path) -> None:
    np.save(root / LABELS, np.array(["a", {}], dtype=object), allow_pickle=True)


def no_frames(root: Path) -> None:
    (root / FRAMES).unlink()


def no_labels(root: Path) -> None:
    (root / LABELS).unlink()


def empty_file(root: Path) -> None:
    (root / FRAMES).write_bytes(b"")


def cut_short(root: Path) -> None:
    (root / FRAMES).write_bytes((root / FRAMES).read_bytes()[:-9])


def first_cut_in_its_header(root: Path) -> None:
    file = root / "train/mfcc/0-000.npy"
    file.write_bytes(file.read_bytes()[:40])


def no_frame_at_all(root: Path) -> None:
    np.save(root / FRAMES, np.ones((0, 5), np.float32))
    np.save(root / LABELS, np.array(["[SOS]", "[EOS]"]))


def a_promise_too_large(root: Path) -> None:
    file = root / FRAMES
    header = re.sub(rb"'shape': \(\d+, 5\), }", b"'shape': (10**9, 5), }", file.read_bytes())
    file.write_bytes(header.replace(b"10**9", b"9" * 15))


REFUSED: dict[Callable[[Path], None], tuple[str, ...]] = {
    longer: (FRAMES, "500 frames", "labels"),
    unlabelled: (FRAMES, "4 labels"),
    wider: (FRAMES, "7 features", "has 5"),
    flat: (FRAMES, "(T, features)", "(40,)"),
    nan: (FRAMES, "2 of ", "NaN or infinite"),
    beyond_float32: (FRAMES, "NaN or infinite"),
    words_as_frames: (FRAMES, "must hold numbers", "<U1"),
    numbers_as_labels: (LABELS, "must hold words", "int64"),
    labels_of_two_axes: (LABELS, "(T,)", "(2, 4)"),
    bytes_as_labels: (LABELS, "must hold words"),
    pickled_frames: (FRAMES, "allow_pickle"),
    pickled_labels: (LABELS, "allow_pickle"),
    no_frames: ("dev has 3 files in mfcc and 4 in transcript", "1-002.npy is in transcript alone"),
    no_labels: ("dev has 4 files in mfcc and 3 in transcript", "1-002.npy is in mfcc alone"),
    empty_file: (FRAMES, "damaged"),
    cut_short: (FRAMES, "damaged"),
    first_cut_in_its_header: ("train/mfcc/0-000.npy", "damaged"),
    no_frame_at_all: (FRAMES, "(T, features)", "(0, 5)"),
    a_promise_too_large: (FRAMES, "damaged"),
}


@pytest.mark.parametrize("harm", REFUSED, ids=lambda harm: harm.__name__)
def test_a_damaged_utterance_is_refused_by_name(root: Path, harm: Callable[[Path], None]) -> None:
    harm(root)
    message = refusal(Hw1p2(str(root)))
    assert [words for words in REFUSED[harm] if words not in message] == []


def test_a_folder_that_is_not_there_or_not_of_this_layout_is_refused(root: Path) -> None:
    assert "there is no folder 'nowhere'; --data hw1p2:DIR" in refusal(Hw1p2("nowhere"))
    assert "there is no folder ''" in refusal(Hw1p2(""))
    message = refusal(Hw1p2(str(root), train="train-clean-100"))
    assert "no folder train-clean-100/mfcc" in message
    assert "dev, test, train" in message
    shutil.rmtree(root / "train")
    assert "no folder train*/mfcc with utterances; folders with mfcc: dev, test" in refusal(Hw1p2(str(root)))


def test_training_without_transcripts_is_refused(root: Path) -> None:
    shutil.rmtree(root / "train" / "transcript")
    assert "train has a folder mfcc and no folder transcript" in refusal(Hw1p2(str(root)))


def test_one_label_everywhere_is_refused(root: Path) -> None:
    for file in root.glob("*/transcript/*.npy"):
        np.save(file, np.full(np.load(file).shape, "SIL"))
    assert "at least 2 classes, got ['SIL']" in refusal(Hw1p2(str(root)))


def test_too_few_utterances_to_split_are_refused(tmp_path: Path) -> None:
    assert "1 utterances cannot be split into 2 parts" in refusal(Hw1p2(hw1p2(train=6, dev=1)(tmp_path)))


@pytest.mark.parametrize("name", [FRAMES, LABELS])
def test_any_damage_anywhere_is_a_refusal_by_name_or_harmless(root: Path, name: str) -> None:
    messages = refusals_of_damage(root / name, lambda: Hw1p2(str(root)))
    assert len(messages) > 10
    assert [message for message in messages if "1-002.npy" not in message] == []
