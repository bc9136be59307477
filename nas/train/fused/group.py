"""Trains a group of perceptrons as one: as `nas.train.loop.train` does with each alone, number for number."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from nas.architecture import Architecture
from nas.live import Stopped, Watch
from nas.network import Network
from nas.recipe import Recipe
from nas.train.dropout import Bits
from nas.train.fused.chain import chain_of
from nas.train.fused.descent import Descent
from nas.train.fused.loss import Loss
from nas.train.fused.stack import Stack, parameters_of, statistics_of
from nas.train.fused.tape import Tape
from nas.train.initialise import initialise
from nas.train.loop import Fitted, NotFinite, Patience
from nas.train.resident import Resident
from nas.train.schedule import Schedule

EVALUATED = 1 << 19  # elements of one level, of all members, in one forward pass of an evaluation


@dataclass
class Member:
    """One training of a group: what `train` would be told of it. `order` is the seed of the order of its samples.

    Batch size, input shape and the `family` of optimizers are those of the group.
    """

    architecture: Architecture
    recipe: Recipe
    seed: int
    stopping: Patience
    order: int = 0
    keep_last: bool = False
    watch: Watch = field(default_factory=Watch)


def train_together(
    members: Sequence[Member], data: Resident, validation: Resident, *, epochs: int
) -> list[Fitted | Exception]:
    """Train for at most `epochs`; a member that fails gives its error.

    A member that stops early or fails leaves the group, and the others do not notice.
    """
    return _Group(members, data, validation, epochs).run()


class _Training:
    """A member on its way: its network holds the weights that are kept, the stack those of the moment."""

    def __init__(self, member: Member, steps: int) -> None:
        self.member, self.failure = member, list[Exception]()
        chain = chain_of(member.architecture)
        if chain is None:
            raise ValueError(f"{member.architecture} is no chain of dense blocks; train it alone")
        self.chain, self.network = chain, Network(member.architecture)
        initialise(self.network, member.recipe.initialisation, Generator().manual_seed(member.seed))
        self.fitted = Fitted(self.network)
        self.schedule, self.bits = Schedule(member.recipe, steps), Bits(member.seed)

    @property
    def likeness(self) -> tuple[object, ...]:
        """Members that are alike in this stand side by side, so that more calls are for several at once."""
        block = self.chain.blocks[0]
        return self.chain.p > 0, self.member.order, block.normed, block.activation, block.p > 0

    def step(self) -> None:
        try:
            self.member.watch.step()
        except Stopped as error:
            self.failure.append(error)

    def ended(self, row: dict[str, float]) -> bool:
        """Whether the epoch of this row of the curve was the last; raises no failure, but keeps it."""
        self.fitted.curve.append(row)
        self.schedule.epoch(row["val_loss"])
        recipe, epoch = self.member.recipe, int(row["epoch"])
        if not (math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"])):
            said = f"the loss is not finite after epoch {epoch} ({recipe.optimizer}, lr {recipe.lr:g})"
            self.failure.append(NotFinite(said))
        if self.failure:
            return True
        self.member.watch.epoch(row)
        return self.member.stopping.after(epoch, row["val_accuracy"])


class _Group:
    def __init__(self, members: Sequence[Member], data: Resident, validation: Resident, epochs: int) -> None:
        self.data, self.validation, self.epochs = data, validation, epochs
        self.batch = min(members[0].recipe.batch_size, len(data))
        self.shape, self.device = members[0].architecture.input_shape, data.x.device
        self.steps = len(list(self._batches(torch.empty(len(data)))))  # of an epoch
        with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own
            self.trainings = [_Training(member, epochs * self.steps) for member in members]
        self.active = sorted(self.trainings, key=lambda training: training.likeness)
        self.generators = {member.order: Generator().manual_seed(member.order) for member in members}
        self._assemble()
        for place, training in enumerate(self.active):
            self._copy(place, training, into_stack=True)

    def _assemble(self) -> None:
        self.stack = Stack([training.chain for training in self.active], self.device)
        recipes = [training.member.recipe for training in self.active]
        self.descent = Descent(self.stack, recipes, [training.schedule for training in self.active])
        self.tapes: dict[tuple[int, bool], tuple[Tape, Loss]] = {}
        self.smoothing = [recipe.label_smoothing for recipe in recipes]
        distinct = list(dict.fromkeys(training.member.order for training in self.active))
        self.generators = {order: self.generators[order] for order in distinct}
        self.orders = [distinct.index(training.member.order) for training in self.active]

    def _copy(self, place: int, training: _Training, into_stack: bool) -> None:
        """Weights and running statistics between a network and its place in the stack."""
        here = self.stack.of_member(self.stack.parameters, place) + self.stack.statistics_of(place)
        there = parameters_of(training.network, training.chain) + statistics_of(training.network, training.chain)
        torch._foreach_copy_(*((here, there) if into_stack else (there, here)))

    def run(self) -> list[Fitted | Exception]:
        for epoch in range(1, self.epochs + 1):
            start = time.perf_counter()
            passed, evaluated = self._pass(), self._evaluate()
            seconds = round((time.perf_counter() - start) / len(self.active), 4)
            left = []
            for place, training in enumerate(self.active):
                row = {"epoch": epoch, **passed[place], **evaluated[place], "seconds": seconds}
                ended = training.ended(row)
                if not training.failure and training.fitted.note(epoch, training.member.keep_last):
                    self._copy(place, training, into_stack=False)
                left += [] if ended else [place]
            if not left:
                break
            if len(left) < len(self.active) and epoch < self.epochs:
                self._leave(left)
        return [self._finished(training) for training in self.trainings]

    def _finished(self, training: _Training) -> Fitted | Exception:
        for layer in training.network.modules():
            if isinstance(layer, _BatchNorm) and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.fill_(training.fitted.best_epoch * self.steps)
        return training.failure[0] if training.failure else training.fitted

    def _leave(self, left: Sequence[int]) -> None:
        """Go on with those at these places."""
        stack, descent = self.stack, self.descent
        self.active = [self.active[place] for place in left]
        self._assemble()
        for here, there in enumerate(left):
            mine = self.stack.of_member(self.stack.parameters, here) + self.stack.statistics_of(here)
            torch._foreach_copy_(mine, stack.of_member(stack.parameters, there) + stack.statistics_of(there))
        self.descent.take_over(descent, left)

    def _batches(self, permutation: Tensor) -> Iterator[Tensor]:
        return (rows for rows in torch.split(permutation, self.batch) if len(rows) > 1 or self.batch == 1)

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
        samples = 0
        for number, batches in enumerate(zip(*map(self._batches, orders), strict=True), start=1):
            tape, measure = self._tape(len(batches[0]), True)
            for x, rows in zip(tape.xs, batches, strict=True):
                x.copy_(self.data.samples(rows, self.shape).flatten(1))
            tape.forward(bits)
            labels = [self.data.y.index_select(0, rows) for rows in batches]
            loss, hits = measure(torch.stack([labels[order] for order in self.orders] if len(labels) > 1 else labels))
            tape.backward()
            if number < self.steps:
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
             "lr": lr, "grad_norm": norm / self.steps, "update_ratio": ratio}
            for lr, loss, hits, norm, ratio in found
        ]  # fmt: skip

    def _evaluate(self) -> list[dict[str, float]]:
        """Loss and accuracy of each member on the validation part."""
        widest = max(rows.number for rows in self.stack.levels)
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
