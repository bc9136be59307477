"""Calls that a step makes for one member each: in turn on a CPU; as few as can be, and side by side, on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nas.train.fused.activations import Step
from nas.train.fused.graph import Aside

BATCHED: dict[Callable[..., Any], Callable[..., Any]] = {torch.mm: torch.bmm, torch.addmm: torch.baddbmm}


@dataclass(frozen=True)
class Call:
    """`kind`(*operands, out=out) on matrices; a `late` one takes what others of its kind of step have computed."""

    kind: Callable[..., Any]
    operands: tuple[Tensor, ...]
    out: Tensor
    late: bool = False

    @property
    def step(self) -> Step:
        return partial(self.kind, *self.operands, out=self.out)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return *self.operands, self.out


def linear(x: Tensor, weight: Tensor, out: Tensor, bias: Tensor | None) -> Call:
    """`out` = `weight` x + `bias`."""
    if bias is None:
        return Call(torch.mm, (weight, x), out)
    return Call(torch.addmm, (bias.unsqueeze(1), weight, x), out)


def written(calls: Sequence[Call], merge: bool) -> list[Step]:
    """The steps that make these calls, of which none writes what another one that is not late reads."""
    if not merge:
        return [call.step for call in calls]
    by_time = [[call for call in calls if call.late == late] for late in (False, True)]
    return [Aside([call.step for call in merged(some)]) for some in by_time if some]


def merged(calls: Sequence[Call]) -> list[Call]:
    """Fewer calls that do the same: those of one kind whose operands lie evenly spaced are one."""
    alike: dict[tuple[object, ...], list[Call]] = {}
    for call in calls:
        layout = [(tensor.shape, tensor.stride(), tensor.untyped_storage()._cdata) for tensor in call.tensors]
        alike.setdefault((call.kind, *layout), []).append(call)
    return [_one(run) for group in alike.values() for run in _runs(group)]


def _runs(calls: Sequence[Call]) -> list[list[Call]]:
    """Neighbours between whose operands the distances are the same."""
    runs = [[calls[0]]]
    for call in calls[1:]:
        run = runs[-1]
        if len(run) == 1 or _distances(run[-1], call) == _distances(run[0], run[1]):
            run.append(call)
        else:
            runs.append([call])
    return runs


def _distances(one: Call, other: Call) -> list[int]:
    return [int(b.storage_offset() - a.storage_offset()) for a, b in zip(one.tensors, other.tensors, strict=True)]


def _one(run: Sequence[Call]) -> Call:
    first = run[0]
    if len(run) == 1:
        return first
    *operands, out = (_stacked(tensors) for tensors in zip(*(call.tensors for call in run), strict=True))
    return Call(BATCHED.get(first.kind, first.kind), tuple(operands), out)


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Matrices of one shape, evenly spaced in one storage, as (number, rows, columns)."""
    first, distance = tensors[0], tensors[1].storage_offset() - tensors[0].storage_offset()
    return first.as_strided((len(tensors), *first.shape), (distance, *first.stride()), first.storage_offset())
