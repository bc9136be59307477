"""Many perceptrons trained as one: each gets the numbers that it gets alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture, Sketch
from nas.data.digits import Digits
from nas.live import Stopped, Watch
from nas.narrow import Narrowing
from nas.network import Network
from nas.normalise import affine
from nas.ops import ACTIVATIONS
from nas.recipe import Recipe
from nas.space import Candidate
from nas.train.checkpoint import Segment
from nas.train.fused import descent
from nas.train.fused.chain import chain_of
from nas.train.fused.group import train_together
from nas.train.fused.member import Member
from nas.train.fused.plan import FUSED, likeness
from nas.train.loop import Fitted, NotFinite, Patience, train
from nas.train.precision import use_bfloat16
from nas.train.resident import Resident
from search_spaces.mlp import MLP

FEATURES, CLASSES, SAMPLES = 12, 4, 110
SPACE = MLP((FEATURES,), CLASSES, None, max_depth=4, min_width=4, max_width=40)


def part(number: int, seed: int) -> Resident:
    x = torch.randn(number, FEATURES, generator=torch.Generator().manual_seed(seed))
    return Resident(x, x[:, :CLASSES].argmax(1))


DATA, VALIDATION = part(SAMPLES, 0), part(40, 1)


def recipe(rng: np.random.Generator, optimizers: Sequence[str], batch: int) -> Recipe:
    """Any that fusion supports, but for what a group shares."""
    pick: Any = rng.choice
    return Recipe(
        optimizer=str(pick(optimizers)),
        lr=float(pick([1e-3, 3e-3])),
        weight_decay=float(pick([0, 0.01])),
        l1=float(pick([0, 1e-4])),
        batch_size=batch,
        schedule=str(pick(["constant", "step", "multistep", "exponential", "cosine", "sgdr", "onecycle", "plateau"])),
        warmup=float(pick([0, 0.2])),
        label_smoothing=float(pick([0, 0.1])),
        initialisation=str(pick(["kaiming_normal", "xavier_uniform", "orthogonal"])),
        clip=float(pick([0, 0.3, 1])),
        precision="float32",
    )


def alone(member: Member, epochs: int) -> Fitted:
    stopping = member.stopping
    return train(
        member.architecture,
        member.recipe,
        DATA,
        VALIDATION,
        epochs=epochs,
        patience=stopping.patience,
        patience_from=stopping.patience_from,
        seed=member.seed,
        order=member.order,
        keep_last=member.keep_last,
    )


def together(members: Sequence[Member], epochs: int) -> list[Any]:
    fresh = [replace(m, stopping=Patience(m.stopping.patience, 0.0, m.stopping.patience_from)) for m in members]
    return in_order(train_together(fresh, DATA, VALIDATION, epochs=epochs))


def in_order(ended: Iterable[tuple[int, Any]]) -> list[Any]:
    return [found for _, found in sorted(ended, key=lambda pair: pair[0])]


def assert_same(one: Fitted, other: Fitted) -> None:
    assert len(one.curve) == len(other.curve)
    assert one.best_epoch == other.best_epoch
    for row, like in zip(one.curve, other.curve, strict=True):
        assert {name: row[name] for name in row if name != "seconds"} == pytest.approx(
            {name: like[name] for name in like if name != "seconds"}, rel=1e-3, abs=1e-5
        )
        assert row["train_loss"] == pytest.approx(like["train_loss"], abs=1e-5)
        assert (row["train_accuracy"], row["val_accuracy"]) == (like["train_accuracy"], like["val_accuracy"])
    for name, tensor in one.network.state_dict().items():
        assert torch.allclose(tensor, other.network.state_dict()[name], atol=1e-3), name


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    optimizers=st.sampled_from([FUSED, ("adamw", "nesterov"), *[(name,) for name in FUSED]]),
    members=st.integers(1, 8),
    batch=st.sampled_from([25, 32, 110]),
)
def test_a_member_of_a_group_gets_the_numbers_that_it_gets_alone(
    seed: int, optimizers: Sequence[str], members: int, batch: int
) -> None:
    rng = np.random.default_rng(seed)
    group = [
        Member(
            SPACE.sample(rng).architecture,
            recipe(rng, optimizers, batch),
            int(rng.integers(1000)),
            Patience(3, 0.0, int(rng.choice([2, 100]))),
            order=int(rng.integers(2)),
            keep_last=bool(rng.integers(2)),
        )
        for _ in range(members)
    ]
    epochs = 50 // -(-SAMPLES // batch)  # 50 steps
    for member, found in zip(group, together(group, epochs), strict=True):
        assert_same(found, alone(member, epochs))


def network(activation: str = "relu", norm: str = "batchnorm", width: int = 8) -> Architecture:
    net = Sketch((FEATURES,))
    x = net(activation, net(norm, net("linear", net.input, out=width, bias=norm != "batchnorm")))
    return net.done(net("linear", net.residual(net.input, x), out=CLASSES))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batchnorm", "layernorm"])
def test_every_activation_and_norm_is_trained_as_alone(activation: str, norm: str) -> None:
    member = Member(network(activation, norm), Recipe(batch_size=32, precision="float32"), 3, Patience(9))
    (found,) = together([member], 4)
    assert_same(found, alone(member, 4))


def test_the_order_of_a_group_is_of_no_account() -> None:
    rng = np.random.default_rng(5)
    group = [Member(SPACE.sample(rng).architecture, Recipe(batch_size=32), k, Patience(9)) for k in range(5)]
    for one, other in zip(together(group, 3), reversed(together(group[::-1], 3)), strict=True):
        assert_same(one, other)


def test_a_member_that_diverges_fails_alone() -> None:
    wild = Recipe(batch_size=32, lr=1e30, clip=0.0, schedule="constant", precision="float32")
    group = [
        Member(network(norm=norm), replace(wild, lr=lr), k, Patience(9))
        for k, (norm, lr) in enumerate([("none", 1e-3), ("none", 1e30), ("layernorm", 1e30), ("layernorm", 1e-3)])
    ]
    first, second, third, last = together(group, 6)
    assert isinstance(second, NotFinite)
    assert isinstance(third, NotFinite | Fitted)  # a LayerNorm may bear it
    assert "lr 1e+30" in str(second)
    assert_same(first, alone(group[0], 6))
    assert_same(last, alone(group[3], 6))


class Impatient(Watch):
    """Stops its training at the first step of its third epoch."""

    def __init__(self) -> None:
        self.epochs = 0

    def step(self) -> None:
        if self.epochs == 2:
            raise Stopped("stopped by hand in epoch 3")

    def epoch(self, row: Any) -> None:
        self.epochs += 1


def test_a_member_that_is_stopped_leaves_the_others_as_they_are() -> None:
    group = [Member(network(width=w), Recipe(batch_size=32), w, Patience(9)) for w in (6, 8, 10)]
    group[1].watch = Impatient()
    found = together(group, 6)
    assert isinstance(found[1], Stopped)
    for k in (0, 2):
        assert_same(found[k], alone(group[k], 6))


def test_without_the_kernel_that_has_a_private_name_adam_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member(network(), Recipe(batch_size=32), 1, Patience(9))
    (usual,) = together([member], 4)
    monkeypatch.setattr(descent.Adam, "KERNEL", "of no version of torch")
    (written,) = together([member], 4)
    assert_same(usual, written)


@pytest.mark.parametrize(("classes", "batch"), [(10, 128), (300, 128), (300, 256), (600, 32)])
def test_what_is_trained_in_bfloat16_alone_is_in_no_group(
    classes: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    net = Sketch((6,))
    architecture = net.done(net("linear", net("relu", net("linear", net.input, out=16)), out=classes))
    candidate = Candidate(architecture, Recipe(batch_size=batch), ())
    alone = use_bfloat16(Network(architecture), batch, torch.device("cpu"))
    assert (likeness(candidate) is None) == alone


def test_what_is_no_chain_of_dense_blocks_is_none() -> None:
    net = Sketch((FEATURES,))
    left, right = net("linear", net.input, out=8), net("linear", net.input, out=8)
    assert chain_of(net.done(net("linear", net("add", left, right), out=CLASSES))) is None
    assert chain_of(network()) is not None
    member = Member(net.done(net("linear", net("multiply", left, right), out=CLASSES)), Recipe(), 0, Patience(9))
    with pytest.raises(ValueError, match="train it alone"):
        together([member], 1)


def test_torchs_generator_is_left_as_it_was() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    together([Member(network(), Recipe(batch_size=32), 1, Patience(9))], 2)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("optimizers", [("adamw",), ("nesterov",), ("sgd",), ("adamw", "nesterov")])
def test_members_that_go_on_from_a_segment_are_those_of_a_training_without_a_break(
    optimizers: Sequence[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    group = [
        Member(SPACE.sample(rng).architecture, recipe(rng, optimizers, 32), k, Patience(9), order=k % 2)
        for k in range(4)
    ]

    def run(epochs: int, before: str | None, after: str | None) -> list[Any]:
        for k, member in enumerate(group):
            files = [None if name is None else tmp_path / f"{name}{k}" for name in (before, after)]
            member.segment = Segment(7, *files)
        return together(group, epochs)

    whole = run(7, None, None)
    run(2, None, "low")
    (tmp_path / "low3").write_bytes(b"torn")  # it begins anew, as a group of its own
    for k, (one, other) in enumerate(zip(whole, run(7, "low", None), strict=True)):
        assert other.before == (0 if k == 3 else 2)
        assert_same(one, other)


def test_a_member_that_patience_has_ended_hands_on_what_it_was_given(tmp_path: Path) -> None:
    member = Member(network(), Recipe(batch_size=32, lr=0.3), 1, Patience(1))
    for before, after in ((None, "low"), ("low", "middle"), ("middle", None)):
        member.segment = Segment(20, *[name and tmp_path / name for name in (before, after)])
        (fitted,) = together([member], 20)
        assert len(fitted.curve) < 20
        assert fitted.before == (0 if before is None else len(fitted.curve))


def test_where_pixels_are_the_same_in_a_batch_rounding_grows_no_further_than_a_ten_thousandth() -> None:
    """BatchNorm cancels the gradient of such a pixel's weights; what rounding leaves of it is not to become a step."""
    digits = Digits().load(0)
    data, validation = (
        Resident.of(part, digits, torch.device("cpu"), affine(digits)) for part in (digits.train, digits.validation)
    )
    space = MLP(digits.input_shape, 10, None, max_depth=3, min_width=16, max_width=40)
    space = space.on(narrowing=Narrowing({"norm": ("batchnorm",)}))
    made = Recipe("adamw", 3e-3, schedule="onecycle", precision="float32")
    drawn = [space.sample(np.random.default_rng(seed)).architecture for seed in range(8)]
    group = [Member(architecture, made, seed, Patience(3, 0.0, 100)) for seed, architecture in enumerate(drawn)]
    for fitted, member in zip(in_order(train_together(group, data, validation, epochs=6)), group, strict=True):
        order = {"seed": member.seed, "order": member.order}
        one = train(member.architecture, made, data, validation, epochs=6, patience=6, **order)
        assert not isinstance(fitted, Exception)
        losses, alike = ([row["val_loss"] for row in found.curve] for found in (fitted, one))
        assert losses == pytest.approx(alike, abs=3e-4)
