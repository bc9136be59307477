"""Damaged images are refused in one sentence that names the file and the two numbers that do not fit."""

from __future__ import annotations

import gzip
import pickle
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import (
    assert_shows,
    cifar10,
    cifar10_binary,
    idx,
    idx_packed,
    imagefolder,
    pixels,
    refusal,
    refusals_of_damage,
    write_idx,
    write_images,
)
from PIL import Image

from nas.data.cifar10 import Cifar10
from nas.data.idx import Idx
from nas.data.imagefolder import ImageFolder

X, Y = pixels(0, (3,) * 10, (3072,))


IDX = {
    "another mark": (struct.pack(">HBB3I", 0, 13, 3, 1, 2, 3), ("must begin with 00000803", "got 00000d03")),
    "labels in their place": (struct.pack(">HBB1I", 0, 8, 1, 3), ("must begin with 00000803", "got 00000801")),
    "a header cut short": (struct.pack(">HBB2I", 0, 8, 3, 1, 2), ("12 bytes", "alone is 16")),
    "numbers cut short": (struct.pack(">HBB3I", 0, 8, 3, 100, 6, 5) + bytes(2999), ("2,999", "3,000", "(100, 6, 5)")),
    "more than promised": (struct.pack(">HBB3I", 0, 8, 3, 100, 6, 5) + bytes(3001), ("3,001", "3,000")),
    "more than there is": (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), ("0 numbers", "79,228,162,458,924,")),
    "no image": (struct.pack(">HBB3I", 0, 8, 3, 0, 6, 5), ("is empty", "(0, 6, 5)")),
    "nothing": (b"", ("must begin with", "got")),
}


@pytest.mark.parametrize("name", IDX)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_damaged_file_of_mnist_is_refused_by_name(tmp_path: Path, name: str, end: str) -> None:
    content, shown = IDX[name]
    idx(tmp_path, end=end)
    file = tmp_path / f"train-images-idx3-ubyte{end}"
    file.write_bytes(gzip.compress(content) if end else content)
    assert_shows(refusal(Idx(str(tmp_path))), str(file), *shown)


def test_files_of_mnist_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    idx(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(99) % 4)
    assert_shows(refusal(Idx(str(tmp_path))), "train-images-idx3-ubyte has 100 images", "99 labels")
    idx(tmp_path)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((100, 4, 4)))
    assert_shows(refusal(Idx(str(tmp_path))), "t10k-images-idx3-ubyte has images of (4, 4)", "are (6, 5)")
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.full(100, 7))
    idx_images = tmp_path / "t10k-images-idx3-ubyte"
    write_idx(idx_images, np.zeros((100, 6, 5)))
    assert_shows(refusal(Idx(str(tmp_path))), "at least 2 classes, got [7]")


def test_a_missing_file_of_mnist_is_named(tmp_path: Path) -> None:
    assert_shows(refusal(Idx(str(tmp_path))), str(tmp_path), "no file train-labels-idx1-ubyte")
    assert_shows(refusal(Idx("nowhere")), "there is no folder 'nowhere'; --data idx:DIR")
    idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    assert_shows(refusal(Idx(str(tmp_path))), "t10k-images-idx3-ubyte.gz")


def test_a_share_that_holds_out_nothing_is_refused(tmp_path: Path) -> None:
    assert_shows(refusal(Idx(idx(tmp_path), validation=0.001)), "0.001 of 100 samples", str(tmp_path))


@pytest.mark.parametrize("packed", [False, True])
def test_any_damage_to_a_file_of_mnist_is_a_refusal_by_name_or_harmless(tmp_path: Path, packed: bool) -> None:
    file = tmp_path / ("raw/train-images.idx3-ubyte.gz" if packed else "train-images-idx3-ubyte")
    (idx_packed if packed else idx)(tmp_path)
    messages = refusals_of_damage(file, lambda: Idx(str(tmp_path)))
    assert len(messages) > 10
    assert [message for message in messages if file.name not in message] == []


