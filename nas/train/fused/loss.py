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
        self.tape, self.number = tape, torch.arange(self.classes, device=device).unsqueeze(1)
        self._first = (self.classes - self.number).float()  # the lower a class's number, the larger
        self._true, self._largest = (torch.empty_like(tape.logits) for _ in range(2))  # floats: bools are slower
        self.smooth, self.smoothing = any(smoothing), torch.tensor(smoothing, device=device)
        self._less = (self.smoothing - 1).view(members, 1, 1) / self.batch  # of the true class
        self._spread = self.smoothing.view(members, 1, 1) / (self.classes * self.batch)  # of every class
        self._ones = torch.ones(self.classes * self.batch, device=device)

    def __call__(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and hits of each member, (members,), on its class numbers (members, batch) or those of all
        (1, batch); the gradient goes to `slope`.
        """
        log_p = self._log_p(y)
        slope = torch.exp(log_p, out=self.tape.slope)
        slope.div_(self.batch).addcmul_(self.true, self._less)
        loss, hits = self._sums(log_p * self.true) / -self.batch, self._hits(y)
        if not self.smooth:  # what is left out would change nothing
            return loss, hits
        slope.sub_(self._spread)
        even = self._sums(log_p) / (-self.batch * self.classes)
        return torch.lerp(loss, even, self.smoothing), hits

    def evaluated(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over the samples of the plain loss, and the hits, (members,) each."""
        return -self._sums(self._log_p(y) * self.true), self._hits(y)

    def _log_p(self, y: Tensor) -> Tensor:
        self.true = torch.eq(self.number, y.unsqueeze(1), out=self._true[: len(y)])
        return torch.log_softmax(self.tape.logits, 1)

    def _sums(self, x: Tensor) -> Tensor:
        return torch.mv(x.flatten(1), self._ones)

    def _hits(self, y: Tensor) -> Tensor:
        """How often the true class is the first of the largest: argmax, which torch does not vectorise on a CPU."""
        largest = torch.eq(self.tape.logits, self.tape.logits.amax(1, keepdim=True), out=self._largest)
        return (largest.mul_(self._first).amax(1) == self.classes - y).sum(1, dtype=torch.float32)
