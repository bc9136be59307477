"""Conformance: every kind of data in `nas/data/` says what it is, splits by the seed, and normalises without a leak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import SHARED

from nas import plugins
from nas.dataset import SHARES, Arrays, Dataset, Part, Source, stratified_split
from nas.train.loop import Resident

SIZES = (31, 20, 9, 40)  # samples of each class


def samples(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    return rng.normal(3.0, 5.0, (len(y), 2, 3)).astype(np.float32) + y[:, None, None], y


def npz(folder: Path) -> str:
    x, y = samples()
    np.savez(folder / "data.npz", X=x, y=y)
    return str(folder / "data.npz")


FACTORIES: dict[str, Callable[[Path], str]] = {  # of every kind: writes its files into a folder, returns the PATH
    "digits": lambda folder: "",
    "npz": npz,
}


@pytest.fixture(params=plugins.names("nas.data"))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    kind = request.param
    if kind not in FACTORIES:
        pytest.fail(f"the kind of data {kind!r} has no factory: write one in tests/test_data.py, so that it is tested")
    made: Source = plugins.find("nas.data", kind, Source)(FACTORIES[kind](tmp_path))
    return made


def parts(dataset: Dataset) -> tuple[Part, Part, Part]:
    return dataset.train, dataset.validation, dataset.test


def identities(part: Part) -> list[bytes]:
    return [row.tobytes() + label.tobytes() for row, label in zip(part.x, part.y, strict=True)]


def test_what_it_says_before_it_is_read_agrees_with_what_is_read(source: Source) -> None:
    shape, classes = source.task()
    dataset = source.load(0)
    assert dataset.input_shape == shape
    assert len(dataset.classes) == classes
    assert all(isinstance(name, str) for name in dataset.classes)
    for part in parts(dataset):
        assert part.x.shape == (len(part), *shape)
        assert (part.x.dtype, part.y.dtype) == (np.float32, np.int64)
        assert set(np.unique(part.y)) <= set(range(classes))


def test_the_three_parts_are_disjoint_and_none_is_empty(source: Source) -> None:
    train, validation, test = (identities(part) for part in parts(source.load(0)))
    assert min(map(len, (train, validation, test))) > 0
    assert not {*train} & {*validation} | {*train} & {*test} | {*validation} & {*test}


def test_every_class_is_in_every_part_in_its_share(source: Source) -> None:
    dataset = source.load(0)
    whole = np.bincount(np.concatenate([part.y for part in parts(dataset)]), minlength=len(dataset.classes))
    for part, share in zip(parts(dataset), SHARES, strict=True):
        assert np.abs(np.bincount(part.y, minlength=len(whole)) - whole * share).max() <= 1


def test_the_seed_fixes_the_split(source: Source) -> None:
    one, again, other = source.load(3), source.load(3), source.load(4)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert [identities(part) for part in parts(one)] == [identities(part) for part in parts(again)]
    assert {*identities(one.test)} != {*identities(other.test)}


def test_the_global_generator_of_numpy_is_left_alone(source: Source) -> None:
    before = np.random.get_state()[1].copy()
    source.load(0)
    assert (np.random.get_state()[1] == before).all()


def test_normalisation_is_that_of_the_training_part_alone(source: Source) -> None:
    dataset = source.load(0)
    mean, std = dataset.normalisation
    x = torch.from_numpy(dataset.train.x)
    axes = (0,) if x.ndim == 2 else (0, *range(2, x.ndim))
    wanted = x.double().mean(axes), x.double().std(axes, correction=0)
    assert mean.dtype == std.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(mean).flatten(), wanted[0].float().flatten())
    torch.testing.assert_close(torch.from_numpy(std).flatten(), torch.where(wanted[1] > 1e-8, wanted[1], 1.0).float())
    elsewhere = {name: Part(getattr(dataset, name).x * 100 - 7, dataset.train.y) for name in ("validation", "test")}
    moved = replace(dataset, **elsewhere)
    assert all((a == b).all() for a, b in zip(moved.normalisation, (mean, std), strict=True))
    shifted = replace(dataset, train=Part(dataset.train.x + 1, dataset.train.y))
    assert not (shifted.normalisation[0] == mean).any()


def test_a_normalised_training_part_has_mean_0_and_deviation_1(source: Source) -> None:
    dataset = source.load(0)
    resident = Resident.of(dataset.train, dataset, torch.device("cpu"))
    assert abs(float(resident.x.mean())) < 1e-4
    assert float(resident.x.std(correction=0)) == pytest.approx(1.0, abs=1e-3)
    assert (resident.y.numpy() == dataset.train.y).all()


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_the_fingerprint_sees_one_number_in_any_part(source: Source, name: str) -> None:
    dataset = source.load(0)
    part: Part = getattr(dataset, name)
    x, y = part.x.copy(), part.y.copy()
    x.flat[5] = np.nextafter(x.flat[5], np.float32(np.inf))
    y[0] = (y[0] + 1) % len(dataset.classes)
    changed = [replace(dataset, **{name: Part(x, part.y)}), replace(dataset, **{name: Part(part.x, y)})]
    assert len({d.fingerprint for d in (*changed, dataset, replace(dataset, classes=("x", *dataset.classes[1:])))}) == 4
    assert replace(dataset, **{name: Part(part.x.copy(), part.y.copy())}).fingerprint == dataset.fingerprint


def test_arrays_and_the_archive_of_them_are_the_same_data(tmp_path: Path) -> None:
    path = npz(tmp_path)
    archive = plugins.find("nas.data", "npz", Source)(path)
    arrays = Arrays(*samples())
    assert arrays.task() == archive.task() == ((2, 3), 4)
    assert arrays.load(1).fingerprint == archive.load(1).fingerprint


@pytest.mark.parametrize("seed", range(5))
def test_a_split_loses_no_sample_and_uses_none_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, int(rng.integers(15, 200)))
    rows = np.concatenate(stratified_split(y, rng))
    assert sorted(rows.tolist()) == list(range(len(y)))


def test_a_constant_feature_stays_finite() -> None:
    x, y = samples()
    x = x.reshape(len(y), -1)
    x[:, 2] = 7.0
    dataset = Arrays(x, y).load(0)
    resident = Resident.of(dataset.validation, dataset, torch.device("cpu"))
    assert torch.isfinite(resident.x).all()
    assert (resident.x[:, 2] == 0).all()


def test_images_are_normalised_by_channel_and_vectors_by_feature() -> None:
    x, y = samples()
    assert Arrays(x, y).load(0).normalisation[0].shape == (2, 1)
    assert Arrays(x.reshape(len(y), 6), y).load(0).normalisation[0].shape == (6,)


@pytest.mark.skipif(not (SHARED / "fsdd-frames").is_dir(), reason="real speech is not on this machine (../shared/data)")
def test_real_speech_in_a_split_of_its_own_is_read_as_it_is(tmp_path: Path) -> None:
    arrays = {}
    for part, folder in {"train": "train-clean", "val": "dev-clean", "test": "test-clean"}.items():
        files = sorted((SHARED / "fsdd-frames" / folder / "mfcc").iterdir())[:20]
        arrays[f"X_{part}"] = np.concatenate([np.load(file) for file in files])
        words = [np.load(file.parent.parent / "transcript" / file.name)[1:-1] for file in files]
        arrays[f"y_{part}"] = np.concatenate(words)
    np.savez(tmp_path / "speech.npz", **arrays)
    source = plugins.find("nas.data", "npz", Source)(str(tmp_path / "speech.npz"))
    dataset = source.load(0)
    assert source.task() == ((28,), len(dataset.classes))
    assert "SIL" in dataset.classes
    names = np.array(dataset.classes)
    for part, name in zip(parts(dataset), ("train", "val", "test"), strict=True):
        assert (part.x == arrays[f"X_{name}"]).all()
        assert (names[part.y] == arrays[f"y_{name}"]).all()