class Evil:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("executed"),)


def evil(module: str, name: str, argument: str) -> bytes:
    """A pickle that calls `module.name(argument)` when it is read by a reader that lets it."""
    return f"c{module}\n{name}\n(S'{argument}'\ntR.".encode()


CIFAR = {
    "a call of its own": (pickle.dumps({"data": Evil()}), ("asks for pathlib", "which no batch needs")),
    "a command": (evil("os", "system", "touch executed"), ("asks for os.system",)),
    "an import": (evil("builtins", "__import__", "this"), ("asks for builtins.__import__",)),
    "another encoding": (evil("_codecs", "encode", "x").replace(b"'x'", b"'x'\nS'zlib'"), ("'zlib'",)),
    "objects": (pickle.dumps({"data": np.array([[1]], object), "labels": [1]}, 2), ("(n, 3072)", "object", "(1, 1)")),
    "no dictionary": (pickle.dumps([1, 2]), ("data and labels",)),
    "no labels": (pickle.dumps({"data": X}), ("data and labels",)),
    "other images": (pickle.dumps({"data": X[:, :784], "labels": Y.tolist()}), ("(n, 3072)", "(30, 784)")),
    "other numbers": (pickle.dumps({"data": X.astype(float), "labels": Y.tolist()}), ("float64",)),
    "a label too few": (pickle.dumps({"data": X, "labels": Y.tolist()[:-1]}), ("30 images", "(29,)")),
    "ragged labels": (pickle.dumps({"data": X, "labels": [[1], [1, 2]]}), ("30 images", "labels")),
    "words as labels": (pickle.dumps({"data": X, "labels": ["cat"] * 30}), ("30 images", "<U3")),
    "a label too high": (pickle.dumps({"data": X, "labels": (Y + 1).tolist()}), ("0..9", "got 10")),
    "nothing": (b"", ("damaged",)),
    "cut short": (pickle.dumps({"data": X, "labels": Y.tolist()})[:-200], ("damaged",)),
    "text": (b"<html>not found</html>", ("damaged",)),
}


@pytest.mark.parametrize("name", CIFAR)
def test_a_pickle_that_is_no_batch_is_refused_and_runs_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, shown = CIFAR[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    file = Path(cifar10(tmp_path / "data")) / "data_batch_3"
    file.write_bytes(content)
    assert_shows(refusal(Cifar10(str(tmp_path / "data"))), str(file), *shown)
    assert not (tmp_path / "executed").exists()


def test_a_binary_batch_of_another_length_or_label_is_refused(tmp_path: Path) -> None:
    file = Path(cifar10_binary(tmp_path)) / "cifar-10-batches-bin" / "test_batch.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert_shows(refusal(Cifar10(str(tmp_path))), str(file), "92,189 bytes", "multiple of 3,073")
    file.write_bytes(b"\x0b" + whole[1:])
    assert_shows(refusal(Cifar10(str(tmp_path))), str(file), "0..9", "got 11")
    file.write_bytes(b"")
    assert_shows(refusal(Cifar10(str(tmp_path))), str(file), "0 bytes")


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    assert_shows(refusal(Cifar10(str(tmp_path))), str(tmp_path), "no batches of CIFAR-10")
    cifar10(tmp_path)
    for name in ("data_batch_2", "test_batch"):
        (tmp_path / name).unlink()
    assert_shows(refusal(Cifar10(str(tmp_path))), "data_batch_2 is missing", "2 of 6")


def test_any_damage_to_a_batch_is_a_refusal_by_name_or_harmless(tmp_path: Path) -> None:
    cifar10(tmp_path)
    messages = refusals_of_damage(tmp_path / "data_batch_4", lambda: Cifar10(str(tmp_path)), 100)
    assert len(messages) > 20
    assert [message for message in messages if "data_batch_4" not in message] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(imagefolder("train", "test")(tmp_path))


def test_images_of_two_sizes_are_refused_with_both_and_the_remedy(folder: Path) -> None:
    odd = next((folder / "test" / "bee").iterdir())
    Image.new("RGB", (9, 7)).save(odd)
    message = refusal(ImageFolder(str(folder)))
    assert_shows(message, f"{odd} is 9 x 7 pixels", str(folder / "train" / "ant"), "is 8 x 8", "size=32")
    assert ImageFolder(str(folder), size=8).load(0).input_shape == (3, 8, 8)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(60)])
