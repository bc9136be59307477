"""What networks share: the same slices of the same tensors, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nas.architecture import Architecture, Sketch
from nas.budget import Budget
from nas.network import Network
from nas.oneshot.lesson import Lesson
from nas.oneshot.teaching import Teaching
from nas.oneshot.weights import SharedWeights, parameters
from nas.recipe import SCHEDULES, Recipe
from nas.space import SearchSpace
from nas.train.dropout import Bits
from nas.train.optim import make_optimizer
from nas.train.resident import Resident
from search_spaces.cell import Cells
from search_spaces.cnn import CNN
from search_spaces.mlp import MLP
from search_spaces.nasbench201 import NASBench201

CPU = torch.device("cpu")
SPACES = [
    MLP((1, 8, 8), 10, Budget(50_000)),
    MLP((28,), 11, Budget(200_000)).on(contexts=(0, 5, 10)),
    Cells((3, 16, 16), 10, Budget(60_000), nodes=3),
    CNN((3, 16, 16), 10, Budget(60_000)),
    NASBench201((3, 8, 8), 10, cells=1, channels=4),
]


def perceptron(*widths: int, inputs: int = 6, norm: str = "none", skip: bool = False) -> Architecture:
    net = Sketch((inputs,))
    x = net.input
    for i, width in enumerate(widths):
        y = net("relu", net(norm, net("linear", x, out=width)))
        x = net.residual(x, y) if skip and i else y
    return net.done(net("linear", x, out=3))


def weights(*architectures: Architecture) -> SharedWeights:
    shared = SharedWeights({}, "kaiming_normal", 0, CPU)
    shared.hold([(network, parameters(network)) for network in map(Network, architectures)])
    return shared


def names(architecture: Architecture) -> set[str]:
    return {piece.name for p in parameters(Network(architecture)) for piece in p.pieces}


def taught(**changed: object) -> Teaching:
    recipe = Recipe(batch_size=20, optimizer="sgd", lr=0.1, **changed)  # type: ignore[arg-type]  # fields of it
    lesson = Lesson((perceptron(8), perceptron(4, 8)), recipe, 1, 2, 2, Path("nowhere"), Path("nowhere"))
    teaching = Teaching(lesson, samples(), {})
    teaching.go(2)
    return teaching


def test_l1_draws_shared_matrices_to_zero_and_leaves_biases_out_of_it() -> None:
    plain, drawn = taught(), taught(l1=0.1)
    matrices = [name for name, tensor in plain.weights.tensors.items() if tensor.ndim > 1]
    sizes = [sum(float(t.weights.tensors[name].abs().sum()) for name in matrices) for t in (plain, drawn)]
    assert sizes[1] < 0.95 * sizes[0]


@pytest.mark.parametrize("schedule", sorted(set(SCHEDULES) - {"plateau"}))
def test_few_steps_tell_what_an_epoch_takes_whatever_the_schedule(schedule: str) -> None:
    lesson = Lesson((perceptron(8),), Recipe(batch_size=20, schedule=schedule), 1, 1, 1, Path("no"), Path("no"))
    assert Teaching(lesson, samples(), {}).seconds() > 0


def samples(shape: tuple[int, ...] = (6,), classes: int = 3, n: int = 60) -> Resident:
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, *shape)).astype(np.float32)
    x.reshape(n, -1)[np.arange(n), y] += 2
    return Resident(torch.from_numpy(x), torch.from_numpy(y))


def teaching(
    folder: Path, *pool: Architecture, recipe: Recipe | None = None, epochs: int = 3, data: Resident | None = None
) -> Teaching:
    recipe = recipe or Recipe(batch_size=20, schedule="constant")
    lesson = Lesson(pool, recipe, 0, epochs, epochs, folder / "state.pt", folder / "after.safetensors")
    return Teaching(lesson, data or samples(), {})


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_parameters_of_a_network_are_slices_of_distinct_tensors(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    networks = [Network(space.sample(rng).architecture) for _ in range(12)]
    shared = SharedWeights({}, "kaiming_normal", 0, CPU)
    shared.hold([(network, parameters(network)) for network in networks])
    for network in networks:
        made = parameters(network)
        pieces = Counter(piece.name for p in made for piece in p.pieces)
        assert set(pieces.values()) == {1}
        slices = shared.slices(made)
        assert {name: p.shape for name, p in slices.items()} == {n: p.shape for n, p in network.named_parameters()}
    largest = sum(tensor.numel() for tensor in shared.tensors.values())
    assert largest < sum(p.numel() for network in networks for p in network.parameters())


def test_two_networks_have_what_the_smaller_has_in_common() -> None:
    shared = weights(perceptron(8, 4), perceptron(5, 7))
    one, other = (shared.network(perceptron(*widths)).state_dict() for widths in ((8, 4), (5, 7)))
    middle = [
        next(v for k, v in state.items() if v.shape == shape) for state, shape in ((one, (4, 8)), (other, (7, 5)))
    ]
    assert torch.equal(middle[0][:, :5], middle[1][:4])


def test_the_network_that_is_widest_everywhere_has_the_shared_tensors_as_they_are() -> None:
    widest = perceptron(9, 9)
    shared = weights(perceptron(4, 9), widest, perceptron(9, 2))
    network = shared.network(widest)
    for p in parameters(network):
        assert torch.equal(network.get_parameter(p.name), shared.tensors[p.pieces[0].name])
    assert sum(p.numel() for p in network.parameters()) == sum(t.numel() for t in shared.tensors.values())


def test_a_step_of_one_network_moves_another_in_the_common_slice_alone(tmp_path: Path) -> None:
    narrow, wide = perceptron(4, 6), perceptron(8, 8)
    taught = teaching(tmp_path, narrow, wide)
    before, said = copied(taught.weights.tensors), taught.weights.network(wide)(taught.data.x)
    for _ in range(3):  # moments too must not leak
        taught._step(taught.pupils[0], torch.arange(20), Bits(0))
    after = taught.weights.tensors
    slices = {piece.name: piece for p in taught.pupils[0].made for piece in p.pieces}
    for name, tensor in after.items():
        moved = tensor != before[name]
        if name in slices:
            assert moved.any()
            slices[name].cut(moved).fill_(False)
        assert not moved.any()
    assert not torch.allclose(taught.weights.network(wide)(taught.data.x), said)


def test_heads_kernels_and_norms_are_places_of_their_own() -> None:
    deep, shallow = names(perceptron(4, 4)), names(perceptron(4))
    assert deep & shallow == {"linear.weight", "linear.bias"}
    assert names(perceptron(4, norm="layernorm")) - shallow == {"linear/layernorm.weight", "linear/layernorm.bias"}

    def convolved(kernel: int) -> Architecture:
        net = Sketch((1, 4, 4))
        with net.scope("part"):
            x = net("batchnorm", net("conv", net.input, out=4, kernel=kernel))
            x = net("conv", x, out=4, kernel=1)
        return net.done(net("linear", net("flatten", x), out=2))

    assert not {name for name in names(convolved(3)) & names(convolved(5)) if name.startswith("part")}


def test_a_projection_takes_no_name_of_the_layers_beside_it() -> None:
    equal, projected = (names(perceptron(*widths, skip=True)) for widths in ((4, 4, 4), (4, 6, 4)))
    assert equal < projected


def test_windows_of_frames_have_their_middle_in_common() -> None:
    def window(context: int) -> Architecture:
        net = Sketch((2 * context + 1, 2))
        return net.done(net("linear", net("flatten", net.input), out=3))

    shared = weights(window(3), window(1))
    wide, narrow = (next(shared.network(window(c)).parameters()) for c in (3, 1))
    assert torch.equal(narrow, wide[:, 4:10])


def test_channels_that_are_concatenated_keep_their_weights_whoever_stands_beside_them() -> None:
    def joined(*wanted: int, out: int = 4) -> Architecture:
        net = Sketch((1, 4, 4))
        ends = []
        for i in (1, 2, 3):
            with net.scope(f"branch{i}"):
                ends.append(net("conv", net.input, out=out, kernel=1))
        kept = [ends[i - 1] for i in wanted]
        x = net("concat", *kept, ordered=False) if len(kept) > 1 else kept[0]
        return net.done(net("linear", net("flatten", net("globalpool", x)), out=2))

    shared = weights(joined(1, 2, 3), joined(1, 3, out=2))
    whole, part = (dict(shared.network(a).named_parameters()) for a in (joined(1, 2, 3), joined(1, 3, out=2)))
    (head,), (cut,) = ([p for p in found.values() if p.ndim == 2] for found in (whole, part))
    assert torch.equal(cut, torch.cat((head[:, 0:2], head[:, 8:10]), 1))


def test_room_for_wider_networks_keeps_the_weights_that_are_there() -> None:
    shared = weights(perceptron(4, 4))
    before = copied(shared.tensors)
    wide = Network(perceptron(7, 9))
    shared.hold([(wide, parameters(wide))])
    for name, tensor in before.items():
        now = shared.tensors[name]
        assert torch.equal(now[tuple(slice(size) for size in tensor.shape)], tensor)


def test_a_network_that_no_lesson_has_seen_leaves_the_weights_as_they_are() -> None:
    shared = weights(perceptron(4, 4))
    before = copied(shared.tensors)
    first = shared.network(perceptron(9, 9, 9)).state_dict()
    shared.network(perceptron(12, 5))
    again = shared.network(perceptron(9, 9, 9)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert shared.tensors.keys() == before.keys()
    assert all(torch.equal(shared.tensors[name], before[name]) for name in before)


def test_what_narrow_networks_share_with_wide_ones_is_not_too_large_for_these() -> None:
    narrow, wide = perceptron(*[4] * 10), perceptron(*[128] * 10)
    assert float(weights(narrow, wide).network(wide)(samples().x).detach().std()) < 10


OPTIMIZERS = ("adamw", "adam", "sgd", "nesterov", "rmsprop", "adagrad")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_pool_of_one_network_is_trained_as_that_network_is_alone(tmp_path: Path, optimizer: str) -> None:
    architecture = perceptron(5, 7, norm="layernorm")  # before batchnorm the gradient of a bias is but rounding
    recipe = Recipe(optimizer, 0.01, weight_decay=0.05, batch_size=20, schedule="constant", label_smoothing=0.1)
    taught = teaching(tmp_path, architecture, recipe=recipe)
    alone = taught.weights.network(architecture).train()
    rule = make_optimizer(alone, recipe)
    for start in range(0, 60, 20):
        rows = torch.arange(start, start + 20)
        taught._step(taught.pupils[0], rows, Bits(0))
        rule.zero_grad()
        cross_entropy(alone(taught.data.x[rows]), taught.data.y[rows], label_smoothing=0.1).backward()
        torch.nn.utils.clip_grad_norm_(alone.parameters(), recipe.clip)
        rule.step()
    shared = taught.weights.network(architecture)
    for (name, mine), theirs in zip(shared.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5, msg=name)


def test_lessons_in_parts_come_to_what_one_comes_to(tmp_path: Path) -> None:
    pool = tuple(perceptron(*widths, norm="batchnorm") for widths in ((4,), (8, 4), (6, 6, 6)))
    recipe = Recipe(batch_size=20, schedule="onecycle", mixup=0.2)
    whole = teaching(tmp_path, *pool, recipe=recipe, epochs=5)
    whole.go(5)
    data = samples()
    for until in (1, 2, 4, 5):  # as if each were a process of its own
        lesson = replace(whole.lesson, until=until)
        part = Teaching.begun(lesson, data)
        part.go(until)
        part.leave()
    assert part.weights.tensors.keys() == whole.weights.tensors.keys()
    assert all(torch.equal(part.weights.tensors[name], whole.weights.tensors[name]) for name in whole.weights.tensors)
    assert [untimed(row) for row in part.curve] == [untimed(row) for row in whole.curve]
    assert whole.curve[-1]["train_loss"] < whole.curve[0]["train_loss"]


def test_a_state_of_another_pool_is_not_gone_on_from(tmp_path: Path) -> None:
    first = teaching(tmp_path, perceptron(4), epochs=2)
    first.go(1)
    first.leave()
    assert len(Teaching.begun(first.lesson, samples()).curve) == 1
    assert not Teaching.begun(replace(first.lesson, pool=(perceptron(5),)), samples()).curve
    (tmp_path / "state.pt").write_bytes(b"damaged")
    assert not Teaching.begun(first.lesson, samples()).curve


def test_shared_weights_of_images_are_trained(tmp_path: Path) -> None:
    space = CNN((1, 8, 8), 3, Budget(8_000), max_stages=2, max_blocks=1)
    rng = np.random.default_rng(1)
    pool = [space.sample(rng).architecture for _ in range(4)]
    recipe = Recipe("nesterov", 0.1, batch_size=20, flip=True, shift=1)
    taught = teaching(tmp_path, *pool, recipe=recipe, epochs=4, data=samples((1, 8, 8)))
    taught.go(4)
    assert taught.curve[-1]["train_loss"] < taught.curve[0]["train_loss"]


def test_weights_that_do_not_fit_the_memory_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.oneshot.teaching.free_memory", lambda: 1000)
    with pytest.raises(ValueError, match="narrow the space"):
        teaching(tmp_path, perceptron(64, 64))


def untimed(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "seconds"}
