"""Conformance: every kind of data in `nas/data/` says what it is, splits by the seed, and normalises without a leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import LAYOUTS, Layout, npz, samples
from sklearn.datasets import load_digits
from toy import SHARED

from nas import plugins
from nas.data._split import hold_out
from nas.data.digits import Digits
from nas.dataset import Arrays, Dataset, Part, Source, stratified_split
from nas.normalise import affine, normalised
from nas.recipe import AUGMENTATIONS, check_knob
from nas.train.resident import Resident


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS.keys())
def layout(request: pytest.FixtureRequest) -> Layout:
    chosen: Layout = request.param
    return chosen


@pytest.fixture
def source(layout: Layout, tmp_path: Path) -> Source:
    return layout.source(tmp_path)


def test_every_kind_of_data_is_tested_here() -> None:
    untested = set(plugins.names("nas.data")) - {layout.kind for layout in LAYOUTS.values()}
    assert not untested, f"write a layout of each in tests/layouts.py: {untested}"


def test_the_digits_are_those_of_scikit_learn() -> None:
    theirs = load_digits()
    whole = Arrays(theirs.images[:, None], theirs.target, "digits").load(3)
    for ours, part in zip(parts(Digits().load(3)), parts(whole), strict=True):
        assert np.array_equal(ours.x, part.x)
        assert np.array_equal(ours.y, part.y)
        assert ours.x.dtype == part.x.dtype


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


def test_what_the_seed_draws_is_drawn_in_its_share_of_each_class(source: Source, layout: Layout) -> None:
    dataset = source.load(0)
    drawn = {name: counted(getattr(dataset, name), len(dataset.classes)) for name in layout.drawn}
    for name, share in layout.drawn.items():
        assert np.abs(drawn[name] - sum(drawn.values()) * share).max() <= 1


def counted(part: Part, classes: int) -> np.ndarray:
    """Samples of each class; of utterances, which are never cut in two, their number."""
    if part.groups is None:
        return np.bincount(part.y, minlength=classes)
    return np.array([len(np.unique(part.groups))])


def test_the_seed_fixes_the_split_and_nothing_else(source: Source, layout: Layout) -> None:
    one, again, other = source.load(3), source.load(3), source.load(4)
    assert one.fingerprint == again.fingerprint
    assert [identities(part) for part in parts(one)] == [identities(part) for part in parts(again)]
    for name in ("train", "validation", "test"):
        before, after = (Counter(identities(getattr(dataset, name))) for dataset in (one, other))
        assert (before == after) is (name not in layout.drawn)
    assert whole(one) == whole(other)


def whole(dataset: Dataset) -> Mapping[bytes, int]:
    """All samples; of a table, where a median of the training part stands in for a missing number, their labels."""
    blank = Path(dataset.name).suffix == ".csv"
    return Counter(identity[-8:] if blank else identity for part in parts(dataset) for identity in identities(part))


def test_the_global_generator_of_numpy_is_left_alone(source: Source) -> None:
    before = np.random.get_state()[1].copy()
    source.load(0)
    assert (np.random.get_state()[1] == before).all()


def test_normalisation_is_that_of_the_training_part_alone(source: Source) -> None:
    dataset = replace(source.load(0), normalise="zscore")
    offset, scale = affine(dataset)
    x = torch.from_numpy(dataset.train.x)
    axes = (0,) if x.ndim == 2 else (0, *range(2, x.ndim))
    mean, std = x.double().mean(axes), x.double().std(axes, correction=0)
    assert offset.dtype == scale.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(offset).flatten(), mean.float().flatten())
    torch.testing.assert_close(torch.from_numpy(scale).flatten(), torch.where(std > 1e-8, std, 1.0).float())
    shifted = replace(dataset, train=replace(dataset.train, x=dataset.train.x + 1))
    assert not (affine(shifted)[0] == offset).any()


@pytest.mark.parametrize("normalise", [None, "zscore", "minmax"])
def test_no_number_of_validation_or_test_enters_the_normalisation_of_training(source: Source, normalise: str) -> None:
    dataset = source.load(0)
    dataset = replace(dataset, normalise=normalise or dataset.normalise)
    names = ("validation", "test")
    elsewhere = {name: replace(getattr(dataset, name), x=getattr(dataset, name).x * 100 - 7) for name in names}
    moved = replace(dataset, **elsewhere)
    assert all((a == b).all() for a, b in zip(affine(moved), affine(dataset), strict=True))
    assert (normalised(moved.train, moved) == normalised(dataset.train, dataset)).all()


def test_a_normalised_training_part_has_mean_0_and_deviation_1(source: Source) -> None:
    dataset = source.load(0)
    resident = Resident.of(dataset.train, dataset, torch.device("cpu"))
    x = resident.x if resident.at is None else resident.x[resident.at]
    assert abs(float(x.mean())) < 1e-4
    assert float(x.std(correction=0)) == pytest.approx(1.0, abs=1e-3)
    assert (resident.y.numpy() == dataset.train.y).all()


def test_what_it_offers_to_the_search_can_be_chosen(source: Source) -> None:
    source.task()
    for name, usual in source.augmentations.items():
        assert name in AUGMENTATIONS
        assert check_knob(name, usual) == usual
    dataset = source.load(0)
    assert dataset.contexts == source.contexts
    assert dataset.normalise == source.normalise


def test_groups_are_neighbours_and_have_names(source: Source) -> None:
    for part in parts(source.load(0)):
        if part.groups is None:
            assert part.names == ()
        else:
            assert part.groups.dtype == np.int64
            assert part.groups.shape == part.y.shape
            assert np.unique(part.groups).tolist() == list(range(len(part.names)))
            assert (np.diff(part.groups) >= 0).all()
            assert len(set(part.names)) == len(part.names)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_the_fingerprint_sees_one_number_in_any_part(source: Source, name: str) -> None:
    dataset = source.load(0)
    part: Part = getattr(dataset, name)
    x, y = part.x.copy(), part.y.copy()
    x.flat[5] = np.nextafter(x.flat[5], np.float32(np.inf))
    y[0] = (y[0] + 1) % len(dataset.classes)
    changed = [replace(dataset, **{name: replace(part, **one)}) for one in ({"x": x}, {"y": y})]
    assert len({d.fingerprint for d in (*changed, dataset, replace(dataset, classes=("x", *dataset.classes[1:])))}) == 4
    assert replace(dataset, **{name: replace(part, x=part.x.copy())}).fingerprint == dataset.fingerprint


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
    assert affine(Arrays(x, y).load(0))[0].shape == (2, 1)
    assert affine(Arrays(x.reshape(len(y), 6), y).load(0))[0].shape == (6,)


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


def test_labels_of_bytes_are_words() -> None:
    x, y = np.arange(24.0).reshape(12, 2), np.array([b"no", b"yes"] * 6)
    assert Arrays(x, y).load(0).classes == ("no", "yes")


@pytest.mark.parametrize(("classes", "each", "share", "held"), [(100, 4, 0.1, 40), (100, 5, 0.1, 50), (3, 1, 0.9, 0)])
def test_what_rounding_leaves_over_is_held_out_of_the_next_class(
    classes: int, each: int, share: float, held: int
) -> None:
    y = np.repeat(np.arange(classes), each)
    if not held:
        with pytest.raises(ValueError, match="of 3 samples of 3 classes, of which each keeps one, is none"):
            hold_out(y, share, 0, "here")
        return
    stay, out = hold_out(y, share, 0, "here")
    assert len(out) == held
    assert set(y[stay]) == set(range(classes))
