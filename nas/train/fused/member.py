"""One training of a group: what is asked of it, and how far it has come."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from nas.architecture import Architecture
from nas.live import Stopped, Watch
from nas.network import Network
from nas.recipe import Recipe
from nas.train.checkpoint import Segment
from nas.train.dropout import Bits
from nas.train.fused.chain import chain_of
from nas.train.fused.stack import parameters_of, statistics_of
from nas.train.fused.ways import WAYS
from nas.train.initialise import initialise
from nas.train.loop import Fitted, NotFinite, Patience, common
from nas.train.order import Order
from nas.train.resident import Resident, batch_of, batches
from nas.train.schedule import Schedule


@dataclass
class Member:
    """What `train` would be told of it. `order` is the seed of the order of its samples, and of their augmentation.

    Batch size, input shape and augmentations are those of the group.
    """

    architecture: Architecture
    recipe: Recipe
    seed: int
    stopping: Patience
    order: int = 0
    keep_last: bool = False
    watch: Watch = field(default_factory=Watch)
    segment: Segment | None = None


class Lane:
    """A member's training beside others: its network holds the weights that are kept, the stack those of the moment.

    `held` are the weights and statistics of the network, in the order of its chain;
    `begins` are its first weights and statistics, and `remembered` what its optimizer had, where it goes on from an
    earlier segment.
    """

    def __init__(self, member: Member, data: Resident, validation: Resident, epochs: int) -> None:
        self.member, self.failure = member, list[Exception]()
        self.remembered: dict[str, Any] | None = None
        self.segment, self.stopping = member.segment or Segment(epochs), replace(member.stopping)
        self.batch = batch_of(member.architecture, member.recipe.batch_size, len(data))
        self.steps = len(batches(torch.empty(len(data)), self.batch))  # of an epoch
        chain = chain_of(member.architecture)
        if chain is None:
            raise ValueError(f"{member.architecture} is no chain of dense blocks; train it alone")
        self.chain, self.network = chain, Network(member.architecture)
        initialise(self.network, member.recipe.initialisation, Generator().manual_seed(member.seed))
        if data.x.device.type != "cpu":  # where it is made
            self.network.to(data.x.device)
        self.fitted, self.bits = Fitted(self.network), Bits(member.seed)
        self.schedule = Schedule(member.recipe, self.segment.horizon * self.steps)
        self.order = Order(member.order, data.x.device)
        self._of = self._facts(data, validation) if self.segment.linked else {}
        self.held = parameters_of(self.network, chain) + statistics_of(self.network, chain)
        self.begins = [tensor.clone() for tensor in self.held]
        if (state := self.segment.found(self._of, epochs, data.x.device)) is not None:
            self._go_on(state)
        self.over = self.stopping.over or self.fitted.before >= epochs

    def _facts(self, data: Resident, validation: Resident) -> dict[str, Any]:
        """What another segment of the training has in common with it."""
        member, seeds = self.member, (self.member.seed, self.member.order)
        facts = common(self.network, member.recipe, seeds, self.segment, member.stopping, data, validation)
        hashes = WAYS[data.x.device.type].hashed  # dropout, and so the rest of a training, is another where it is drawn
        return {**facts, "by": "a group that hashes" if hashes else "a group"}

    def _go_on(self, state: dict[str, Any]) -> None:
        """From where the segment before this one was left."""
        self.fitted = Fitted(self.network, state["curve"], state["best_epoch"], len(state["curve"]))
        self.network.load_state_dict(state["kept"])
        self.begins, self.remembered = state["weights"], state["optimizer"]
        self.stopping = Patience(**state["stopping"])
        self.schedule.load_state_dict(state["schedule"])
        self.bits.state = state["dropout"].cpu()
        self.order.state = state["order"]
        for row in self.fitted.curve:  # who watches sees the whole curve
            self.member.watch.epoch(row)

    def leave(self, weights: Sequence[Tensor], optimizer: Callable[[], dict[str, Any]], order: Order) -> None:
        """What a later segment goes on from, where there may be one."""
        if self.segment.after is None or self.failure:
            return
        now = {"weights": [tensor.clone() for tensor in weights], "optimizer": optimizer()}
        chance = {"dropout": self.bits.state, "order": order.state}
        reached = {"curve": self.fitted.curve, "best_epoch": self.fitted.best_epoch, "kept": self.network.state_dict()}
        rules = {"stopping": asdict(self.stopping), "schedule": self.schedule.state_dict()}
        self.segment.leave(self._of, lambda: {**now, **chance, **reached, **rules})

    @property
    def likeness(self) -> tuple[Any, ...]:
        """Members that are alike in this stand side by side, so that more calls are for several at once."""
        block = self.chain.blocks[0]
        widths = [block.width for block in self.chain.blocks]
        return self.chain.p > 0, self.member.order, block.normed, block.activation, block.p > 0, len(widths), widths

    def step(self) -> None:
        """A step was taken; whoever watches may stop the training, which then fails."""
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
        return self.stopping.after(epoch, row["val_accuracy"])

    def finished(self) -> Fitted | Exception:
        for layer in self.network.modules():
            if isinstance(layer, _BatchNorm) and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.fill_(self.fitted.best_epoch * self.steps)
        return self.failure[0] if self.failure else self.fitted
