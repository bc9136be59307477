"""Training one network on resident data: tensors on the device, indexed by a permutation, no loader between."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from nas.architecture import Architecture
from nas.dataset import Dataset, Part
from nas.network import Network
from nas.recipe import Recipe
from nas.train.initialise import initialise
from nas.train.optim import make_optimizer, make_schedule
from nas.train.precision import use_bfloat16

CLIP = 1.0  # largest norm of the gradient
CHUNK = 4096  # samples in one forward pass of an evaluation


class NotFinite(ArithmeticError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Resident:
    """Normalised samples (n, *input_shape) and class numbers (n,) on the device."""

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, part: Part, dataset: Dataset, device: torch.device) -> Resident:
        mean, std = (torch.from_numpy(a).to(device) for a in dataset.normalisation)
        x = torch.from_numpy(part.x).to(device)
        return cls((x - mean) / std, torch.from_numpy(part.y).to(device))


@dataclass
class Fitted:
    """A trained network at its best epoch, and one row of `curve` for every epoch."""

    network: Network
    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0  # counted from 1

    @property
    def best(self) -> dict[str, float]:
        return self.curve[self.best_epoch - 1]


def train(
    architecture: Architecture,
    recipe: Recipe,
    data: Resident,
    validation: Resident,
    *,
    epochs: int,
    patience: int,
    seed: int,
) -> Fitted:
    """Train for at most `epochs`, stopping after `patience` of them without improvement; keep the best epoch's weights.

    All chance comes from `seed`; torch's global generator is left as it was. Raises `NotFinite`.
    """
    device = data.x.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout draws from the global generator
        generator = Generator().manual_seed(seed)
        network = Network(architecture)
        initialise(network, recipe.initialisation, generator)
        fitted = Fitted(network.to(device))
        steps = _Steps(network, architecture, recipe, data, epochs, generator)
        kept: dict[str, Tensor] = {}
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            train_loss = steps.epoch()
            accuracy, loss = evaluate(network, validation)
            row = {"epoch": epoch, "train_loss": train_loss, "val_loss": loss, "val_accuracy": accuracy}
            fitted.curve.append({**row, "lr": steps.lr, "seconds": round(time.perf_counter() - start, 4)})
            if not (math.isfinite(train_loss) and math.isfinite(loss)):
                raise NotFinite(f"the loss is not finite after epoch {epoch} ({recipe.optimizer}, lr {recipe.lr:g})")
            if epoch == 1 or _rank(row) > _rank(fitted.best):
                fitted.best_epoch = epoch
                kept = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            elif epoch - fitted.best_epoch >= patience:
                break
        network.load_state_dict(kept)
    return fitted


class _Steps:
    """The optimizer steps of one training."""

    def __init__(
        self,
        network: Network,
        architecture: Architecture,
        recipe: Recipe,
        data: Resident,
        epochs: int,
        generator: Generator,
    ) -> None:
        self.network, self.data, self.generator = network, data, generator
        self.batch = min(recipe.batch_size, len(data.y))
        self.optimizer = make_optimizer(network, recipe)
        self.schedule = make_schedule(
            self.optimizer, recipe, epochs * len(list(self._batches(torch.empty(len(data.y)))))
        )
        self.bfloat16 = use_bfloat16(architecture, recipe.batch_size, data.x.device)
        self.lr = recipe.lr

    def _batches(self, permutation: Tensor) -> Iterator[Tensor]:
        """The permutation in batches; a last one of a single sample is dropped, for BatchNorm needs two."""
        return (rows for rows in torch.split(permutation, self.batch) if len(rows) > 1 or self.batch == 1)

    def epoch(self) -> float:
        """One pass over the data in a fresh order; the mean training loss."""
        self.network.train()
        device = self.data.x.device
        permutation = torch.randperm(len(self.data.y), generator=self.generator).to(device)
        total, samples = torch.zeros((), device=device), 0
        self.lr = float(self.optimizer.param_groups[0]["lr"])
        for rows in self._batches(permutation):
            x, y = self.data.x.index_select(0, rows), self.data.y.index_select(0, rows)
            self.optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
                loss = cross_entropy(self.network(x), y)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            clip_grad_norm_(self.network.parameters(), CLIP)
            self.optimizer.step()
            self.schedule.step()
            total += loss.detach() * len(rows)
            samples += len(rows)
        return float(total) / samples


@torch.inference_mode()
def evaluate(network: nn.Module, data: Resident) -> tuple[float, float]:
    """Accuracy and mean cross-entropy in float32, in the data's own order."""
    network.eval()
    hits, loss = torch.zeros((), device=data.x.device), torch.zeros((), device=data.x.device)
    for x, y in zip(torch.split(data.x, CHUNK), torch.split(data.y, CHUNK), strict=True):
        logits = network(x)
        hits += (logits.argmax(1) == y).sum()
        loss += cross_entropy(logits, y, reduction="sum")
    return float(hits) / len(data.y), float(loss) / len(data.y)


def _rank(row: dict[str, float]) -> tuple[float, float]:
    return row["val_accuracy"], -row["val_loss"]
