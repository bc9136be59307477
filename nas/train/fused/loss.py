"""Cross-entropy with label smoothing, of all members at once, and its gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nas.train.fused.tape import Tape


class Loss:
    """Of the logits of a tape (members, classes, batch)."""

    def __init__(self, tape: Tape, smoothing: Sequence[float]) -> None:
        members, self.classes, self.batch = tape.logits.shape
        device = tape.logits.device
        numbers = torch.arange(self.classes, dtype=torch.int32, device=device)  # int32: amin takes a third of the time
        self.tape, self.number = tape, numbers.unsqueeze(1)
        self.smoothing = torch.tensor(smoothing, device=device)
        self._less = (self.smoothing - 1).view(members, 1, 1) / self.batch  # of the true class
        self._spread = self.smoothing.view(members, 1, 1) / (self.classes * self.batch)  # of every class
        self._ones = torch.ones(self.classes * self.batch, device=device)

    def __call__(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and hits of each member, (members,), on its class numbers (members, batch) or those of all
        (1, batch); the gradient goes to `slope`.
        """
        log_p = self._log_p(y)
        slope = torch.exp(log_p, out=self.tape.slope)
        slope.div_(self.batch).addcmul_(self.true, self._less).sub_(self._spread)
        hits = self._hits(y)
        hard = self._sums(log_p * self.true) / -self.batch
        even = self._sums(log_p) / (-self.batch * self.classes)
        return torch.lerp(hard, even, self.smoothing), hits

    def evaluated(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over the samples of the plain loss, and the hits, (members,) each."""
        return -self._sums(self._log_p(y) * self.true), self._hits(y)

    def _log_p(self, y: Tensor) -> Tensor:
        self.true = (self.number == y.unsqueeze(1)).float()
        return torch.log_softmax(self.tape.logits, 1)

    def _sums(self, x: Tensor) -> Tensor:
        return torch.mv(x.flatten(1), self._ones)

    def _hits(self, y: Tensor) -> Tensor:
        """How often the true class is the first of the largest: argmax, which torch does not vectorise on a CPU."""
        largest = self.tape.logits.amax(1, keepdim=True)
        first = torch.where(self.tape.logits == largest, self.number, self.classes).amin(1)
        return (first == y).sum(1, dtype=torch.float32)
