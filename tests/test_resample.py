"""Other cuts of the data: stratified, of whole groups, repeatable, and the test part stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.dataset import Arrays, Dataset, Part
from nas.evaluate import Stopping, Training
from nas.job import Job
from nas.normalise import affine
from nas.recipe import Recipe
from nas.resample import folds, sampled
from nas.space import Candidate
from search_spaces.mlp import MLP

RNG = np.random.default_rng(0)


def plain(samples: int = 300) -> Dataset:
    y = RNG.permutation(np.repeat([0, 1, 2], [samples // 2, samples // 3, samples - samples // 2 - samples // 3]))
    return Arrays(RNG.normal(size=(samples, 4)) + y[:, None], y).load(0)


def spoken(utterances: int = 40, frames: int = 12) -> Dataset:
    def part(first: int, count: int) -> Part:
        groups = np.repeat(np.arange(count), frames)
        y = (groups + np.arange(len(groups)) // 4) % 3
        x = RNG.normal(size=(len(groups), 5)).astype(np.float32) + first
        return Part(x, y.astype(np.int64), groups)

    parts = part(0, utterances), part(1000, utterances // 4), part(2000, utterances // 4)
    return Dataset("spoken", *parts, ("a", "b", "c"), (0, 3))


def test_a_sample_is_normalised_by_the_whole_training_part() -> None:
    data = plain()
    for one, whole in zip(affine(sampled(data, 0.1, seed=1)), affine(data), strict=True):
        assert (one == whole).all()
    for fold in folds(sampled(data, 0.5, seed=1), 3, seed=0):
        cut = fold.dataset()
        assert fold.samples == len(cut.train)
        assert np.allclose(affine(cut)[0], cut.train.x.mean(axis=0), atol=1e-5)


def rows(part: Part) -> set[bytes]:
    return {row.tobytes() for row in part.x}


@pytest.mark.parametrize("make", [plain, spoken])
def test_a_sample_of_all_is_all(make: Any) -> None:
    data = make()
    assert sampled(data, 1.0, seed=0) is data


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_sample_keeps_the_shares_of_the_classes_and_leaves_the_other_parts(share: float) -> None:
    data = plain()
    part = sampled(data, share, seed=1)
    counts, whole = np.bincount(part.train.y), np.bincount(data.train.y)
    assert np.abs(counts - share * whole).max() <= 1
    assert rows(part.train) < rows(data.train)
    assert part.validation is data.validation
    assert part.test is data.test


def test_a_sample_is_of_whole_utterances_in_order() -> None:
    data = spoken()
    part = sampled(data, 0.25, seed=1).train
    assert part.groups is not None
    assert set(np.bincount(part.groups)) == {0, 12}
    assert len(np.unique(part.groups)) == 10
    assert (np.diff(part.groups) >= 0).all()


def test_the_seed_fixes_the_sample() -> None:
    data = plain()
    one, again, other = (rows(sampled(data, 0.2, seed=seed).train) for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("make", [plain, spoken])
@pytest.mark.parametrize("k", [2, 5])
def test_folds_share_nothing_and_together_are_everything(make: Any, k: int) -> None:
    data = make()
    cut = [fold.dataset() for fold in folds(data, k, seed=0)]
    pool = rows(data.train) | rows(data.validation)
    held_out = [rows(part.validation) for part in cut]
    assert set().union(*held_out) == pool
    assert sum(map(len, held_out)) == len(pool)
    for part in cut:
        assert rows(part.train) | rows(part.validation) == pool
        assert not rows(part.train) & rows(part.validation)
        assert part.test is data.test


def test_folds_of_samples_keep_the_shares_of_the_classes() -> None:
    data = plain()
    for part in (fold.dataset() for fold in folds(data, 4, seed=0)):
        shares = np.bincount(part.validation.y) / len(part.validation)
        assert np.abs(shares - np.bincount(data.train.y) / len(data.train)).max() < 0.03


def test_any_seed_of_a_search_is_one_of_folds() -> None:
    data = plain()
    first, again, other = (folds(data, 3, seed)[0].train for seed in (2**64 - 1, 2**64 - 1, 2**64 - 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.tolist() == again.tolist() != other.tolist()


def test_no_utterance_is_cut_by_a_fold() -> None:
    for part in (fold.dataset() for fold in folds(spoken(), 5, seed=0)):
        assert part.train.groups is not None
        assert part.validation.groups is not None
        assert not {*part.train.groups} & {*part.validation.groups}


def test_more_folds_than_samples_of_a_class_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"--folds 99 .* there are \d+"):
        folds(plain(), 99, seed=0)


def candidate(data: Dataset) -> Candidate:
    space = MLP(data.input_shape, len(data.classes), max_depth=1, max_width=16).on(data.contexts)
    found = space.sample(np.random.default_rng(0))
    return Candidate(found.architecture, Recipe(lr=1e-2), found.choices)


@pytest.mark.parametrize("make", [plain, spoken])
def test_the_value_of_folds_is_their_mean_and_no_weights_are_kept(make: Any, tmp_path: Any) -> None:
    data = make()
    training = Training(data, Stopping(2, 2), folds=3)
    training.prepare("cpu")
    outcome = training(Job(0, candidate(data), 1, tmp_path / "weights"))
    best = [max(r["val_accuracy"] for r in outcome.curve if r["fold"] == fold) for fold in (1, 2, 3)]
    assert outcome.values == (pytest.approx(np.mean(best)),)
    assert outcome.metrics["val_accuracy_std"] == pytest.approx(np.std(best, ddof=1))
    assert outcome.metrics["epochs"] == 6
    assert not (tmp_path / "weights").exists()


def test_the_final_training_uses_everything_though_the_search_used_a_tenth(tmp_path: Any) -> None:
    data = plain()
    training = Training(data, Stopping(1, 1), sample=0.1)
    training.prepare("cpu")
    job = Job(0, candidate(data), 1, tmp_path / "weights", final=True)
    small, whole = training._parts(training.searched[0])[0], training._parts(training.whole)[0]
    assert len(small) == pytest.approx(0.1 * len(whole), abs=2)
    assert training(job).values
    assert (tmp_path / "weights").exists()


def test_a_sample_of_fewer_samples_than_classes_is_refused() -> None:
    data = Arrays(np.random.default_rng(0).normal(size=(100, 3)), np.arange(100) % 4).load(0)
    with pytest.raises(ValueError, match=r"--sample 0.01 of 60 training samples is 0.6, fewer than the 4 classes"):
        sampled(data, 0.01, seed=0)
