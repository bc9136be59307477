"""The calls of one step for a stack and a batch size: written down once, with every tensor that they touch.

Notation, of a level: z the linear layers' outputs, n what the activation takes (z normalised, or z itself), a what it
gives, d after dropout, h after the skip; g, q, z in turn the gradients of h, n and z. All are (features, batch).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from nas.train.fused.activations import Step
from nas.train.fused.calls import Call, linear, written
from nas.train.fused.level import Level
from nas.train.fused.masks import Masks
from nas.train.fused.stack import Buffers, Stack


class Tape:
    """Forward, and where there is a place for `gradients` backward, of all members on batches of `batch` samples.

    Put the samples into `xs`, one (batch, features) for each order of samples, of which `orders` says each member's;
    `forward` leaves `logits` (members, classes, batch), with the dropout of `masks`. With the gradient of the logits in
    `slope`, `backward` leaves that of the parameters in `gradients`.
    """

    def __init__(
        self,
        stack: Stack,
        batch: int,
        orders: Sequence[int],
        gradients: Buffers | None = None,
        masks: Masks | None = None,
    ) -> None:
        self.stack, self.batch, self.gradients, self.masks = stack, batch, gradients, masks
        self.forward_steps: list[Step] = []
        self.backward_steps: list[Step] = []
        self.orders = orders
        self.xs = [torch.empty(batch, stack.features, device=stack.device) for _ in range(max(orders) + 1)]
        self.logits = torch.empty(len(stack.chains), stack.classes, batch, device=stack.device)
        self.slope = torch.empty_like(self.logits)
        self.ones = torch.ones(batch, device=stack.device)
        self.forward_steps += masks.steps if masks is not None else []
        self.inputs = self._inputs()
        self.outputs: list[dict[int, Tensor]] = []  # h of each member, level by level
        self.levels: list[Level] = []
        for level in range(len(stack.levels)):
            self.levels.append(Level(self, level))
        heads, biases = stack.parameters.heads, stack.parameters.head_biases
        self.write([linear(self._last(k), heads[k], self.logits[k], biases[k]) for k in range(len(stack.chains))])
        if gradients is not None:
            self._write_backward(gradients)
        self.levels = []  # what they had to write is written; they know the tape, and only collection would free both

    @property
    def training(self) -> bool:
        return self.gradients is not None

    def forward(self) -> Tensor:
        for step in self.forward_steps:
            step()
        return self.logits

    def backward(self) -> None:
        for step in self.backward_steps:
            step()

    def _inputs(self) -> dict[int, Tensor]:
        """Of members that drop some of their input, what is left of it, (features, batch)."""
        found: dict[int, Tensor] = {}
        if self.masks is None:
            return found
        for (member, layer), rows in self.masks.at.items():
            if layer == 0:
                x, mask = self.xs[self.orders[member]].t(), self.masks.mask[rows]
                found[member] = torch.empty_like(mask)
                self.forward_steps.append(partial(torch.mul, x, mask, out=found[member]))
        return found

    def input_of(self, member: int, level: int) -> Tensor:
        """What a member's layer at this level takes, (features, batch)."""
        if level:
            return self.outputs[level - 1][member]
        return self.inputs.get(member, self.xs[self.orders[member]].t())

    def _last(self, member: int) -> Tensor:
        return self.input_of(member, len(self.stack.chains[member].blocks))

    def write(self, calls: Sequence[Call], backward: bool = False) -> None:
        """Write down what is done for one member each."""
        steps = self.backward_steps if backward else self.forward_steps
        steps += written(calls, self.stack.ways.merged)

    def _write_backward(self, into: Buffers) -> None:
        calls = []
        for member, chain in enumerate(self.stack.chains):
            slope, level = self.slope[member], self.levels[len(chain.blocks) - 1]
            calls.append(Call(torch.mm, (slope, self._last(member).t()), into.heads[member]))
            weight, g = self.stack.parameters.heads[member], level.g[level.rows.of_member(member)]
            calls.append(Call(torch.mm, (weight.t(), slope), g))
        self.write(calls, backward=True)
        self.sum_rows(self.slope.flatten(0, 1), into.head_biases.view(-1))
        for level in reversed(self.levels):
            level.write_backward(into)

    def sum_rows(self, x: Tensor, out: Tensor) -> None:
        """Write down the sum of each row, as a product: torch's own sum is slower on a CPU."""
        self.backward_steps.append(partial(torch.mv, x, self.ones, out=out))
