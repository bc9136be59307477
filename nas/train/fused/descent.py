"""One step of the weights of all members: clipping, L1, weight decay, optimizer, a learning rate each.

Every optimizer here moves the weights by its learning rate times something that does not depend on it. So one of
torch's own, with a rate of 1, runs over the flat buffer of gradients and gives that something for all members at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

from nas.recipe import Recipe
from nas.train.fused.stack import Buffers, Stack
from nas.train.optim import EPSILON
from nas.train.schedule import Schedule


class Adam:
    """Adam (arXiv 1412.6980, algorithm 1) with a learning rate of 1.

    It calls the kernel of `torch.optim.Adam(fused=True)`, whose own bookkeeping takes as long as all else in a small
    step. That kernel has a private name: where a version of torch does not have it, the formula is written out.
    """

    FIRST, SECOND = 0.9, 0.999
    KERNEL = "_fused_adam_"

    def __init__(self, moved: list[nn.Parameter]) -> None:
        (self.moved,) = moved
        self.state: dict[nn.Parameter, dict[str, Any]] = {self.moved: {}}
        self.kernel = getattr(torch, self.KERNEL, None)

    @torch.no_grad()
    def step(self) -> None:
        moved, gradient, state = self.moved, self.moved.grad, self.state[self.moved]
        assert gradient is not None
        if not state:
            state |= {name: torch.zeros_like(moved) for name in ("exp_avg", "exp_avg_sq")}
            state["step"] = torch.zeros(())
        state["step"] += 1
        first, second = state["exp_avg"], state["exp_avg_sq"]
        if self.kernel is not None:
            options = {"beta1": self.FIRST, "beta2": self.SECOND, "eps": EPSILON, "weight_decay": 0.0}
            flags = {"amsgrad": False, "maximize": False}
            self.kernel([moved], [gradient], [first], [second], [], [state["step"]], lr=1.0, **options, **flags)
            return
        taken = float(state["step"])
        first.lerp_(gradient, 1 - self.FIRST)  # m_t
        second.mul_(self.SECOND).addcmul_(gradient, gradient, value=1 - self.SECOND)  # v_t
        spread = (second / (1 - self.SECOND**taken)).sqrt_().add_(EPSILON)
        moved.addcdiv_(first, spread, value=-1 / (1 - self.FIRST**taken))  # - m^_t / (sqrt(v^_t) + eps)


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], float], Adam | optim.Optimizer]] = {
    "adamw": lambda moved, _: Adam(moved),
    "adam": lambda moved, _: Adam(moved),
    "sgd": lambda moved, momentum: optim.SGD(moved, lr=1.0, momentum=momentum, fused=True),
    "nesterov": lambda moved, momentum: optim.SGD(moved, lr=1.0, momentum=momentum, nesterov=momentum > 0, fused=True),
}


class Descent:
    """Moves the parameters of a stack along `gradients`; all recipes are of one `nas.train.fused.plan.family`."""

    def __init__(self, stack: Stack, recipes: Sequence[Recipe], schedules: Sequence[Schedule]) -> None:
        self.stack, self.recipes, self.schedules = stack, recipes, schedules
        self.gradients = stack.buffers()
        self.moved = nn.Parameter(torch.zeros_like(stack.parameters.flat))
        self.moved.grad = self.gradients.flat
        self.optimizer = OPTIMIZERS[recipes[0].optimizer]([self.moved], recipes[0].momentum)
        self.moves = stack.buffers(self.moved.data)
        self._clips = torch.tensor([recipe.clip or math.inf for recipe in recipes], device=stack.device)
        adamw = [recipe.optimizer == "adamw" for recipe in recipes]
        self._decoupled = [recipe.weight_decay * own for recipe, own in zip(recipes, adamw, strict=True)]
        self._coupled = [recipe.weight_decay * (not own) for recipe, own in zip(recipes, adamw, strict=True)]

    def step(self) -> Tensor:
        """Take it; the norm of each member's gradient before clipping, (members,)."""
        norms = self._moving()
        self.stack.parameters.flat.add_(self.moved.data)
        return norms

    def updated(self) -> tuple[Tensor, Tensor]:
        """A `step`, and the norm of what it added to the weights over the norm of the weights before."""
        norms = self._moving()
        change = self._norms(self.moves) / self._norms(self.stack.parameters).clamp(min=1e-12)
        self.stack.parameters.flat.add_(self.moved.data)
        return norms, change

    def _moving(self) -> Tensor:
        """Put what is to be added to the parameters into `moved`; the norms of the gradients."""
        norms = self._norms(self.gradients)
        self._scale(self.gradients, (self._clips / (norms + 1e-6)).clamp_(max=1.0))  # as clip_grad_norm_ does
        with torch.no_grad():
            self._penalise()
            self.moved.zero_()
            self.optimizer.step()
            self._add(self.moves, [-decay for decay in self._decoupled], self.stack.parameters)
            self._scale(self.moves, torch.tensor([schedule.lr for schedule in self.schedules]))
        for schedule in self.schedules:
            schedule.step()
        return norms

    def _penalise(self) -> None:
        """Add the gradients of L1 and of coupled weight decay, on weight matrices alone."""
        if any(recipe.l1 for recipe in self.recipes):
            signs = self.stack.buffers(self.stack.parameters.flat.sign())
            self._add(self.gradients, [recipe.l1 for recipe in self.recipes], signs)
        self._add(self.gradients, self._coupled, self.stack.parameters)

    def _add(self, to: Buffers, factors: Sequence[float], others: Buffers) -> None:
        """To each member's matrices those of others, times its factor."""
        if any(factors):
            rows = torch.tensor(factors, device=to.flat.device).index_select(0, self.stack.first_owner)
            to.first.addcmul_(others.first, rows.unsqueeze(1))
            for mine, other, factor in zip(to.rest, others.rest, factors, strict=True):
                if factor:
                    mine.add_(other, alpha=factor)

    def _norms(self, of: Buffers) -> Tensor:
        """Of each member's parameters together, (members,)."""
        squares = torch.stack(torch._foreach_norm(of.rest)).square_()
        squares.index_add_(0, self.stack.first_owner, of.first.square().sum(1))
        return squares.index_add_(0, self.stack.vector_owner, of.vectors.square()).sqrt_()

    def _scale(self, these: Buffers, factors: Tensor) -> None:
        """Multiply each member's parameters by its factor."""
        each, factors = factors.tolist(), factors.to(these.flat.device)
        if len(set(each)) == 1:
            if each[0] != 1.0:
                these.flat.mul_(each[0])
            return
        these.first.mul_(factors.index_select(0, self.stack.first_owner).unsqueeze(1))
        these.vectors.mul_(factors.index_select(0, self.stack.vector_owner))
        for rest, factor in zip(these.rest, each, strict=True):
            if factor != 1.0:
                rest.mul_(factor)

    def state_of(self, member: int) -> dict[str, Any]:
        """What the optimizer remembers of a member: copies, in the order of `Stack.of_member`, and plain values."""
        found: dict[str, Any] = {}
        for name, value in self.optimizer.state[self.moved].items():
            whole = torch.is_tensor(value) and value.numel() == self.moved.numel() > 1
            views = self.stack.of_member(self.stack.buffers(value), member) if whole else []
            found[name] = (
                [view.clone() for view in views] if whole else value.clone() if torch.is_tensor(value) else value
            )
        return found

    def recall(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on from what was remembered of each member; all have taken as many steps."""
        for name, value in states[0].items():
            like = isinstance(value, list)
            self.optimizer.state[self.moved][name] = torch.zeros_like(self.moved.data) if like else value
        for member, state in enumerate(states):
            for name, views in state.items():
                if isinstance(views, list):
                    whole = self.stack.buffers(self.optimizer.state[self.moved][name])
                    torch._foreach_copy_(self.stack.of_member(whole, member), views)
