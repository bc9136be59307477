"""One level of a stack: its tensors, and the calls on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nas.train.fused import activations
from nas.train.fused.activations import Step
from nas.train.fused.calls import Call, linear
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
        self.z, self.n = (self._empty() for _ in range(2))
        in_place = all(activations.GRADIENTS[block.activation].keeps_output for block in self.blocks)
        self.a = self.n if in_place else self._empty()  # so nothing reads `n` after the activation but its gradient
        self.h = self._empty() if any(block.skip for block in self.blocks) else self.a
        self.batch_norms: list[tuple[slice, BatchNorm]] = []
        self.layer_norms: list[tuple[slice, LayerNorm]] = []
        self._write_linear()
        self._write_norms()
        for activation, rows in self._runs([block.activation for block in self.blocks]):
            tape.forward_steps.append(activations.forward(str(activation), self.n[rows], self.a[rows]))
        self.dropped = self._write_dropout()
        tape.outputs.append({member: self._given(member) for member in self.rows.members})
        self._write_skips()

    def _empty(self) -> Tensor:
        return torch.empty((self.rows.number, self.tape.batch), device=self.stack.device)

    def _runs(self, labels: Sequence[object]) -> list[tuple[object, slice]]:
        return self.rows.runs(labels)

    def _pre(self, normed: str) -> Tensor:
        return self.z if normed else self.n

    def _write_linear(self) -> None:
        parameters, calls = self.stack.parameters, []
        bias = parameters.biases[self.level]
        if self.level == 0:
            for label, rows in self._shared():
                own, x = bias[rows] if label[1] else None, self.tape.xs[label[2]].t()
                calls.append(linear(x, parameters.first[rows], self._pre(label[0])[rows], own))
        for member, block in zip(self.rows.members, self.blocks, strict=True):
            if self.level or self._dropped_input(member):
                rows, weight = self.rows.of_member(member), parameters.weights[self.level][member]
                x, own = self.tape.input_of(member, self.level), bias[rows] if block.bias else None
                calls.append(linear(x, weight, self._pre(block.normed)[rows], own))
        self.tape.write(calls)

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
            self.batch_norms.append((rows, norm))
            self.tape.forward_steps.append(norm.forward if self.tape.training else norm.evaluate)
        for _, rows in self._runs([block.normed == "layernorm" or None for block in self.blocks]):
            bounds = [at for at in self.rows.at if rows.start <= at <= rows.stop]
            layer_norm = LayerNorm(*self._normed(rows), [b - a for a, b in pairwise(bounds)])
            self.layer_norms.append((rows, layer_norm))
            self.tape.forward_steps.append(layer_norm.forward)

    def _normed(self, rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What normalisation of these rows takes: before it, normalised, after it, scale and shift."""
        z, parameters = self.z[rows], self.stack.parameters
        scale, shift = parameters.gammas[self.level][rows], parameters.betas[self.level][rows]
        return z, torch.empty_like(z), self.n[rows], scale, shift

    def _write_dropout(self) -> list[tuple[slice, Tensor, Tensor]]:
        """Rows, mask, and what is left of them."""
        found: list[tuple[slice, Tensor, Tensor]] = []
        masks = self.tape.masks
        if masks is None:
            return found
        for _, rows in self._runs([bool(block.p) or None for block in self.blocks]):
            start = masks.at[self.rows.members[self.rows.at.index(rows.start)], self.level + 1].start
            mask, left = masks.mask[start : start + rows.stop - rows.start], torch.empty_like(self.a[rows])
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

    def _given(self, member: int) -> Tensor:
        """What a member gives, h."""
        skips = self.stack.block(member, self.level).skip
        return self.h[self.rows.of_member(member)] if skips else self._undropped(member)

    def _write_skips(self) -> None:
        calls = []
        for member, block in zip(self.rows.members, self.blocks, strict=True):
            d, h = self._undropped(member), self._given(member)
            if block.skip:
                before = self.tape.input_of(member, self.level)
                projection = self.stack.parameters.projections[self.level].get(member)
                with_it = () if projection is None else (projection,)
                calls.append(Call(torch.addmm if with_it else torch.add, (d, *with_it, before), h))
        self.tape.write(calls)

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
        tape.backward_steps += self._normed_backward([*self.batch_norms, *self.layer_norms], q, into)
        self._write_weights(q, into)

    def _normed_backward(
        self, norms: Sequence[tuple[slice, BatchNorm | LayerNorm]], q: Tensor, into: Buffers
    ) -> list[Step]:
        gammas, betas = into.gammas[self.level], into.betas[self.level]
        return [partial(norm.backward, q[rows], gammas[rows], betas[rows]) for rows, norm in norms]

    def _write_weights(self, q: Tensor, into: Buffers) -> None:
        tape, g = self.tape, self.g
        for label, rows in self._runs([(block.normed != "", block.bias or None) for block in self.blocks]):
            assert isinstance(label, tuple)
            if label[1]:
                tape.sum_rows((self.z if label[0] else q)[rows], into.biases[self.level][rows])
        calls = []
        if self.level == 0:
            for shared, rows in self._shared():
                calls.append(Call(torch.mm, ((self.z if shared[0] else q)[rows], tape.xs[shared[2]]), into.first[rows]))
        for member, block in zip(self.rows.members, self.blocks, strict=True):
            rows = self.rows.of_member(member)
            slope, x = (self.z if block.normed else q)[rows], tape.input_of(member, self.level)
            if self.level or self._dropped_input(member):
                calls.append(Call(torch.mm, (slope, x.t()), into.weights[self.level][member]))
            if block.projection:
                calls.append(Call(torch.mm, (g[rows], x.t()), into.projections[self.level][member]))
            if self.level:
                calls += self._to_input(member, slope, g[rows])
        tape.write(calls, backward=True)

    def _to_input(self, member: int, slope: Tensor, g: Tensor) -> list[Call]:
        """The gradient of h of the level before."""
        tape, block = self.tape, self.stack.block(member, self.level)
        before = self.stack.levels[self.level - 1].of_member(member)
        out, weight = tape.levels[self.level - 1].g[before], self.stack.parameters.weights[self.level][member]
        calls = [Call(torch.mm, (weight.t(), slope), out)]
        if block.projection:
            projection = self.stack.parameters.projections[self.level][member]
            calls.append(Call(torch.addmm, (out, projection.t(), g), out, late=True))
        elif block.skip:
            calls.append(Call(torch.add, (out, g), out, late=True))
        return calls
