"""Normalisation: of the training part alone, or of each utterance by itself; windows never cross an utterance."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.dataset import Arrays, Dataset, Part
from nas.normalise import NORMALISATIONS, affine, check_normalisation, normalised
from nas.train.resident import Resident

CPU = torch.device("cpu")


def spoken(*lengths: int, contexts: tuple[int, ...] = (0, 2, 4), seed: int = 0, normalise: str = "none") -> Dataset:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(lengths)), lengths)
    x = rng.normal(5.0, 3.0, (len(groups), 3)).astype(np.float32) + 10 * groups[:, None]
    part = Part(x.astype(np.float32), (groups % 2).astype(np.int64), groups)
    return Dataset("spoken", part, part, part, ("a", "b"), contexts, normalise)


@pytest.mark.parametrize("normalise", ["utterance", "utterance-mean"])
def test_each_utterance_is_centred_by_itself(normalise: str) -> None:
    data = spoken(7, 30, 12, normalise=normalise)
    x, groups = normalised(data.train, data), data.train.groups
    assert groups is not None
    for group in range(3):
        utterance = x[groups == group]
        assert np.abs(utterance.mean(axis=0)).max() < 1e-5
        if normalise == "utterance":
            assert np.abs(utterance.std(axis=0) - 1).max() < 1e-4
    assert np.abs(x.std(axis=0) - 1).max() < 1e-4


def test_a_constant_feature_of_an_utterance_stays_finite() -> None:
    data = spoken(5, 6, normalise="utterance")
    data.train.x[:5, 1] = 7.0
    assert np.isfinite(normalised(data.train, data)).all()
    assert (normalised(data.train, data)[:5, 1] == 0).all()


def test_minmax_brings_the_training_part_into_0_to_1() -> None:
    rng = np.random.default_rng(0)
    data = replace(Arrays(rng.normal(3, 5, (200, 4)), np.arange(200) % 2).load(0), normalise="minmax")
    x = normalised(data.train, data)
    assert np.allclose(x.min(axis=0), 0)
    assert np.allclose(x.max(axis=0), 1)
    assert normalised(data.test, data).min() < 0 or normalised(data.test, data).max() > 1


def test_none_leaves_the_numbers_alone() -> None:
    data = spoken(5, 6)
    assert (normalised(data.train, data) == data.train.x).all()


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_validation_and_test_numbers_never_enter(normalise: str) -> None:
    data = spoken(9, 14, normalise=normalise)
    other = Part(data.train.x * 100 - 7, data.train.y, data.train.groups)
    moved = replace(data, validation=other, test=other)
    for one, two in zip(affine(data), affine(moved), strict=True):
        assert (one == two).all()
    assert (normalised(data.train, data) == normalised(data.train, moved)).all()


def test_an_unknown_normalisation_and_one_without_utterances_are_refused() -> None:
    data = Arrays(np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2, "flat").load(0)
    with pytest.raises(ValueError, match=r"zscore.*got 'zscores'"):
        check_normalisation(replace(data, normalise="zscores"))
    with pytest.raises(ValueError, match=r"utterance-mean.*flat is not"):
        check_normalisation(replace(data, normalise="utterance-mean"))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from([0, 2, 4]), st.integers(0, 99))
def test_a_window_holds_its_neighbours_and_zeros_beyond_the_utterance(
    lengths: list[int], context: int, seed: int
) -> None:
    data = spoken(*lengths, seed=seed)
    resident = Resident.of(data.train, data, CPU)
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(data.train)))
    windows = resident.samples(rows, (2 * context + 1, 3))
    x, groups = data.train.x, data.train.groups
    assert groups is not None
    for window, row in zip(windows.numpy(), rows.tolist(), strict=True):
        for offset in range(-context, context + 1):
            there = row + offset
            inside = 0 <= there < len(x) and groups[there] == groups[row]
            assert (window[context + offset] == (x[there] if inside else 0)).all()


def test_windows_are_a_view_until_they_are_gathered() -> None:
    """57 x 28 floats of every frame would take 57 times the memory; what is resident grows by the padding alone."""
    data = spoken(*[40] * 50, contexts=(28,))
    resident = Resident.of(data.train, data, CPU)
    assert resident.x.untyped_storage().nbytes() == 4 * 3 * (50 * 40 + 51 * 28)
    assert resident.samples(torch.arange(10), (57, 3)).shape == (10, 57, 3)


def test_a_wider_window_than_was_padded_for_is_refused() -> None:
    data = spoken(5, 5, contexts=(2,))
    with pytest.raises(ValueError, match="context of 3"):
        Resident.of(data.train, data, CPU).samples(torch.arange(2), (7, 3))


def test_gathered_windows_can_be_written_without_touching_the_data() -> None:
    data = spoken(6, 6)
    resident = Resident.of(data.train, data, CPU)
    before = resident.x.clone()
    resident.samples(torch.arange(4), (5, 3)).zero_()
    assert torch.equal(resident.x, before)


def test_utterances_are_normalised_in_the_memory_of_one_copy() -> None:
    part = Part(np.ones((20_000, 20), np.float32), np.zeros(20_000, np.int64), np.repeat(np.arange(100), 200))
    data = Dataset("spoken", part, part, part, ("a", "b"), (0,), "utterance")
    fitted = affine(data)
    tracemalloc.start()
    normalised(part, data, fitted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * part.x.nbytes
