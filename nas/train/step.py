"""One step of the weights: gradient, clipping, L1, optimizer, learning rate; SAM and Adam-then-SGD as they differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_, get_total_norm

from nas.recipe import Recipe
from nas.train.optim import make_optimizer
from nas.train.schedule import Schedule
from nas.train.weights import weight_matrices

RADIUS = 0.05  # SAM's rho
MEASURED = 20  # Adam's last steps, from which the learning rate of the SGD after it is read

Forward = Callable[[], tuple[Tensor, Tensor]]  # -> the loss of the batch, and its number of hits


class Descent:
    """Moves a network's weights, batch by batch, over `steps` steps. On another device than the CPU nothing waits."""

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, scaler: GradScaler | None = None) -> None:
        self.network, self.recipe = network, recipe
        self.optimizer = make_optimizer(network, recipe)
        self.schedule = Schedule(recipe, steps)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.matrices = weight_matrices(network)
        self.scaler = scaler or GradScaler("cpu", enabled=False)

    def step(self, forward: Forward) -> tuple[Tensor, Tensor, Tensor]:
        """One step down the loss of a batch: that loss, the hits, and the norm of the gradient before clipping."""
        loss, hits = self.gradient(forward)
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.parameters, self.recipe.clip or math.inf)
        if self.recipe.l1:  # after clipping, as weight decay is
            for p in self.matrices:
                if p.grad is not None:  # a layer that is held for its parameters has none
                    p.grad.add_(p.detach().sign(), alpha=self.recipe.l1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.lr
        self.move()
        self.schedule.step()
        if self.scaler.is_enabled():  # a gradient that overflowed is infinite, and its step is left out
            norm = norm.nan_to_num(0.0, 0.0, 0.0)
        return loss.detach(), hits, norm

    def gradient(self, forward: Forward) -> tuple[Tensor, Tensor]:
        """Put the gradient of a batch into the parameters; its loss and its hits."""
        self.optimizer.zero_grad()
        loss, hits = forward()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss, hits

    def move(self) -> None:
        """Move the weights along the gradient that is in them."""
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def updated(self, forward: Forward) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """A `step`, and the norm of what it added to the weights over the norm of the weights before."""
        before = [p.detach().clone() for p in self.parameters]
        taken = self.step(forward)
        change = get_total_norm([p.detach() - old for p, old in zip(self.parameters, before, strict=True)])
        return taken, change / get_total_norm(before).clamp(min=1e-12)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` of a new one, of the same network, needs to take the same steps from here."""
        states = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        return {**states, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.schedule.load_state_dict(state["schedule"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled():  # one that is not has no state, and takes none
            self.scaler.load_state_dict(state["scaler"])


class Sharpness(Descent):
    """Sharpness-aware minimisation on top of Nesterov SGD (SAM, arXiv 2010.01412), algorithm 1 with p = 2."""

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, scaler: GradScaler | None = None) -> None:
        super().__init__(network, recipe, steps, scaler)
        self.norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]

    def gradient(self, forward: Forward) -> tuple[Tensor, Tensor]:
        loss, hits = super().gradient(forward)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        weights = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            stretch = RADIUS / (get_total_norm(gradients) + 1e-12)  # a scaler's factor cancels
            for p in self.parameters:
                if p.grad is not None:
                    step = p.grad * stretch  # (2): e(w) = rho * g / |g|
                    p.add_(step.nan_to_num_(0.0, 0.0, 0.0) if self.scaler.is_enabled() else step)
        with self._statistics_as_they_are():
            super().gradient(forward)  # (3): the gradient at w + e(w) ...
        with torch.no_grad():
            for p, weight in zip(self.parameters, weights, strict=True):
                p.copy_(weight)  # ... is that of the step from w
        return loss, hits

    @contextmanager
    def _statistics_as_they_are(self) -> Iterator[None]:
        """The running statistics belong to the weights w: those of w + e(w) are passed over."""
        momenta = [norm.momentum for norm in self.norms]
        counted = [norm.num_batches_tracked for norm in self.norms]
        for norm in self.norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
        for norm, momentum, count in zip(self.norms, momenta, counted, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class AdamThenSGD(Descent):
    """Adam for the first half of the steps, then SGD with momentum (SWATS, arXiv 1712.07628).

    The paper waits until its estimate of SGD's learning rate stands still, which short trainings may not live to see:
    here the switch is fixed, half way. The estimate is the paper's, |p|^2 / |p.g| of steps p and gradients g
    (section 3), both summed over the tensors and the last steps of Adam, times 1 - momentum for what momentum adds up
    to. The schedule goes on from there.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, scaler: GradScaler | None = None) -> None:
        super().__init__(network, recipe, steps, scaler)
        self.switch = steps // 2
        self.along, self.down = (torch.zeros((), device=self.parameters[0].device) for _ in range(2))

    def move(self) -> None:
        left = self.switch - self.schedule.taken  # steps of Adam, this one too
        if not 0 < left <= MEASURED:
            return super().move()
        before = [p.detach().clone() for p in self.parameters]
        super().move()
        for p, old in zip(self.parameters, before, strict=True):
            if p.grad is not None:
                step = p.detach() - old
                self.along += step.square().sum()
                self.down += (step * p.grad).nan_to_num(0.0, 0.0, 0.0).sum().abs()  # a step left out overflowed
        if left == 1:
            self._hand_over()
        return None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "along": self.along, "down": self.down}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state["schedule"]["taken"] >= self.switch > 0:
            self.optimizer = make_optimizer(self.network, self.recipe, "sgd")
        super().load_state_dict(state)
        self.along.copy_(state["along"])
        self.down.copy_(state["down"])

    def _hand_over(self) -> None:
        rate = float(self.along / self.down) * (1 - self.recipe.momentum)
        self.optimizer = make_optimizer(self.network, self.recipe, "sgd")
        if math.isfinite(rate) and self.schedule.lr > 0:
            self.schedule.peak *= rate / self.schedule.lr


def make_descent(network: nn.Module, recipe: Recipe, steps: int, scaler: GradScaler | None = None) -> Descent:
    """How the recipe's optimizer moves the weights."""
    kind = {"sam": Sharpness, "adam-sgd": AdamThenSGD}.get(recipe.optimizer, Descent)
    return kind(network, recipe, steps, scaler)
