"""One step of a group, written down: what it reads and writes lies in tensors that stay, so that it can be recorded.

Before each the rows of its samples are put into `rows`, (orders, batch), and what else changes from step to step into
tensors of its own. Nothing in here asks the device for a value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from nas.ops import Shape
from nas.train.augment import Augmentation
from nas.train.fused.descent import Descent
from nas.train.fused.graph import Recording
from nas.train.fused.loss import Loss
from nas.train.fused.tape import Tape
from nas.train.resident import Resident


class _Step(ABC):
    """What both kinds of steps do: call it with the rows of its samples."""

    def __init__(self, tape: Tape, smoothing: Sequence[float], data: Resident, shape: Shape, totals: Tensor) -> None:
        self.tape, self.loss, self.data, self.shape, self.totals = tape, Loss(tape, smoothing), data, shape, totals
        device = data.x.device
        self.rows = torch.zeros(len(tape.xs), tape.batch, dtype=torch.int64, device=device)
        self.orders = torch.tensor(tape.orders, device=device)
        self._recording = Recording(device) if tape.stack.ways.recorded else None

    def __call__(self, rows: Tensor) -> None:
        self.rows.copy_(rows)
        if self._recording is None:
            self.take()
        else:
            self._recording.take(self.take)

    @abstractmethod
    def take(self) -> None:
        """The step itself, on what lies in `rows`."""

    def _read(self) -> Tensor:
        """Put the samples where the tape takes them; class numbers of each member, or of all (1, batch)."""
        for place, (x, rows) in enumerate(zip(self.tape.xs, self.rows, strict=True)):
            x.copy_(self._samples(rows, place).flatten(1))
        labels = self.data.y.index_select(0, self.rows.view(-1)).view(self.rows.shape)
        return labels if len(labels) == 1 else labels.index_select(0, self.orders)

    def _samples(self, rows: Tensor, place: int) -> Tensor:
        """Those at `rows`, for the members of the order at this place."""
        return self.data.samples(rows, self.shape)


class TrainingStep(_Step):
    """Adds to the first of `totals`, (4, members), the sum of the losses, the hits and the norm of the gradient.

    Samples are augmented, those of each order by its own of `chances`. With `updates`, the norm of what was added to
    the weights over that of the weights goes to the last.
    """

    def __init__(
        self,
        tape: Tape,
        smoothing: Sequence[float],
        data: Resident,
        shape: Shape,
        totals: Tensor,
        descent: Descent,
        updates: bool,
        augment: Augmentation,
        chances: Sequence[Generator],
    ) -> None:
        self.descent, self.updates, self.augment, self.chances = descent, updates, augment, chances
        super().__init__(tape, smoothing, data, shape, totals)

    def __call__(self, rows: Tensor) -> None:
        if self.tape.masks is not None:
            self.tape.masks.prepare()
        super().__call__(rows)

    def _samples(self, rows: Tensor, place: int) -> Tensor:
        return self.augment(super()._samples(rows, place), self.chances[place])

    def take(self) -> None:
        labels = self._read()
        self.tape.forward()
        loss, hits = self.loss(labels)
        self.tape.backward()
        if self.updates:
            norms, change = self.descent.updated()
            self.totals[3].copy_(change)
        else:
            norms = self.descent.step()
        self.totals[:3].add_(torch.stack((loss * self.tape.batch, hits, norms)))


class EvaluationStep(_Step):
    """Adds to `totals` the sum of the losses and the hits of each member, (2, members)."""

    def take(self) -> None:
        labels = self._read()
        self.tape.forward()
        self.totals.add_(torch.stack(self.loss.evaluated(labels)))