@pytest.mark.parametrize("first", [True, False])
def test_a_damaged_image_is_refused_by_name(folder: Path, content: bytes, first: bool) -> None:
    files = sorted((folder / "train" / "ant").iterdir())
    file = files[0 if first else 3]
    file.write_bytes(content)
    assert_shows(refusal(ImageFolder(str(folder))), f"{file} is damaged or not an image")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tif", ".webp", ".ppm"])
def test_any_damage_to_an_image_is_a_refusal_by_name_or_harmless(tmp_path: Path, suffix: str) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.fromarray(X[number].reshape(32, 32, 3)).save(tmp_path / name / f"{number}{suffix}")
    file = tmp_path / "bee" / f"1{suffix}"
    messages = refusals_of_damage(file, lambda: ImageFolder(str(tmp_path)))
    assert [message for message in messages if str(file) not in message] == []


def test_an_image_that_claims_to_be_enormous_is_refused_by_name(folder: Path) -> None:
    file = sorted((folder / "train" / "ant").iterdir())[1]
    Image.new("1", (20000, 20000)).save(file)
    assert_shows(refusal(ImageFolder(str(folder), size=8)), str(file), "400000000 pixels")


def test_16_bits_a_channel_are_refused_and_not_cut_off(folder: Path) -> None:
    file = sorted((folder / "train" / "ant").iterdir())[1]
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(file)
    assert_shows(refusal(ImageFolder(str(folder))), str(file), "mode I;16", "8 bits")


def test_class_folders_that_differ_between_the_splits_are_refused(folder: Path) -> None:
    shutil.copytree(folder / "test" / "ant", folder / "test" / "wasp")
    message = refusal(ImageFolder(str(folder)))
    assert re.search(r"train has 4 classes, \S+test has 5: 'wasp' is in \S+test alone", message)
    shutil.rmtree(folder / "test" / "wasp")
    shutil.rmtree(folder / "test" / "bee")
    message = refusal(ImageFolder(str(folder)))
    assert re.search(r"train has 4 classes, \S+test has 3: 'bee' is in \S+train alone", message)


def test_folders_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    assert_shows(refusal(ImageFolder("nowhere")), "there is no folder 'nowhere'; --data imagefolder:DIR")
    assert_shows(refusal(ImageFolder(str(tmp_path))), "at least 2 class folders, got []")
    write_images(tmp_path, 0)
    (tmp_path / "wasp").mkdir()
    assert_shows(refusal(ImageFolder(str(tmp_path))), "wasp has no images", ".jpg")
    (tmp_path / "wasp").rmdir()
    for name in ("bee", "cat", "dog"):
        shutil.rmtree(tmp_path / name)
    assert_shows(refusal(ImageFolder(str(tmp_path))), "at least 2 class folders, got ['ant']")
    (tmp_path / "ant").rename(tmp_path / "test")
    assert_shows(refusal(ImageFolder(str(tmp_path))), "has a folder test and no folder train")


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "Validation"):
        write_images(tmp_path / name, 0)
    said = "has two folders of one split, Validation and val; keep one of them there"
    assert_shows(refusal(ImageFolder(str(tmp_path))), said)


def test_a_folder_of_the_same_classes_beside_the_split_is_not_passed_over(tmp_path: Path) -> None:
    for name in ("train", "holdout"):
        write_images(tmp_path / name, 0)
    (tmp_path / "scripts").mkdir()
    assert_shows(
        refusal(ImageFolder(str(tmp_path))), "holdout has the classes of", "call it val or test, or move it away"
    )


def test_a_size_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        ImageFolder("x", size=-1)
