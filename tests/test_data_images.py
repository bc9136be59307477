"""Images in folders, of MNIST's and of CIFAR-10's files: which pixel goes where, what a size and a name mean."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import BATCHES, LAYOUTS, cifar10, idx, pixels, write_idx, write_images
from PIL import Image
from toy import SHARED

from nas.checks import check
from nas.data.cifar10 import Cifar10
from nas.data.idx import Idx
from nas.data.imagefolder import ImageFolder
from nas.dataset import Dataset


def whole(dataset: Dataset) -> np.ndarray:
    """Bytes of all samples."""
    x = np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])
    return (x * 255).round().astype(np.uint8)


def one(folder: Path, image: Image.Image, suffix: str = "png", **options: Any) -> np.ndarray:
    """A sample, as bytes (channels, height, width), of a folder in which every image is this one."""
    for label in ("ant", "bee"):
        (folder / label).mkdir()
        for number in range(5):
            image.save(folder / label / f"{number}.{suffix}")
    dataset = ImageFolder(str(folder), **options).load(0)
    return whole(dataset)[0]


def test_a_coloured_image_becomes_planes_of_red_green_and_blue(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    sample = one(tmp_path, Image.fromarray(colours))
    assert (sample == colours.transpose(2, 0, 1)).all()


def test_grey_images_have_one_channel_and_a_coloured_one_among_them_makes_three(tmp_path: Path) -> None:
    write_images(tmp_path, 0, shape=(8, 8))
    assert ImageFolder(str(tmp_path)).task()[0] == (1, 8, 8)
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / "dog" / "zzz.png")
    source = ImageFolder(str(tmp_path))
    assert source.task()[0] == (3, 8, 8)
    x = whole(source.load(0))
    assert ((x[:, 0] == x[:, 1]) & (x[:, 1] == x[:, 2])).all(axis=(1, 2)).sum() == len(x) - 1


@pytest.mark.parametrize(
    "names",
    [
        ("Training", "Validation", "Testing"),
        ("training_set", "dev set", "TEST"),
        ("train", "valid", "testset"),
        ("train1", "val", "tests"),
    ],
)
def test_the_folders_of_a_split_may_be_called_as_people_call_them(tmp_path: Path, names: tuple[str, ...]) -> None:
    for usual in ("train", "val", "test"):
        write_images(tmp_path / "usual" / usual, len(usual))
    wanted = ImageFolder(str(tmp_path / "usual")).load(0)
    for usual, name in zip(("train", "val", "test"), names, strict=True):
        (tmp_path / "usual" / usual).rename(tmp_path / "usual" / name)
    assert ImageFolder(str(tmp_path / "usual")).load(0).fingerprint == wanted.fingerprint


@pytest.mark.parametrize(("mode", "suffix"), [("P", "png"), ("RGBA", "png"), ("LA", "png"), ("CMYK", "tif")])
def test_palettes_and_transparency_become_plain_colours(tmp_path: Path, mode: str, suffix: str) -> None:
    colours = np.zeros((6, 6, 3), np.uint8)
    colours[:3] = 204  # of the palette of the web
    image = Image.fromarray(colours).convert(mode)
    assert (one(tmp_path, image, suffix) == colours.transpose(2, 0, 1)).all()


def test_a_size_scales_by_the_shorter_side_and_cuts_out_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 255  # the centre
    assert (one(tmp_path, Image.fromarray(wide), size=8) == 255).all()
    assert ImageFolder(str(tmp_path), size=4).task()[0] == (3, 4, 4)
    assert ImageFolder(str(tmp_path)).task()[0] == (3, 8, 24)
    assert whole(ImageFolder(str(tmp_path), size=32).load(0)).shape == (10, 3, 32, 32)


def test_images_of_all_sizes_are_read_with_a_size(tmp_path: Path) -> None:
    write_images(tmp_path, 0)
    Image.new("RGB", (300, 200), (9, 9, 9)).save(tmp_path / "ant" / "large.jpg")
    dataset = ImageFolder(str(tmp_path), size=8).load(0)
    assert dataset.input_shape == (3, 8, 8)
    assert (np.abs(whole(dataset).astype(int) - 9) <= 1).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize(
    ("names", "flips"),
    [
        (("cat", "dog"), True),
        (("0", "1"), False),
        (("a", "b"), False),
        (("00012", "00013"), False),
        (("n01440764", "n01443537"), True),
        (("turn left", "turn_right"), False),
        (("leftover", "copyright"), True),
    ],
)
def test_images_are_mirrored_only_where_that_cannot_change_the_class(
    tmp_path: Path, names: tuple[str, ...], flips: bool
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "0.png")
    assert ("flip" in ImageFolder(str(tmp_path)).augmentations) is flips


@pytest.mark.parametrize(("size", "shift", "cutout"), [(8, 2, 2), (32, 4, 8), (224, 28, 56)])
def test_shifts_grow_with_the_image(tmp_path: Path, size: int, shift: int, cutout: int) -> None:
    write_images(tmp_path, 0, (3, 3))
    found = ImageFolder(str(tmp_path), size=size).augmentations
    assert (found["shift"], found["cutout"]) == (shift, cutout)


def test_a_folder_of_a_split_is_that_part(tmp_path: Path) -> None:
    dataset = LAYOUTS["imagefolder, all"].source(tmp_path).load(0)
    for seed, part in enumerate((dataset.train, dataset.validation, dataset.test)):
        wanted = sorted(image.tobytes() for image in pixels(seed, (31, 20, 9, 40), (6, 8))[0])
        assert sorted((x * 255).round().astype(np.uint8).tobytes() for x in part.x) == wanted
        assert np.bincount(part.y).tolist() == [31, 20, 9, 40]


def test_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    write_images(tmp_path, 0)
    (tmp_path / "ant" / "Thumbs.db").write_text("?")
    (tmp_path / "ant" / "._000.png").write_text("?")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README.txt").write_text("?")
    assert ImageFolder(str(tmp_path)).task() == ((3, 8, 8), 4)


def test_files_of_mnist_hold_what_was_written(tmp_path: Path) -> None:
    source = Idx(idx(tmp_path))
    assert source.task() == ((1, 6, 5), 4)
    dataset = source.load(0)
    assert dataset.classes == ("1", "2", "3", "4")
    x, y = pixels(1, (31, 20, 9, 40), (6, 5))
    np.testing.assert_array_equal(dataset.test.x * 255, x[:, None])
    assert (dataset.test.y == y).all()
    assert len(dataset.train) + len(dataset.validation) == 100


def test_a_class_that_the_test_files_of_mnist_have_alone_is_a_class(tmp_path: Path) -> None:
    source = Idx(idx(tmp_path))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(100) % 3 * 4)
    assert source.task()[1] == 6
    dataset = source.load(0)
    assert dataset.classes == ("0", "1", "2", "3", "4", "8")
    assert np.unique(dataset.test.y).tolist() == [0, 4, 5]


def test_both_versions_of_cifar_10_are_the_same_data(tmp_path: Path) -> None:
    found = []
    for name in ("cifar10", "cifar10, binary"):
        (tmp_path / name).mkdir()
        found.append(Cifar10(LAYOUTS[name].write(tmp_path / name)).load(0))
    assert found[0].fingerprint == found[1].fingerprint
    assert len(whole(found[0])) == 6 * 30
    x, y = pixels(5, (3,) * 10, (3072,))
    np.testing.assert_array_equal((found[0].test.x * 255).round().reshape(-1, 3072), x)
    assert (found[0].test.y == y).all()
    assert found[0].classes[3] == "cat"


@pytest.mark.parametrize("protocol", range(2, 6))
def test_batches_pickled_again_by_python_3_are_read(tmp_path: Path, protocol: int) -> None:
    before = Cifar10(cifar10(tmp_path)).load(0)
    for seed, name in enumerate(BATCHES):
        x, y = pixels(seed, (3,) * 10, (3072,))
        batch = {b"data": x, b"labels": y.tolist(), b"batch_label": b"one", b"filenames": [b"a.png"]}
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol))
    assert Cifar10(str(tmp_path)).load(0).fingerprint == before.fingerprint


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 10.0])
@pytest.mark.parametrize("kind", [Idx, Cifar10, ImageFolder])
def test_a_share_that_is_none_is_refused(kind: Any, share: float) -> None:
    with pytest.raises(ValueError, match=r"validation must be a share in 0\.\.1, such as 0\.1, got"):
        kind("x", validation=share)


@pytest.mark.skipif(
    not (SHARED / "cifar10-12k").is_dir(), reason="real images are not on this machine (../shared/data)"
)
def test_real_images_are_read_as_they_are() -> None:
    source = ImageFolder(str(SHARED / "cifar10-12k"))
    assert source.task() == ((3, 32, 32), 10)
    assert dict(source.augmentations) == Cifar10.augmentations
    dataset = source.load(0)
    assert [np.bincount(part.y).tolist() for part in (dataset.train, dataset.validation, dataset.test)] == [
        [900] * 10,
        [100] * 10,
        [200] * 10,
    ]
    with Image.open(SHARED / "cifar10-12k" / "test" / "airplane" / "0000.jpg") as image:
        pixels = np.asarray(image).transpose(2, 0, 1)
    np.testing.assert_array_equal((dataset.test.x[0] * 255).round(), pixels)
    assert check(dataset) == []


def test_a_stray_batch_does_not_hide_a_complete_folder_below_it(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    cifar10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "test_batch").write_bytes(b"")
    assert Cifar10(str(tmp_path)).task() == ((3, 32, 32), 10)
