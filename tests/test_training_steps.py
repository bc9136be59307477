"""One step of every optimizer against arithmetic by hand: what moves, how far, and what the curve says of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.functional import cross_entropy

from nas.architecture import Architecture, Sketch
from nas.network import Network
from nas.recipe import OPTIMIZERS, Recipe
from nas.train.initialise import initialise
from nas.train.loop import Fitted, train
from nas.train.optim import make_optimizer
from nas.train.resident import Resident
from nas.train.step import MEASURED, RADIUS, AdamThenSGD, Forward, Sharpness, make_descent
from nas.train.weights import weight_matrices

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
X = torch.randn(40, 6, generator=Generator().manual_seed(0))
Y = torch.randint(3, (40,), generator=Generator().manual_seed(1))
PLAIN: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.0, "schedule": "constant", "clip": 0.0, "lr": 0.1}


def architecture(norm: str = "none") -> Architecture:
    sketch = Sketch((6,))
    x = sketch("tanh", sketch(norm, sketch("linear", sketch.input, out=8)))
    return sketch.done(sketch("linear", x, out=3))


def network(norm: str = "none", seed: int = 0) -> Network:
    made = Network(architecture(norm))
    initialise(made, "kaiming_normal", Generator().manual_seed(seed))
    return made.train()


def forward(made: nn.Module) -> Forward:
    def once() -> tuple[Tensor, Tensor]:
        logits = made(X)
        return cross_entropy(logits, Y), (logits.argmax(1) == Y).sum()

    return once


def weights(made: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in made.parameters()]


def gradient(made: nn.Module, at: list[Tensor]) -> list[Tensor]:
    """Of the loss at other weights, without leaving a trace."""
    named = dict(zip((name for name, _ in made.named_parameters()), at, strict=True))
    at = [w.requires_grad_() for w in at]
    state = {name: buffer.clone() for name, buffer in made.named_buffers()}
    found = torch.autograd.grad(cross_entropy(torch.func.functional_call(made, {**named, **state}, X), Y), at)
    for w in at:
        w.requires_grad_(False)
    return list(found)


def size(tensors: list[Tensor]) -> float:
    return sum(t.square().sum().item() for t in tensors) ** 0.5


def once(**changed: Any) -> Fitted:
    """One epoch of one step."""
    part = Resident(X, Y)
    recipe = Recipe(**{**PLAIN, "batch_size": 40, **changed})
    return train(architecture(), recipe, part, part, epochs=1, patience=1, seed=0)


@pytest.mark.parametrize("norm", ["none", "batchnorm", "layernorm"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_spares_biases_and_normalisation(optimizer: str, norm: str) -> None:
    made = network(norm)
    groups = make_optimizer(made, Recipe(optimizer=optimizer, weight_decay=0.01)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    matrices = {id(layer.weight) for layer in made.modules() if isinstance(layer, nn.Linear)}
    assert {id(p) for p in made.parameters()} == set(decay)
    assert all(decay[id(p)] == (0.01 if id(p) in matrices else 0.0) for p in made.parameters())


def test_the_weights_of_a_layernorm_on_images_are_no_matrices() -> None:
    sketch = Sketch((2, 4, 4))
    x = sketch("layernorm", sketch("depthwise", sketch.input, kernel=3))
    made = Network(sketch.done(sketch("linear", sketch("flatten", x), out=3)))
    shapes = [tuple(p.shape) for p in weight_matrices(made)]
    assert shapes == [(2, 1, 3, 3), (3, 32)]
    assert max(p.ndim for m in made.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()) == 3


def test_an_unknown_optimizer_is_refused_with_the_word() -> None:
    with pytest.raises(ValueError, match=r"optimizer must be one of adamw, .* got 'lion'"):
        make_optimizer(network(), Recipe(optimizer="lion"))


@pytest.mark.parametrize(("optimizer", "momentum", "ahead"), [("sgd", 0.8, 0.0), ("nesterov", 0.8, 0.8), ("sgd", 0, 0)])
def test_sgd_has_plain_momentum_and_nesterov_looks_ahead(optimizer: str, momentum: float, ahead: float) -> None:
    made = network()
    descent = make_descent(made, Recipe(**{**PLAIN, "optimizer": optimizer, "momentum": momentum}), 2)
    velocity = [torch.zeros_like(p) for p in made.parameters()]
    wanted = weights(made)
    for _ in range(2):
        g = gradient(made, weights(made))
        velocity = [momentum * v + d for v, d in zip(velocity, g, strict=True)]
        step = [d + ahead * v if ahead else v for v, d in zip(velocity, g, strict=True)]
        wanted = [w - 0.1 * s for w, s in zip(wanted, step, strict=True)]
        descent.step(forward(made))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(weights(made), wanted, strict=True))


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_sam_is_the_gradient_at_the_top_of_the_neighbourhood(norm: str) -> None:
    made, plain = network(norm), network(norm)
    w = weights(made)
    g = gradient(made, w)
    above = gradient(made, [a + RADIUS * b / size(g) for a, b in zip(w, g, strict=True)])  # equations 2 and 3
    descent = make_descent(made, Recipe(**{**PLAIN, "optimizer": "sam", "momentum": 0.9}), 5)
    loss, _, norm_above = descent.step(forward(made))
    for before, gradient_above, after in zip(w, above, weights(made), strict=True):
        assert torch.allclose(after, before - 0.1 * 1.9 * gradient_above, atol=1e-6)  # Nesterov's first step
    assert norm_above.item() == pytest.approx(size(above), rel=1e-5)
    assert size([a - b for a, b in zip(g, above, strict=True)]) > 1e-3  # the two passes are not one
    assert loss.item() == cross_entropy(plain(X), Y).item()  # the loss is that of the first pass ...
    for a, b in zip(made.buffers(), plain.buffers(), strict=True):
        assert torch.equal(a, b)  # ... and so are the running statistics
    assert isinstance(descent, Sharpness)


def test_adam_hands_over_to_sgd_half_way_with_steps_as_long() -> None:
    made = network()
    descent = make_descent(made, Recipe(optimizer="adam-sgd", lr=1e-2, schedule="constant", clip=0.0), 60)
    assert isinstance(descent, AdamThenSGD)
    along = down = 0.0
    for step in range(30):
        assert isinstance(descent.optimizer, torch.optim.Adam)
        before, g = weights(made), gradient(made, weights(made))
        descent.step(forward(made))
        moved = [a - b for a, b in zip(weights(made), before, strict=True)]
        if step >= 30 - MEASURED:
            along += size(moved) ** 2
            down += sum(abs((a * b).sum().item()) for a, b in zip(moved, g, strict=True))
    assert isinstance(descent.optimizer, torch.optim.SGD)
    assert descent.schedule.lr == pytest.approx(0.1 * along / down, rel=1e-3)
    before, g = weights(made), gradient(made, weights(made))
    loss = descent.step(forward(made))[0]
    for old, d, new in zip(before, g, weights(made), strict=True):
        assert torch.allclose(new, old - descent.schedule.lr * d, atol=1e-6)
    for _ in range(29):
        last = descent.step(forward(made))[0]
    assert last < loss


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_survive_the_hand_over(steps: int) -> None:
    made = network()
    descent = make_descent(made, Recipe(optimizer="adam-sgd"), steps)
    for _ in range(steps):
        descent.step(forward(made))
    assert isinstance(descent.optimizer, torch.optim.SGD) is (steps > 1)
    assert all(p.isfinite().all() for p in made.parameters())


def test_l1_pulls_weight_matrices_alone_towards_zero() -> None:
    made, pulled = network("batchnorm"), network("batchnorm")
    before = weights(made)
    make_descent(made, Recipe(**PLAIN), 1).step(forward(made))
    make_descent(pulled, Recipe(**PLAIN, l1=0.01), 1).step(forward(pulled))
    for w, a, b in zip(before, weights(made), weights(pulled), strict=True):
        wanted = a - 0.1 * 0.01 * w.sign() if w.ndim > 1 else a
        assert torch.allclose(b, wanted, atol=1e-7)


@pytest.mark.parametrize(("clip", "share"), [(0.0, 1.0), (1e9, 1.0), (0.05, None)])
def test_a_gradient_is_cut_to_its_largest_norm(clip: float, share: float | None) -> None:
    made = network()
    before, g = weights(made), gradient(made, weights(made))
    norm = make_descent(made, Recipe(**{**PLAIN, "clip": clip}), 1).step(forward(made))[2]
    assert norm.item() == pytest.approx(size(g), rel=1e-5)  # before clipping
    moved = size([a - b for a, b in zip(weights(made), before, strict=True)])
    assert moved == pytest.approx(0.1 * (size(g) if share else clip), rel=1e-4)
    assert size(g) > 0.05


def test_a_row_measures_gradient_and_update_by_hand() -> None:
    made = network()
    g, w = gradient(made, weights(made)), weights(made)
    fitted = once()
    assert fitted.best["grad_norm"] == pytest.approx(size(g), rel=1e-5)
    assert fitted.best["update_ratio"] == pytest.approx(0.1 * size(g) / size(w), rel=1e-4)
    assert fitted.best["train_loss"] == pytest.approx(cross_entropy(made(X), Y).item(), rel=1e-5)
    assert fitted.best["train_accuracy"] == pytest.approx((made(X).argmax(1) == Y).float().mean().item())
    assert fitted.best["lr"] == 0.1


def test_label_smoothing_is_of_the_training_loss_alone() -> None:
    made, fitted = network(), once(label_smoothing=0.3)
    assert fitted.best["train_loss"] == pytest.approx(cross_entropy(made(X), Y, label_smoothing=0.3).item(), rel=1e-5)
    assert fitted.best["val_loss"] == pytest.approx(cross_entropy(fitted.network(X), Y).item(), rel=1e-5)


def test_mixup_blends_samples_and_labels_of_the_training_alone() -> None:
    plain, mixed = once(lr=1e-9), once(lr=1e-9, mixup=1.0)
    assert mixed.best["val_loss"] == pytest.approx(plain.best["val_loss"], rel=1e-5)
    assert mixed.best["train_loss"] != pytest.approx(plain.best["train_loss"], rel=1e-3)
    hits = mixed.best["train_accuracy"] * len(Y)
    assert 0 < hits < len(Y)
    assert abs(hits - round(hits)) > 1e-3  # shares of labels are hit


@pytest.mark.parametrize("optimizer", ["sgd", "sam"])
def test_a_step_whose_gradient_overflows_is_left_out_and_the_next_are_taken(optimizer: str) -> None:
    made = network("batchnorm")
    before = weights(made)
    recipe = Recipe(**{**PLAIN, "optimizer": optimizer, "clip": 1.0})
    descent = make_descent(made, recipe, 9, GradScaler("cpu", init_scale=3e38, backoff_factor=1e-4))
    large = forward(made)
    norms = [descent.step(lambda: (large()[0] * 1e4, large()[1]))[2].item()]
    assert all(torch.equal(a, b) for a, b in zip(before, weights(made), strict=True))
    norms += [descent.step(forward(made))[2].item() for _ in range(3)]
    assert norms[0] == 0
    assert 0 < norms[-1] < 10
    assert all(tensor.isfinite().all() for tensor in made.state_dict().values())
    assert not any(torch.equal(a, b) for a, b in zip(before[-2:], weights(made)[-2:], strict=True))


def test_momentum_is_that_of_the_recipe() -> None:
    for optimizer in ("sgd", "nesterov", "sam", "rmsprop"):
        made = make_optimizer(network(), Recipe(optimizer=optimizer, momentum=0.3))
        assert {group["momentum"] for group in made.param_groups} == {0.3}


def test_a_step_that_overflowed_does_not_spoil_the_rate_that_adam_hands_over() -> None:
    made = network()
    descent = make_descent(made, Recipe(optimizer="adam-sgd", lr=1e-2, schedule="constant"), 20)
    assert isinstance(descent, AdamThenSGD)
    for _ in range(9):
        descent.step(forward(made))
    for p in descent.parameters:
        p.grad = torch.full_like(p, math.inf)
    descent.optimizer.step = lambda: None  # type: ignore[method-assign]  # a scaler leaves such a step out
    descent.move()
    assert math.isfinite(descent.down)
    descent._hand_over()
    assert descent.schedule.lr != 1e-2
