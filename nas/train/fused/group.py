"""Trains a group of perceptrons as one: as `nas.train.loop.train` does with each alone, up to rounding."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from nas.train.fused.descent import Descent
from nas.train.fused.loss import Loss
from nas.train.fused.member import Member, Training
from nas.train.fused.stack import Stack, parameters_of, statistics_of
from nas.train.fused.tape import Tape
from nas.train.loop import Fitted
from nas.train.resident import Resident, batches

EVALUATED = 1 << 19  # elements of the samples, or of a level of all members, in a forward pass of an evaluation


def train_together(
    members: Sequence[Member], data: Resident, validation: Resident, *, epochs: int
) -> Iterator[tuple[int, Fitted | Exception]]:
    """Train for at most `epochs`: as each ends its position, and what came of it.

    A member that stops early or fails leaves the group, and the others do not notice. Members of segments that begin at
    different epochs are groups of their own.
    """
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own
        trainings = [Training(member, data, validation, epochs) for member in members]
    yield from ((n, training.finished()) for n, training in enumerate(trainings) if training.over)
    active = sorted((t for t in trainings if not t.over), key=lambda t: (t.fitted.before, t.likeness))
    for begun, group in groupby(active, key=lambda t: t.fitted.before):
        for training in Group(list(group), data, validation).run(begun, epochs):
            yield trainings.index(training), training.finished()


class Group:
    """Trainings that have come as far, side by side."""

    def __init__(self, trainings: Sequence[Training], data: Resident, validation: Resident) -> None:
        self.active, self.data, self.validation, self.device = list(trainings), data, validation, data.x.device
        self.shape, self.batch = trainings[0].member.architecture.input_shape, trainings[0].batch
        self.generators = {t.member.order: t.generator for t in trainings}
        self._assemble()
        for place, training in enumerate(self.active):
            torch._foreach_copy_(self._place(place), training.begins)
        if remembered := [training.remembered for training in self.active if training.remembered is not None]:
            self.descent.recall(remembered)

    def _assemble(self) -> None:
        self.stack = Stack([training.chain for training in self.active], self.device)
        recipes = [training.member.recipe for training in self.active]
        self.descent = Descent(self.stack, recipes, [training.schedule for training in self.active])
        self.tapes: dict[tuple[int, bool], tuple[Tape, Loss]] = {}
        self.smoothing = [recipe.label_smoothing for recipe in recipes]
        distinct = list(dict.fromkeys(training.member.order for training in self.active))
        self.generators = {order: self.generators[order] for order in distinct}
        self.orders = [distinct.index(training.member.order) for training in self.active]

    def _place(self, place: int) -> list[Tensor]:
        """Weights and running statistics of one that is active."""
        return self.stack.of_member(self.stack.parameters, place) + self.stack.statistics_of(place)

    def run(self, begun: int, epochs: int) -> Iterator[Training]:
        """Those that have ended, as they do."""
        for epoch in range(begun + 1, epochs + 1):
            start = time.perf_counter()
            passed, evaluated = self._pass(), self._evaluate()
            seconds = round((time.perf_counter() - start) / len(self.active), 4)
            left = []
            for place, training in enumerate(self.active):
                ended = training.ended({"epoch": epoch, **passed[place], **evaluated[place], "seconds": seconds})
                if not training.failure and training.fitted.note(epoch, training.member.keep_last):
                    self._keep(place, training)
                if ended or epoch == epochs:
                    generator = self.generators[training.member.order]
                    training.leave(self._place(place), self.descent.state_of(place), generator)
                    yield training
                left += [] if ended else [place]
            if not left:
                return
            if len(left) < len(self.active) and epoch < epochs:
                self._go_on(left)

    def _keep(self, place: int, training: Training) -> None:
        """Copy the weights of the moment into the network."""
        network, chain = training.network, training.chain
        torch._foreach_copy_(parameters_of(network, chain) + statistics_of(network, chain), self._place(place))

    def _go_on(self, left: Sequence[int]) -> None:
        """With those at these places."""
        weights = [[view.clone() for view in self._place(place)] for place in left]
        remembered = [self.descent.state_of(place) for place in left]
        self.active = [self.active[place] for place in left]
        self._assemble()
        for place, views in enumerate(weights):
            torch._foreach_copy_(self._place(place), views)
        self.descent.recall(remembered)

    def _tape(self, batch: int, training: bool) -> tuple[Tape, Loss]:
        if (batch, training) not in self.tapes:
            orders = self.orders if training else [0] * len(self.active)
            tape = Tape(self.stack, batch, orders, self.descent.gradients if training else None)
            self.tapes[batch, training] = tape, Loss(tape, self.smoothing)
        return self.tapes[batch, training]

    def _pass(self) -> list[dict[str, float]]:
        """One pass over the data; what the curves say of it."""
        orders = [torch.randperm(len(self.data), generator=g).to(self.device) for g in self.generators.values()]
        totals = torch.zeros(3, len(self.active), device=self.device)
        rates, bits = [t.schedule.lr for t in self.active], [t.bits for t in self.active]
        cut = list(zip(*(batches(order, self.batch) for order in orders), strict=True))
        samples = 0
        for number, rows in enumerate(cut, start=1):
            tape, measure = self._tape(len(rows[0]), True)
            for x, chosen in zip(tape.xs, rows, strict=True):
                x.copy_(self.data.samples(chosen, self.shape).flatten(1))
            tape.forward(bits)
            labels = [self.data.y.index_select(0, chosen) for chosen in rows]
            loss, hits = measure(torch.stack([labels[order] for order in self.orders] if len(labels) > 1 else labels))
            tape.backward()
            if number < len(cut):
                norms = self.descent.step()
            else:
                norms, change = self.descent.updated()
            totals += torch.stack((loss * tape.batch, hits, norms))
            samples += tape.batch
            for training in self.active:
                training.step()
        found = zip(rates, *totals.tolist(), change.tolist(), strict=True)
        return [
            {"train_loss": loss / samples, "train_accuracy": hits / samples,
             "lr": lr, "grad_norm": norm / len(cut), "update_ratio": ratio}
            for lr, loss, hits, norm, ratio in found
        ]  # fmt: skip

    def _evaluate(self) -> list[dict[str, float]]:
        """Loss and accuracy of each member on the validation part."""
        widest = max(self.stack.features, *(rows.number for rows in self.stack.levels))
        totals = torch.zeros(2, len(self.active), device=self.device)
        everything = torch.arange(len(self.validation), device=self.device)
        for rows in torch.split(everything, max(1, EVALUATED // widest)):
            tape, measure = self._tape(len(rows), False)
            tape.xs[0].copy_(self.validation.samples(rows, self.shape).flatten(1))
            tape.forward()
            totals += torch.stack(measure.evaluated(self.validation.y.index_select(0, rows).unsqueeze(0)))
        number = len(self.validation)
        found = zip(*totals.tolist(), strict=True)
        return [{"val_loss": loss / number, "val_accuracy": hits / number} for loss, hits in found]
