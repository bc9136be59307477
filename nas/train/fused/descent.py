"""One step of the weights of all members: clipping, L1, weight decay, optimizer, a learning rate each.

Every optimizer here moves the weights by its learning rate times something that does not depend on it. So one kernel
with a rate of 1 runs over the flat buffer of gradients and gives that something for all members at once. Where some
members have Adam and others momentum, both run over all, which costs less than two groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any

import torch
from torch import Tensor

from nas.recipe import Recipe
from nas.train.fused.activations import Step
from nas.train.fused.stack import Buffers, Stack
from nas.train.optim import EPSILON

State = dict[str, Tensor]


class Adam:
    """Adam (arXiv 1412.6980, algorithm 1) with a learning rate of 1: what it would move weights of zero to.

    It calls the kernel of `torch.optim.Adam(fused=True)`, whose own bookkeeping takes as long as all else in a small
    step. That kernel has a private name: where a version of torch does not have it, the formula is written out.
    """

    FIRST, SECOND = 0.9, 0.999
    KERNEL = "_fused_adam_"

    def __init__(self, moved: Tensor, gradient: Tensor) -> None:
        self.moved, self.gradient = moved, gradient
        self.state: State = {name: torch.zeros_like(moved) for name in ("exp_avg", "exp_avg_sq")}
        self.state["step"] = torch.zeros((), device=moved.device)
        self.fused = self._written() if hasattr(torch, self.KERNEL) else None

    def _written(self) -> Step:
        """The kernel's call."""
        first, second, taken = self.state.values()
        call = partial(getattr(torch, self.KERNEL), [self.moved], [self.gradient], [first], [second], [], [taken])
        options = {"beta1": self.FIRST, "beta2": self.SECOND, "eps": EPSILON, "weight_decay": 0.0}
        return partial(call, lr=1.0, **options, amsgrad=False, maximize=False)

    def step(self) -> None:
        first, second, taken = self.state.values()
        taken.add_(1)
        self.moved.zero_()
        if self.fused is not None:
            self.fused()
            return
        first.lerp_(self.gradient, 1 - self.FIRST)  # m_t
        second.mul_(self.SECOND).addcmul_(self.gradient, self.gradient, value=1 - self.SECOND)  # v_t
        spread = (second / (1 - self.SECOND**taken)).sqrt_().add_(EPSILON)
        self.moved.sub_(first / (1 - self.FIRST**taken) / spread)  # m^_t / (sqrt(v^_t) + eps)


class Momentum:
    """SGD with momentum, Nesterov's or not, with a learning rate of 1: what it would move weights of zero to."""

    KERNEL = "_fused_sgd_"

    def __init__(self, moved: Tensor, gradient: Tensor, momentum: float, nesterov: bool) -> None:
        self.moved, self.gradient, self.kernel = moved, gradient, getattr(torch, self.KERNEL, None)
        self.momentum, self.nesterov = momentum, nesterov and momentum > 0
        self.state: State = {"momentum_buffer": torch.zeros_like(moved)} if momentum else {}

    def step(self) -> None:
        buffers = list(self.state.values())
        if self.kernel is not None:
            self.moved.zero_()
            options = {"momentum": self.momentum, "nesterov": self.nesterov, "dampening": 0.0, "weight_decay": 0.0}
            flags = {"maximize": False, "is_first_step": False}
            self.kernel([self.moved], [self.gradient], buffers, lr=1.0, **options, **flags)
            return
        for buffer in buffers:
            buffer.mul_(self.momentum).add_(self.gradient)
        straight = self.nesterov or not buffers
        torch.neg(self.gradient if straight else buffers[0], out=self.moved)
        if self.nesterov:
            self.moved.sub_(buffers[0], alpha=self.momentum)


def kind_of(recipe: Recipe) -> tuple[str, float]:
    """What the recipes of one optimizer share: its name and its momentum."""
    return ("adam", 0.0) if recipe.optimizer in ("adamw", "adam") else (recipe.optimizer, recipe.momentum)


def made(kind: tuple[str, float], moved: Tensor, gradient: Tensor) -> Adam | Momentum:
    name, momentum = kind
    return Adam(moved, gradient) if name == "adam" else Momentum(moved, gradient, momentum, name == "nesterov")


