"""Dropout masks: the right share, the same in any company, resumable; by hashes they are what a formula says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nas.architecture import Sketch
from nas.dataset import Array
from nas.train.dropout import Bits, scale
from nas.train.fused import hashed
from nas.train.fused.chain import Chain, chain_of
from nas.train.fused.masks import Drawn, Hashed, Masks, masks_of
from nas.train.fused.stack import Stack

BATCH, STEPS = 40, 400


def chain(p: float, first: float = 0.0, width: int = 24) -> Chain:
    net = Sketch((10,))
    x = net("dropout", net.input, p=first)
    for _ in range(2):
        x = net("dropout", net("relu", net("linear", x, out=width)), p=p)
    found = chain_of(net.done(net("linear", x, out=3)))
    assert found is not None
    return found


def hashes(chains: list[Chain], seeds: list[int], taken: int, steps: int) -> tuple[Masks, list[torch.Tensor]]:
    """Masks of so many steps after those that were taken."""
    keys = torch.zeros(len(seeds), dtype=torch.int32)
    masks = Hashed(Stack(chains, torch.device("cpu")), BATCH, seeds, keys)
    made = []
    for row in hashed.keys(seeds, [taken] * len(seeds), steps):
        keys.copy_(torch.from_numpy(row))
        for step in masks.steps:
            step()
        made.append(masks.mask.clone())
    return masks, made


def drawn(chains: list[Chain], seeds: list[int], taken: int, steps: int) -> tuple[Masks, list[torch.Tensor]]:
    masks = Drawn(Stack(chains, torch.device("cpu")), BATCH, [Bits(seed) for seed in seeds])
    made = []
    for _ in range(taken + steps):
        masks.prepare()
        for step in masks.steps:
            step()
        made.append(masks.mask.clone())
    return masks, made[taken:]


Making = Callable[[list[Chain], list[int], int, int], tuple[Masks, list[torch.Tensor]]]
both = pytest.mark.parametrize("make", [hashes, drawn])


@both
@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_as_many_elements_are_dropped_as_the_share_says_and_the_others_make_up_for_them(make: Making, p: float) -> None:
    masks, made = make([chain(p)], [3], 0, 200)
    assert torch.stack(made).unique().tolist() == pytest.approx([0.0, scale(p)])
    dropped = (torch.stack(made) == 0).double()
    assert float(dropped.mean()) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / dropped.numel()))
    of_rows, of_steps = dropped.mean((0, 2)), dropped.mean((1, 2))  # no feature and no step is an exception
    for means, each in ((of_rows, 200 * BATCH), (of_steps, masks.mask.numel())):
        assert float((means - p).abs().max()) < 5 * np.sqrt(p * (1 - p) / each)


@both
def test_a_member_drops_the_same_in_any_company(make: Making) -> None:
    own, (alone,) = make([chain(0.3, 0.2)], [7], 5, 1)
    company = [chain(0.5, 0.1, 16), chain(0.3, 0.2), chain(0.0), chain(0.2, width=8)]
    masks, (among,) = make(company, [1, 7, 2, 7], 5, 1)
    for layer in range(3):
        assert torch.equal(alone[own.at[0, layer]], among[masks.at[1, layer]])


@both
def test_masks_go_on_where_they_were_left(make: Making) -> None:
    whole = make([chain(0.4), chain(0.2, 0.1)], [1, 2], 0, 6)[1]
    for one, other in zip(whole[4:], make([chain(0.4), chain(0.2, 0.1)], [1, 2], 4, 2)[1], strict=True):
        assert torch.equal(one, other)


def test_elements_steps_layers_and_members_are_dropped_independently_of_each_other() -> None:
    _, made = hashes([chain(0.5, 0.5), chain(0.5, 0.5)], [0, 1], 0, STEPS)
    signs = (torch.stack(made) > 0).flatten(1).double() * 2 - 1  # (steps, elements)
    signs = signs[:, torch.randperm(signs.shape[1], generator=torch.Generator().manual_seed(0))[:1500]]
    for rows in (signs, signs.t()):  # correlations of steps, and of elements over the steps
        count, length = rows.shape
        pairs = (rows @ rows.t() / length)[tuple(torch.triu_indices(count, count, 1))] * length**0.5
        assert float(pairs.abs().max()) < 6  # of a million pairs the largest is some 5
        assert float(pairs.std()) == pytest.approx(1, abs=0.02)
    assert float((signs[1:] * signs[:-1]).mean()) == pytest.approx(0, abs=0.01)


def test_elements_whose_salts_are_neighbours_are_dropped_independently_too() -> None:
    keys = hashed.keys([5], [0], 4096).view(np.uint32)
    for distance in (1, 2, 255, 1 << 16, 1 << 30, 1 << 31):
        with np.errstate(over="ignore"):
            pair = [hashed.mixed(keys + np.uint32(salt)) >= 0 for salt in (77, 77 + distance)]
        assert float(np.mean(pair[0] == pair[1])) == pytest.approx(0.5, abs=0.04)


def reference(seed: int, layer: int, element: int, step: int) -> int:
    """The bits of an element, in whole numbers: 32-bit words, shifts that keep the sign."""

    def mixed(x: int) -> int:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            signed = x - (1 << 32) if x >> 31 else x
            x = (x ^ (signed >> shift)) * factor % (1 << 32)
        return x

    start = int(np.random.SeedSequence((seed, layer)).generate_state(1)[0])
    begin = int(np.random.SeedSequence(seed).generate_state(1)[0])
    salt, key = mixed((start + element) % (1 << 32)), mixed((begin + step * 0x9E3779B9) % (1 << 32))
    bits = mixed((salt + key) % (1 << 32))
    return bits - (1 << 32) if bits >> 31 else bits


def test_bits_are_to_the_bit_what_the_formula_says() -> None:
    seeds = [3, 2**70 + 1]
    masks, _ = hashes([chain(0.3), chain(0.3, 0.2)], seeds, 1000, 3)
    for (member, layer), rows in masks.at.items():
        bits: Array = masks.bits[rows].reshape(-1).numpy()
        for element in (0, 1, BATCH, len(bits) - 1):
            assert int(bits[element]) == reference(seeds[member], layer, element, 1002)


def test_where_nothing_is_dropped_there_are_no_masks() -> None:
    stack = Stack([chain(0.0), chain(0.0)], torch.device("cpu"))
    assert masks_of(stack, BATCH, [], [], torch.zeros(2)) is None
