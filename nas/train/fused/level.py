"""One level of a stack: its tensors, and the calls on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nas.train.fused import activations
from nas.train.fused.norms import BatchNorm, LayerNorm

if TYPE_CHECKING:
    from nas.train.fused.stack import Buffers
    from nas.train.fused.tape import Tape


class Level:
    """The tensors of one level, and the calls on them."""

    def __init__(self, tape: Tape, level: int) -> None:
        self.tape, self.stack, self.level = tape, tape.stack, level
        self.rows = tape.stack.levels[level]
        self.blocks = [self.stack.block(member, level) for member in self.rows.members]
        self.z, self.n, self.a = (self._empty() for _ in range(3))
        self.norms: list[tuple[slice, BatchNorm | LayerNorm]] = []
        self._write_linear()
        self._write_norms()
        for activation, rows in self._runs([block.activation for block in self.blocks]):
            tape.forward_steps.append(activations.forward(str(activation), self.n[rows], self.a[rows]))
        self.dropped = self._write_dropout()
        tape.outputs.append({})
        for member in self.rows.members:
            tape.outputs[level][member] = self._skipped(member)

    def _empty(self) -> Tensor:
        return torch.empty((self.rows.number, self.tape.batch), device=self.stack.device)

    def _runs(self, labels: Sequence[object]) -> list[tuple[object, slice]]:
        return self.rows.runs(labels)

    def _pre(self, normed: str) -> Tensor:
        return self.z if normed else self.n

    def _write_linear(self) -> None:
        parameters = self.stack.parameters
        bias = parameters.biases[self.level]
        if self.level == 0:
            for label, rows in self._shared():
                own = bias[rows] if label[1] else None
                self.tape.linear(self.tape.xs[label[2]].t(), parameters.first[rows], self._pre(label[0])[rows], own)
        for member, block in zip(self.rows.members, self.blocks, strict=True):
            if self.level or self._dropped_input(member):
                rows, weight = self.rows.of_member(member), parameters.weights[self.level][member]
                x, own = self.tape.input_of(member, self.level), bias[rows] if block.bias else None
                self.tape.linear(x, weight, self._pre(block.normed)[rows], own)

    def _dropped_input(self, member: int) -> bool:
        return member in self.tape.inputs

    def _shared(self) -> list[tuple[tuple[str, bool, int], slice]]:
        """Rows of the first level whose members take the samples as they are: one product for all."""
        labels = [
            None if self._dropped_input(member) else (block.normed, block.bias, self.tape.orders[member])
            for member, block in zip(self.rows.members, self.blocks, strict=True)
        ]
        return [(label, rows) for label, rows in self._runs(labels) if isinstance(label, tuple)]

    def _write_norms(self) -> None:
        running = self.stack.means[self.level], self.stack.variances[self.level]
        for _, rows in self._runs([block.normed == "batchnorm" or None for block in self.blocks]):
            norm = BatchNorm(*self._normed(rows), *(statistic[rows] for statistic in running))
            self.norms.append((rows, norm))
            self.tape.forward_steps.append(norm.forward if self.tape.training else norm.evaluate)
        for member, block in zip(self.rows.members, self.blocks, strict=True):  # one by one: no NaN goes to others
            if block.normed == "layernorm":
                rows = self.rows.of_member(member)
                self.norms.append((rows, LayerNorm(*self._normed(rows))))
                self.tape.forward_steps.append(self.norms[-1][1].forward)

    def _normed(self, rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What normalisation of these rows takes: before it, normalised, after it, scale and shift."""
        z, parameters = self.z[rows], self.stack.parameters
        scale, shift = parameters.gammas[self.level][rows], parameters.betas[self.level][rows]
        return z, torch.empty_like(z), self.n[rows], scale, shift

    def _write_dropout(self) -> list[tuple[slice, Tensor, Tensor]]:
        """Rows, mask, and what is left of them."""
        found: list[tuple[slice, Tensor, Tensor]] = []
        if self.tape.masks is None:
            return found
        for _, rows in self._runs([bool(block.p) or None for block in self.blocks]):
            mask, left = self.tape.masks.levels[self.level][rows], torch.empty_like(self.a[rows])
            self.tape.forward_steps.append(partial(torch.mul, self.a[rows], mask, out=left))
            found.append((rows, mask, left))
        return found

    def _undropped(self, member: int) -> Tensor:
        """What dropout leaves of a member, d."""
        own = self.rows.of_member(member)
        for rows, _, left in self.dropped:
            if rows.start <= own.start < rows.stop:
                return left[own.start - rows.start : own.stop - rows.start]
        return self.a[own]

    def _skipped(self, member: int) -> Tensor:
        """What a member gives, h."""
        block, d = self.stack.block(member, self.level), self._undropped(member)
        if not block.skip:
            return d
        before, h = self.tape.input_of(member, self.level), torch.empty_like(d)
        if block.projection:
            projection = self.stack.parameters.projections[self.level][member]
            self.tape.forward_steps.append(partial(torch.addmm, d, projection, before, out=h))
        else:
            self.tape.forward_steps.append(partial(torch.add, d, before, out=h))
        return h

    @cached_property
    def g(self) -> Tensor:
        """The gradient of h of all members."""
        return self._empty()

    def write_backward(self, into: Buffers) -> None:
        """The gradient of the parameters from that of h, and that of h of the level before."""
        tape, q, g = self.tape, self._empty(), self.g
        s = self._empty() if self.dropped else g
        for rows, mask, _ in self.dropped:
            tape.backward_steps.append(partial(torch.mul, g[rows], mask, out=s[rows]))
        labels = [(block.activation, bool(block.p) and bool(self.dropped)) for block in self.blocks]
        for label, rows in self._runs(labels):
            assert isinstance(label, tuple)
            gradient = (s if label[1] else g)[rows]
            tape.backward_steps.append(activations.backward(label[0], gradient, self.n[rows], self.a[rows], q[rows]))
        for rows, norm in self.norms:
            gamma, beta = into.gammas[self.level][rows], into.betas[self.level][rows]
            tape.backward_steps.append(partial(norm.backward, q[rows], gamma, beta))
        self._write_weights(q, into)

    def _write_weights(self, q: Tensor, into: Buffers) -> None:
        tape, g = self.tape, self.g
        for label, rows in self._runs([(block.normed != "", block.bias or None) for block in self.blocks]):
            assert isinstance(label, tuple)
            if label[1]:
                tape.sum_rows((self.z if label[0] else q)[rows], into.biases[self.level][rows])
        if self.level == 0:
            for shared, rows in self._shared():
                slope = (self.z if shared[0] else q)[rows]
                tape.backward_steps.append(partial(torch.mm, slope, tape.xs[shared[2]], out=into.first[rows]))
        for member, block in zip(self.rows.members, self.blocks, strict=True):
            rows = self.rows.of_member(member)
            slope, x = (self.z if block.normed else q)[rows], tape.input_of(member, self.level)
            if self.level or self._dropped_input(member):
                tape.backward_steps.append(partial(torch.mm, slope, x.t(), out=into.weights[self.level][member]))
            if block.projection:
                tape.backward_steps.append(partial(torch.mm, g[rows], x.t(), out=into.projections[self.level][member]))
            if self.level:
                self._write_input(member, slope, g[rows])

    def _write_input(self, member: int, slope: Tensor, g: Tensor) -> None:
        """The gradient of h of the level before."""
        tape, block = self.tape, self.stack.block(member, self.level)
        before = self.stack.levels[self.level - 1].of_member(member)
        out, weight = tape.levels[self.level - 1].g[before], self.stack.parameters.weights[self.level][member]
        tape.backward_steps.append(partial(torch.mm, weight.t(), slope, out=out))
        if block.projection:
            projection = self.stack.parameters.projections[self.level][member]
            tape.backward_steps.append(partial(out.addmm_, projection.t(), g))
        elif block.skip:
            tape.backward_steps.append(partial(out.add_, g))
