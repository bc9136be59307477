"""Trains a group of perceptrons as one: as `nas.train.loop.train` does with each alone, up to rounding."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from nas.train.augment import augmentation
from nas.train.fused import hashed
from nas.train.fused.descent import Descent
from nas.train.fused.graph import forget
from nas.train.fused.masks import masks_of
from nas.train.fused.member import Lane, Member
from nas.train.fused.plan import SPARED, bytes_of
from nas.train.fused.stack import Stack
from nas.train.fused.step import EvaluationStep, TrainingStep
from nas.train.fused.tape import Tape
from nas.train.loop import Fitted
from nas.train.resident import Resident, batches


def train_together(
    members: Sequence[Member], data: Resident, validation: Resident, *, epochs: int
) -> Iterator[tuple[int, Fitted | Exception]]:
    """Train for at most `epochs`: as each ends its position, and what came of it.

    A member that stops early or fails leaves the group, and the others do not notice. Members of segments that begin at
    different epochs are groups of their own.
    """
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own
        trainings = [Lane(member, data, validation, epochs) for member in members]
    for n, training in enumerate(trainings):
        if training.over:  # already: what follows is to see that too
            training.leave(training.begins, partial(dict, training.remembered or {}), training.order)
            yield n, training.finished()
    active = sorted((t for t in trainings if not t.over), key=lambda t: (t.fitted.before, t.likeness))
    for begun, alike in groupby(active, key=lambda t: t.fitted.before):
        for group in _fitting(list(alike), data.x.device):
            for training in Group(group, data, validation).run(begun, epochs):
                yield trainings.index(training), training.finished()


def _fitting(trainings: Sequence[Lane], device: torch.device) -> list[list[Lane]]:
    """Cut so that each part fits into what a GPU has free; whoever sends work to a CPU has seen to it."""
    if device.type == "cpu":
        return [list(trainings)]
    forget()
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    room = (torch.cuda.mem_get_info(device)[0] + held) // SPARED
    parts, size = list[list[Lane]](), room
    for training in trainings:
        own = bytes_of(training.member.architecture, training.batch, training.chain)
        if size + own > room:
            parts, size = [*parts, []], 0
        parts[-1].append(training)
        size += own
    return parts


class Group:
    """Trainings that have come as far, side by side."""

    @torch.inference_mode()  # spares every call some of its way to the kernel; nothing here outlives the group
    def __init__(self, trainings: Sequence[Lane], data: Resident, validation: Resident) -> None:
        self.active, self.data, self.validation, self.device = list(trainings), data, validation, data.x.device
        self.shape, self.batch = trainings[0].member.architecture.input_shape, trainings[0].batch
        self.order_of = {t.member.order: t.order for t in trainings}
        self._assemble()
        for place, training in zip(self.places, self.active, strict=True):
            torch._foreach_copy_(place, training.begins)
        if remembered := [training.remembered for training in self.active if training.remembered is not None]:
            self.descent.recall(remembered)

    def _assemble(self) -> None:
        members = [training.member for training in self.active]
        self.stack = Stack([training.chain for training in self.active], self.device)
        self.places = [self._place(place) for place in range(len(members))]
        self.descent = Descent(self.stack, [member.recipe for member in members])
        self.augment = augmentation(members[0].recipe, self.shape)
        self.smoothing = [member.recipe.label_smoothing for member in members]
        self.keys = torch.zeros(len(members), dtype=torch.int32, device=self.device)  # of dropout, where it is hashed
        self.totals, self.evaluated = (torch.zeros(n, len(members), device=self.device) for n in (4, 2))
        self.tapes: dict[int, Tape] = {}  # of each size of batch
        self.steps: dict[tuple[int, bool], TrainingStep] = {}  # and whether it is the last of an epoch
        self.evaluations: dict[int, EvaluationStep] = {}
        if self.stack.ways.recorded:
            forget()
        distinct = list(dict.fromkeys(member.order for member in members))
        self.order_of = {order: self.order_of[order] for order in distinct}
        self.orders = [distinct.index(member.order) for member in members]

    def _place(self, place: int) -> list[Tensor]:
        """Weights and running statistics of one that is active."""
        return self.stack.of_member(self.stack.parameters, place) + self.stack.statistics_of(place)

    @torch.inference_mode()
    def run(self, begun: int, epochs: int) -> Iterator[Lane]:
        """Those that have ended, as they do."""
        for epoch in range(begun + 1, epochs + 1):
            start = time.perf_counter()
            rates = self.train()
            self.evaluate()
            rows = self._measured(rates)
            seconds = round((time.perf_counter() - start) / len(self.active), 4)
            left = []
            for place, (training, row) in enumerate(zip(self.active, rows, strict=True)):
                ended = training.ended({"epoch": epoch, **row, "seconds": seconds})
                if not training.failure and training.fitted.note(epoch, training.member.keep_last):
                    torch._foreach_copy_(training.held, self.places[place])
                if ended or epoch == epochs:
                    order = self.order_of[training.member.order]
                    training.leave(self.places[place], partial(self.descent.state_of, place), order)
                    yield training
                left += [] if ended else [place]
            if not left:
                return
            if len(left) < len(self.active) and epoch < epochs:
                self._go_on(left)

    def _go_on(self, left: Sequence[int]) -> None:
        """With those at these places."""
        weights = [[view.clone() for view in self.places[place]] for place in left]
        remembered = [self.descent.state_of(place) for place in left]
        self.active = [self.active[place] for place in left]
        self._assemble()
        for place, views in zip(self.places, weights, strict=True):
            torch._foreach_copy_(place, views)
        self.descent.recall(remembered)

    def train(self) -> list[float]:
        """One pass over the training data, at which a GPU may still be; the learning rates that it began with."""
        orders = [order.permutation(len(self.data)) for order in self.order_of.values()]
        cut = batches(torch.stack(orders, 1).to(self.device), self.batch)
        turning, rates = self._turning(len(cut))
        self.totals.zero_()
        for number, rows in enumerate(cut, start=1):
            for now, table in turning:
                now.copy_(table[number - 1])
            self._step(len(rows), number == len(cut))(rows.t())
            for training in self.active:
                training.step()
        self.taken, self.seen = len(cut), sum(map(len, cut))
        return rates

    def _turning(self, steps: int) -> tuple[list[tuple[Tensor, Tensor]], list[float]]:
        """What changes from step to step and a row for each of these, on the device; the first learning rates."""
        seeds, taken = [t.member.seed for t in self.active], [t.schedule.taken for t in self.active]
        rates = []
        for _ in range(steps):
            rates.append([t.schedule.lr for t in self.active])
            for training in self.active:
                training.schedule.step()
        found = [(self.descent.rates, torch.tensor(rates, device=self.device))]
        if self.stack.ways.hashed:
            found.append((self.keys, torch.from_numpy(hashed.keys(seeds, taken, steps)).to(self.device)))
        return found, rates[0]

    def _step(self, batch: int, last: bool) -> TrainingStep:
        if batch not in self.tapes:
            seeds, streams = [t.member.seed for t in self.active], [t.bits for t in self.active]
            masks = masks_of(self.stack, batch, streams, seeds, self.keys)
            self.tapes[batch] = Tape(self.stack, batch, self.orders, self.descent.gradients, masks)
        if (batch, last) not in self.steps:
            told = self.data, self.shape, self.totals, self.descent, last
            chances = [order.chance for order in self.order_of.values()]
            self.steps[batch, last] = TrainingStep(self.tapes[batch], self.smoothing, *told, self.augment, chances)
        return self.steps[batch, last]

    def evaluate(self) -> None:
        """One pass over the validation data, at which a GPU may still be."""
        widest = max(self.stack.features, *(rows.number for rows in self.stack.levels))
        everything = torch.arange(len(self.validation), device=self.device)
        self.evaluated.zero_()
        for rows in torch.split(everything, max(1, self.stack.ways.evaluated // widest)):
            if len(rows) not in self.evaluations:
                tape = Tape(self.stack, len(rows), [0] * len(self.active))
                told = self.validation, self.shape, self.evaluated
                self.evaluations[len(rows)] = EvaluationStep(tape, self.smoothing, *told)
            self.evaluations[len(rows)](rows.unsqueeze(0))

    def _measured(self, rates: Sequence[float]) -> list[dict[str, float]]:
        """What the curves say of an epoch that began with these learning rates; waits for the device."""
        steps, seen, number = self.taken, self.seen, len(self.validation)
        totals = torch.cat((self.totals, self.evaluated)).t().tolist()
        return [
            {"train_loss": loss / seen, "train_accuracy": hits / seen,
             "lr": lr, "grad_norm": norm / steps, "update_ratio": ratio,
             "val_loss": val_loss / number, "val_accuracy": val_hits / number}
            for lr, (loss, hits, norm, ratio, val_loss, val_hits) in zip(rates, totals, strict=True)
        ]  # fmt: skip