class Descent:
    """Moves the parameters of a stack along `gradients`, with an optimizer for each kind that the recipes have.

    Each runs over the gradients of all members, and where there are several a member takes what its own has found.
    `rates`, (members,), are the learning rates of the step to come.
    """

    def __init__(self, stack: Stack, recipes: Sequence[Recipe]) -> None:
        self.stack = stack
        self.gradients, self.moves = stack.buffers(), stack.buffers()
        self.rates = torch.zeros(len(recipes), device=stack.device)
        kinds = [kind_of(recipe) for recipe in recipes]
        first, *others = dict.fromkeys(kinds)
        self.optimizers = {first: made(first, self.moves.flat, self.gradients.flat)}
        self._others: list[tuple[Buffers, list[Tensor]]] = []  # what another has found, and the rows that take it
        for kind in others:
            found, members = stack.buffers(), torch.tensor([own == kind for own in kinds], device=stack.device)
            self.optimizers[kind] = made(kind, found.flat, self.gradients.flat)
            self._others.append((found, stack.each(members)))
        self._own = [self.optimizers[kind] for kind in kinds]  # of each member
        self._clips = self._each([recipe.clip or inf for recipe in recipes], inf)
        self._l1 = self._rows([recipe.l1 for recipe in recipes])
        self._decoupled = self._rows([-r.weight_decay if r.optimizer == "adamw" else 0.0 for r in recipes])
        self._coupled = self._rows([0.0 if r.optimizer == "adamw" else r.weight_decay for r in recipes])

    def _each(self, numbers: Sequence[float], none: float = 0.0) -> Tensor | None:
        """A number of each member; None where it is `none` for all."""
        if all(number == none for number in numbers):
            return None
        return torch.tensor(numbers, device=self.stack.device)

    def _rows(self, factors: Sequence[float]) -> list[Tensor]:
        """Factors of each row of the sheets; an empty list where all are zero."""
        found = self._each(factors)
        return [] if found is None else self.stack.each(found)

    def step(self) -> Tensor:
        """Take it; the norm of each member's gradient before clipping, (members,)."""
        norms = self._moving()
        self._move()
        return norms

    def updated(self) -> tuple[Tensor, Tensor]:
        """A `step`, and the norm of what it added to the weights over the norm of the weights before."""
        norms = self._moving()
        change = self.stack.norms(self.moves) * self.rates / self.stack.norms(self.stack.parameters).clamp(min=1e-12)
        self._move()
        return norms, change

    def _moving(self) -> Tensor:
        """Put what a rate of 1 would add to the parameters into `moves`; the norms of the gradients."""
        norms = self.stack.norms(self.gradients)
        if self._clips is not None:
            self._clip((self._clips / (norms + 1e-6)).clamp_(max=1.0))  # as clip_grad_norm_ does
        if self._l1:  # on weight matrices alone, as decay is
            signs = self.stack.buffers(self.stack.parameters.flat.sign())
            _add(self.gradients, self._l1, signs)
        _add(self.gradients, self._coupled, self.stack.parameters)
        for optimizer in self.optimizers.values():
            optimizer.step()
        for found, rows in self._others:
            for sheet, other, takes in zip(self.moves.sheets, found.sheets, rows, strict=True):
                torch.where(takes, other, sheet, out=sheet)
        _add(self.moves, self._decoupled, self.stack.parameters)
        return norms

    def _clip(self, factors: Tensor) -> None:
        if not self.stack.ways.asks or bool((factors != 1).any()):
            for sheet, rows in zip(self.gradients.sheets, self.stack.each(factors), strict=True):
                sheet.mul_(rows)

    def _move(self) -> None:
        rates = self.stack.each(self.rates)
        for sheet, move, rows in zip(self.stack.parameters.sheets, self.moves.sheets, rates, strict=True):
            sheet.addcmul_(move, rows)

    def state_of(self, member: int) -> dict[str, Any]:
        """What its optimizer remembers of a member: copies, in the order of `Stack.of_member`, and plain values."""
        found: dict[str, Any] = {}
        for name, value in self._own[member].state.items():
            views = self.stack.of_member(self.stack.buffers(value), member) if value.ndim else []
            found[name] = [view.clone() for view in views] if value.ndim else value.clone()
        return found

    def recall(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on from what was remembered of each member; all have taken as many steps."""
        for optimizer in self.optimizers.values():
            members = [member for member, own in enumerate(self._own) if own is optimizer]
            for name, value in optimizer.state.items():
                if not value.ndim:
                    value.copy_(states[members[0]][name])
                    continue
                whole = self.stack.buffers(value)
                for member in members:
                    torch._foreach_copy_(self.stack.of_member(whole, member), states[member][name])


def _add(to: Buffers, factors: Sequence[Tensor], others: Buffers) -> None:
    """To the matrices of each member those of others, times its factor."""
    for sheet, other, rows in zip(to.matrices, others.matrices, factors, strict=False):
        sheet.addcmul_(other, rows)
