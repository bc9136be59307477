"""Augmentations do what they are named for, to every sample by a draw of its own, again with the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, one_hot

from nas.recipe import Recipe
from nas.train import augment
from nas.train.augment import augmentation, cutout, flip, freq_mask, mixup, rotate, shift, time_mask
from nas.train.loop import score

IMAGES = torch.randn(64, 3, 8, 10, generator=Generator().manual_seed(0)) + 5  # nowhere zero
WINDOWS = torch.randn(64, 11, 7, generator=Generator().manual_seed(1)) + 5
Change = Callable[[Tensor], Tensor]
CHANGES: dict[str, tuple[Tensor, Change]] = {
    "flip": (IMAGES, flip),
    "shift": (IMAGES, lambda x: shift(x, 3)),
    "rotate": (IMAGES, lambda x: rotate(x, 30.0)),
    "cutout": (IMAGES, lambda x: cutout(x, 4)),
    "mixup": (IMAGES, lambda x: mixup(x, 0.4)[0]),
    "time_mask": (WINDOWS, lambda x: time_mask(x, 5)),
    "freq_mask": (WINDOWS, lambda x: freq_mask(x, 3)),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", CHANGES)
def test_an_augmentation_keeps_the_shape_and_the_samples_and_repeats_itself_by_the_seed(name: str) -> None:
    x, change = CHANGES[name]
    before = x.clone()
    torch.manual_seed(1)
    one = change(x)
    torch.manual_seed(1)
    again, other = change(x), change(x)
    assert one.shape == x.shape
    assert one.dtype == x.dtype
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", CHANGES)
def test_every_sample_has_a_draw_of_its_own(name: str) -> None:
    x, change = CHANGES[name]
    same = x[:1].expand(len(x), *x.shape[1:]).contiguous()
    if name == "mixup":  # of samples all alike a blend is the same again: look at the shares
        assert len(mixup(x, 0.4)[2].unique()) == len(x)
    else:
        assert len({sample.numpy().tobytes() for sample in change(same)}) > (1 if name == "flip" else 4)


def test_a_flip_is_exactly_a_mirror_of_about_half_of_the_images() -> None:
    x = IMAGES.repeat(8, 1, 1, 1)
    flipped = flip(x)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, x, strict=True)]
    left = [torch.equal(a, b) for a, b in zip(flipped, x, strict=True)]
    assert all(a != b for a, b in zip(mirrored, left, strict=True))
    assert 0.4 < sum(mirrored) / len(x) < 0.6


def test_a_shift_moves_all_content_by_up_to_so_many_pixels_with_zeros_behind() -> None:
    moves = set()
    for before, after in zip(IMAGES, shift(IMAGES, 2), strict=True):
        found = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                wanted = torch.zeros_like(before)
                rows, columns = slice(max(0, down), 8 + min(0, down)), slice(max(0, right), 10 + min(0, right))
                from_rows = slice(max(0, -down), 8 - max(0, down))
                wanted[:, rows, columns] = before[:, from_rows, max(0, -right) : 10 - max(0, right)]
                if torch.equal(after, wanted):
                    found.append((down, right))
        assert len(found) == 1
        moves.update(found)
    assert len(moves) > 15
    assert {down for down, _ in moves} == {right for _, right in moves} == set(range(-2, 3))


@pytest.mark.parametrize(("height", "width"), [(9, 9), (9, 15), (15, 9)])
@pytest.mark.parametrize("degrees", [90.0, 180.0])
def test_a_rotation_turns_pixels_by_the_angle_on_images_of_any_sides(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, degrees: float
) -> None:
    monkeypatch.setattr(torch, "rand", lambda n, device, generator: torch.ones(n))  # the largest angle
    x = torch.randn(2, 3, height, width, generator=Generator().manual_seed(0))
    turned = rotate(x, degrees)
    low = (height - min(height, width)) // 2, (width - min(height, width)) // 2
    middle = (..., slice(low[0], low[0] + 9), slice(low[1], low[1] + 9))  # the square that stays inside
    wanted = torch.rot90(x[middle], int(degrees // 90), (-1, -2))
    assert torch.allclose(turned[middle], wanted, atol=1e-4) or torch.allclose(
        turned[middle], torch.rot90(x[middle], int(degrees // 90), (-2, -1)), atol=1e-4
    )


def test_a_rotation_of_nothing_is_the_image_and_angles_go_both_ways() -> None:
    assert torch.allclose(rotate(IMAGES, 1e-9), IMAGES, atol=1e-4)
    bar = torch.zeros(200, 1, 9, 9)
    bar[:, :, 1, 4] = 1.0  # a spot above the centre
    turned = rotate(bar, 40.0)[:, 0]
    side = turned[:, :, :4].sum((1, 2)) - turned[:, :, 5:].sum((1, 2))
    assert (side > 0.3).sum() > 40
    assert (side < -0.3).sum() > 40


def test_a_cutout_erases_one_square_in_all_channels() -> None:
    whole = 0
    for before, after in zip(IMAGES, cutout(IMAGES, 4), strict=True):
        erased = (after == 0).all(0)
        assert torch.equal(after == 0, erased.expand_as(after))
        rows, columns = erased.any(1).nonzero().flatten(), erased.any(0).nonzero().flatten()
        assert int(erased.sum()) == len(rows) * len(columns)  # a rectangle ...
        assert int(rows[-1] - rows[0]) == len(rows) - 1  # ... without gaps
        assert int(columns[-1] - columns[0]) == len(columns) - 1
        assert 2 <= len(rows) <= 4
        assert 2 <= len(columns) <= 4
        assert torch.equal(after[:, ~erased], before[:, ~erased])
        whole += int(erased.sum()) == 16
    assert whole > 10


@pytest.mark.parametrize(("change", "axis", "most"), [(time_mask, 1, 4), (freq_mask, 2, 3)])
def test_a_mask_zeroes_a_run_of_whole_frames_or_features(change: Any, axis: int, most: int) -> None:
    x = WINDOWS.repeat(4, 1, 1)
    lengths, first = set(), set()
    for before, after in zip(x, change(x, most), strict=True):
        masked = (after == 0).all(2 - axis)  # along the other dimension
        at = masked.nonzero().flatten()
        lengths.add(len(at))
        first.update(at[:1].tolist())
        assert len(at) == 0 or int(at[-1] - at[0]) == len(at) - 1
        kept = after[~masked] if axis == 1 else after[:, ~masked]
        assert torch.equal(kept, before[~masked] if axis == 1 else before[:, ~masked])
        assert (kept != 0).all()
    assert lengths == set(range(most + 1))
    assert first == set(range(x.shape[axis]))  # everywhere, ends too


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_time_mask_leaves_a_narrow_window_at_least_one_frame(frames: int) -> None:
    masked = time_mask(WINDOWS[:, :frames], 8)
    assert (masked != 0).any(1).all()
    assert torch.equal(masked, WINDOWS[:, :frames]) is (frames == 1)


@pytest.mark.parametrize("x", [IMAGES, WINDOWS, WINDOWS[:, 0]])
def test_mixup_blends_samples_by_their_shares(x: Tensor) -> None:
    blended, others, share = mixup(x, 0.4)
    shares = share.view(-1, *(1,) * (x.ndim - 1))
    assert torch.allclose(blended, shares * x + (1 - shares) * x[others], atol=1e-5)
    assert sorted(others.tolist()) == list(range(len(x)))
    assert ((share >= 0) & (share <= 1)).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_shares_of_mixup_have_the_moments_of_their_distribution(alpha: float) -> None:
    share = mixup(torch.zeros(20_000, 1), alpha)[2]
    assert share.mean().item() == pytest.approx(0.5, abs=0.02)
    assert share.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_blend_is_that_of_both_labels(smoothing: float) -> None:
    logits, y, share = torch.randn(50, 4), torch.randint(4, (50,)), torch.rand(50)
    other = torch.randint(4, (50,))
    targets = share[:, None] * one_hot(y, 4) + (1 - share)[:, None] * one_hot(other, 4)
    loss, hits = score(logits, y, [(y, share), (other, 1 - share)], smoothing)
    assert loss.item() == pytest.approx(cross_entropy(logits, targets, label_smoothing=smoothing).item(), rel=1e-5)
    assert hits.item() == pytest.approx(targets.gather(1, logits.argmax(1, keepdim=True)).sum().item(), rel=1e-5)


def test_those_of_the_recipe_are_applied_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, Any]] = []
    for name in augment.ALONE:
        monkeypatch.setitem(augment.ALONE, name, lambda x, amount, _, n=name: (called.append((n, amount)), x + 1)[1])
    recipe = Recipe(flip=True, shift=2, rotate=5.0, cutout=3)
    assert torch.equal(augmentation(recipe, (3, 8, 10))(IMAGES, None), IMAGES + 1 + 1 + 1 + 1)
    assert called == [("flip", True), ("shift", 2), ("rotate", 5.0), ("cutout", 3)]
    assert augmentation(Recipe(mixup=0.2), (5,))(IMAGES, None) is IMAGES


@pytest.mark.parametrize(
    ("changed", "shape", "message"),
    [
        ({"flip": True}, (5,), r"flip must be false for samples of shape \(5,\), got True; it is for images"),
        ({"shift": 2}, (11, 7), r"shift must be 0 for samples of shape \(11, 7\), got 2; it is for images"),
        ({"rotate": 9.0}, (5,), "rotate must be 0 .* got 9.0"),
        ({"cutout": 2}, (5,), "cutout must be 0 .* got 2"),
        ({"time_mask": 2}, (5,), r"time_mask must be 0 .* got 2; it is for windows \(frames, features\)"),
        ({"freq_mask": 2}, (3, 8, 10), "freq_mask must be 0 .* got 2"),
        ({"shift": 8}, (3, 8, 10), "shift must be at most 7 .* got 8"),
        ({"cutout": 9}, (3, 8, 10), "cutout must be at most 8 .* got 9"),
        ({"freq_mask": 7}, (11, 7), "freq_mask must be at most 6 .* got 7"),
    ],
)
def test_what_makes_no_sense_for_the_samples_is_refused(
    changed: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        augmentation(Recipe(**changed), shape)
