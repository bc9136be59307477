"""Training one network on resident data: tensors on the device, indexed by a permutation, no loader between."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from nas.architecture import Architecture
from nas.live import Watch
from nas.network import Network
from nas.recipe import Recipe
from nas.train.augment import augmentation, mixup
from nas.train.average import make_average
from nas.train.checkpoint import Segment
from nas.train.distil import Soft
from nas.train.dropout import Bits, dropping
from nas.train.initialise import initialise
from nas.train.order import Order
from nas.train.precision import autocast_type, make_scaler, memory_format
from nas.train.resident import Resident, batch_of, batches
from nas.train.snapshots import Snapshots, State
from nas.train.step import Forward, make_descent

CHUNK, CHUNK_IMAGES = 4096, 512  # samples in one forward pass of an evaluation; of a network with convolutions


class NotFinite(ArithmeticError):
    """The loss became NaN or infinite."""


@dataclass
class Fitted:
    """A trained network at its best epoch, and one row of `curve` for every epoch."""

    network: Network
    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0  # counted from 1
    before: int = 0  # epochs of `curve` that an earlier segment has trained
    snapshots: dict[str, State] = field(default_factory=dict)

    @property
    def best(self) -> dict[str, float]:
        return self.curve[self.best_epoch - 1]

    def note(self, epoch: int, keep_last: bool) -> bool:
        """Whether the weights after `epoch`, the last of the curve, are to be kept: the best ones, or the last."""
        kept = epoch == 1 or keep_last or _rank(self.curve[-1]) > _rank(self.best)
        if kept:
            self.best_epoch = epoch
        return kept


def train(
    architecture: Architecture,
    recipe: Recipe,
    data: Resident,
    validation: Resident,
    *,
    epochs: int,
    patience: int,
    seed: int,
    order: int | None = None,
    min_change: float = 0.0,
    patience_from: int = 0,
    watch: Watch | None = None,
    soft: Soft | None = None,
    snapshots: bool = False,
    keep_last: bool = False,
    segment: Segment | None = None,
) -> Fitted:
    """Train for at most `epochs`; keep the weights of the epoch best on validation, the averaged ones where averaged.

    `keep_last`: those of the last epoch, so that the validation part has had no say in them.

    Stops after `patience` epochs without a validation accuracy higher by more than `min_change`, at epoch
    `patience_from` or later. `soft` are what a teacher says of the data; with `snapshots` more weights are left than
    the best. A `segment` of a longer training goes on where the one before it stopped, on a CPU to the very bit. All
    chance comes from `seed`, but for the order of the samples, and how they are augmented, where `order` says it;
    torch's global generator is left as it was. Raises `NotFinite`, what `watch` raises, and `ValueError` for a recipe
    that the data or the device does not allow.
    """
    device, watch, segment = data.x.device, watch or Watch(), segment or Segment(epochs)
    stopping, seeds = Patience(patience, min_change, patience_from), (seed, seed if order is None else order)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # mixup draws from the global generator
        network = Network(architecture)
        initialise(network, recipe.initialisation, Generator().manual_seed(seed))
        network.to(device, memory_format=memory_format(network))  # type: ignore[call-overload]  # typed for 4-D alone
        fit = _Fit(_Passes(network, recipe, data, segment.horizon, seeds, soft), stopping)
        more = Snapshots(network, recipe, epochs) if snapshots else None
        of = common(network, recipe, seeds, segment, stopping, data, validation)
        if (state := segment.found(of, epochs, device)) is not None:
            fit.go_on(state, watch)
        for epoch in range(fit.fitted.before + 1, epochs + 1):
            if fit.stopping.over:
                break
            fit.epoch(epoch, validation, watch, keep_last)
            if more is not None:
                more.after(epoch)
        segment.leave(of, fit.state)
        if more is not None:
            fit.fitted.snapshots = more.finish(fit.passes.unchanged)
        network.load_state_dict(fit.kept)
    return fit.fitted


class _Fit:
    """A training on its way: how far it has come, and the weights that are kept of it."""

    def __init__(self, passes: _Passes, stopping: Patience) -> None:
        self.passes, self.stopping, self.fitted = passes, stopping, Fitted(passes.network)
        self.kept: dict[str, Tensor] = {}

    def go_on(self, state: Mapping[str, Any], watch: Watch) -> None:
        """From where a segment has left it."""
        self.passes.load_state_dict(state["passes"])
        self.stopping, self.kept = Patience(**state["stopping"]), state["kept"]
        self.fitted = Fitted(self.passes.network, state["curve"], state["best_epoch"], len(state["curve"]))
        for row in self.fitted.curve:  # who watches sees the whole curve
            watch.epoch(row)

    def epoch(self, epoch: int, validation: Resident, watch: Watch, keep_last: bool) -> None:
        """One more, and what it comes to on validation."""
        start, passes, curve = time.perf_counter(), self.passes, self.fitted.curve
        passed = passes.epoch(watch)
        evaluated = passes.average.evaluated(epoch, passes.unchanged)
        accuracy, loss = evaluate(evaluated, validation)
        passes.descent.schedule.epoch(loss)
        row = {"epoch": epoch, **passed, "val_loss": loss, "val_accuracy": accuracy}
        curve.append({**row, "seconds": round(time.perf_counter() - start, 4)})
        if not (math.isfinite(row["train_loss"]) and math.isfinite(loss)):
            how = f"{passes.recipe.optimizer}, lr {passes.recipe.lr:g}"
            raise NotFinite(f"the loss is not finite after epoch {epoch} ({how})")
        watch.epoch(curve[-1])
        if self.fitted.note(epoch, keep_last):
            self.kept = {name: tensor.detach().clone() for name, tensor in evaluated.state_dict().items()}
        self.stopping.after(epoch, accuracy)

    def state(self) -> dict[str, Any]:
        """What another segment goes on from."""
        reached = {"curve": self.fitted.curve, "best_epoch": self.fitted.best_epoch, "kept": self.kept}
        return {**reached, "stopping": asdict(self.stopping), "passes": self.passes.state_dict()}


@dataclass
class Patience:
    """When to stop: `patience` epochs without an accuracy more than `min_change` above the last that was."""

    patience: int
    min_change: float = 0.0
    patience_from: int = 0
    best: float = -math.inf
    since: int = 0  # epochs without improvement
    over: bool = False

    def after(self, epoch: int, accuracy: float) -> bool:
        """Whether `epoch`, with this validation accuracy, is the last."""
        if accuracy > self.best + self.min_change:
            self.best, self.since = accuracy, 0
        else:
            self.since += 1
        self.over = self.since >= self.patience and epoch >= self.patience_from
        return self.over


def common(
    network: Network,
    recipe: Recipe,
    seeds: tuple[int, int],
    segment: Segment,
    stopping: Patience,
    data: Resident,
    validation: Resident,
) -> dict[str, Any]:
    """What two segments of one training have in common: the nodes too, for weights have the names of their places."""
    seed, order = seeds
    facts = {"network": network.plan.architecture.to_json(), "recipe": asdict(recipe), "seed": seed, "order": order}
    samples, rule = [len(data), len(validation)], [stopping.patience, stopping.min_change, stopping.patience_from]
    return {**facts, "horizon": segment.horizon, "samples": samples, "stopping": rule}


class _Passes:
    """The passes of one training over its data."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        data: Resident,
        epochs: int,
        seeds: tuple[int, int],
        soft: Soft | None = None,
    ) -> None:
        self.network, self.recipe, self.data, self.soft = network, recipe, data, soft
        self.device, self.shape = data.x.device, network.plan.architecture.input_shape
        self.bits, self.order = Bits(seeds[0]), Order(seeds[1], self.device)
        self.batch = batch_of(network.plan.architecture, recipe.batch_size, len(data))
        self.steps = len(batches(torch.empty(len(data)), self.batch))  # of an epoch
        self.format = autocast_type(network, recipe, self.device)
        self.layout = memory_format(network)
        self.augment = augmentation(recipe, self.shape)
        self.descent = make_descent(network, recipe, epochs * self.steps, make_scaler(self.format, self.device))
        self.average = make_average(recipe.average, network, epochs)

    def state_dict(self) -> dict[str, Any]:
        """Where the training stands between two epochs, torch's global generators included."""
        states = {"network": self.network.state_dict(), "descent": self.descent.state_dict()}
        chance = {"order": self.order.state, "dropout": self.bits.state, "cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            chance["cuda"] = torch.cuda.get_rng_state(self.device)
        return {**states, "average": self.average.state_dict(), "chance": chance}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.descent.load_state_dict(state["descent"])
        self.average.load_state_dict(state["average"])
        self.order.state = state["chance"]["order"]
        self.bits.state = state["chance"]["dropout"].cpu()
        torch.set_rng_state(state["chance"]["cpu"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["chance"]["cuda"].cpu(), self.device)

    def epoch(self, watch: Watch) -> dict[str, float]:
        """One pass over the data in a fresh order; what the curve says of it. Waits for the device at its end alone."""
        with dropping(self.network.train(), self.bits):
            return self._epoch(watch)

    def _epoch(self, watch: Watch) -> dict[str, float]:
        permutation = self.order.permutation(len(self.data)).to(self.device)
        losses, hits, norms = torch.zeros(3, device=self.device)
        samples, lr = 0, self.descent.schedule.lr
        for number, rows in enumerate(batches(permutation, self.batch), start=1):
            if number < self.steps:
                loss, hit, norm = self.descent.step(self._forward(rows))
            else:
                (loss, hit, norm), change = self.descent.updated(self._forward(rows))
            self.average.step()
            watch.step()
            losses += loss * len(rows)
            hits += hit
            norms += norm
            samples += len(rows)
        loss_sum, hit_sum, norm_sum, ratio = torch.stack((losses, hits, norms, change)).tolist()
        facts = {"train_loss": loss_sum / samples, "train_accuracy": hit_sum / samples}
        return {**facts, "lr": lr, "grad_norm": norm_sum / self.steps, "update_ratio": ratio}

    def _forward(self, rows: Tensor) -> Forward:
        """What computes loss and hits of these samples, augmented once."""
        x = self.augment(self.data.samples(rows, self.shape), self.order.chance)
        y = self.data.y.index_select(0, rows)
        blend: Labels = []
        taught = None if self.soft is None else self.soft.of(rows)
        if self.recipe.mixup:
            x, others, share = mixup(x, self.recipe.mixup)
            blend = [(y, share), (y[others], 1 - share)]
            taught = None if taught is None else taught.mixed(others, share)
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.layout)

        def forward() -> tuple[Tensor, Tensor]:
            with torch.autocast(self.device.type, self.format, enabled=self.format != torch.float32):
                logits = self.network(x)
                loss, hits = score(logits, y, blend, self.recipe.label_smoothing)
                return (loss if taught is None else taught.loss(logits, loss)), hits

        return forward

    def unchanged(self) -> Iterator[Tensor]:
        """The training samples in batches as they are, in their own order."""
        for rows in batches(torch.arange(len(self.data), device=self.device), self.batch):
            yield self.data.samples(rows, self.shape)


Labels = list[tuple[Tensor, Tensor]]  # class numbers (batch,), and the share (batch,) that they have of each sample


def score(logits: Tensor, y: Tensor, blend: Labels, smoothing: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy with `y`, or with the labels of a blend where there are any, and the number of hits."""
    guessed = logits.detach().argmax(1)
    if not blend:
        return cross_entropy(logits, y, label_smoothing=smoothing), (guessed == y).sum()
    losses = [s * cross_entropy(logits, t, reduction="none", label_smoothing=smoothing) for t, s in blend]
    return torch.stack(losses).sum(0).mean(), torch.stack([(s * (guessed == t)).sum() for t, s in blend]).sum()


def evaluate(network: Network, data: Resident) -> tuple[float, float]:
    """Accuracy and mean cross-entropy in float32."""
    hits, loss = torch.zeros((), device=data.x.device), torch.zeros((), device=data.x.device)
    for rows, logits in outputs(network, data):
        y = data.y.index_select(0, rows)
        hits += (logits.argmax(1) == y).sum()
        loss += cross_entropy(logits, y, reduction="sum")
    return float(hits) / len(data), float(loss) / len(data)


def outputs(network: Network, data: Resident) -> Iterator[tuple[Tensor, Tensor]]:
    """Positions and logits (chunk, classes), in the data's own order, of a network laid out as in training."""
    layout, shape = memory_format(network), network.plan.architecture.input_shape
    network.to(memory_format=layout).eval()  # type: ignore[call-overload]  # typed for 4-D alone
    chunk = CHUNK if layout == torch.contiguous_format else CHUNK_IMAGES
    for rows in torch.split(torch.arange(len(data), device=data.x.device), chunk):
        with torch.inference_mode():
            x = data.samples(rows, shape)
            logits = network(x.contiguous(memory_format=layout) if x.ndim == 4 else x)
        yield rows, logits


def _rank(row: dict[str, float]) -> tuple[float, float]:
    return row["val_accuracy"], -row["val_loss"]
