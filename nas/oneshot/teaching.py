"""Training of the shared weights: each step is one network's of the pool, drawn anew, on its slices alone."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_

from nas.architecture import Architecture
from nas.devices import free_memory
from nas.network import Network
from nas.oneshot.lesson import Lesson
from nas.oneshot.weights import Piece, SharedWeights, parameters
from nas.recipe import Recipe
from nas.train.augment import augmentation, mixup
from nas.train.checkpoint import read, write
from nas.train.dropout import Bits, dropping
from nas.train.loop import Labels, NotFinite, score
from nas.train.optim import optimizer
from nas.train.precision import autocast_type, memory_format
from nas.train.resident import Resident, batches
from nas.train.schedule import Schedule
from nas.weights import save_weights

TIMED = 10  # steps that tell how long an epoch takes
COPIES = 4  # of the weights, at most, that their training needs room for: gradients and two moments


class Pupil:
    """A network of the pool, without weights of its own."""

    def __init__(self, architecture: Architecture, recipe: Recipe, device: torch.device) -> None:
        self.network, self.recipe, self.shape = Network(architecture), recipe, architecture.input_shape
        self.made = parameters(self.network)
        for p in self.network.parameters():
            p.data = p.data.new_empty(0)  # there are hundreds of them
        for norm in self.network.modules():
            if isinstance(norm, _BatchNorm):  # its statistics are of the batch
                norm.running_mean = norm.running_var = norm.num_batches_tracked = None
        self.network.train()
        self.augment, self.layout = augmentation(recipe, self.shape), memory_format(self.network)
        self.format = autocast_type(self.network, recipe, device)

    def loss(self, tensors: dict[str, Tensor], data: Resident, rows: Tensor, bits: Bits) -> tuple[Tensor, Tensor]:
        """Mean loss and hits of a batch, with these parameters."""
        x, y = self.augment(data.samples(rows, self.shape), None), data.y.index_select(0, rows)
        blend: Labels = []
        if self.recipe.mixup:
            x, others, share = mixup(x, self.recipe.mixup)
            blend = [(y, share), (y[others], 1 - share)]
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.layout)
        reduced = self.format != torch.float32
        with dropping(self.network, bits), torch.autocast(x.device.type, self.format, enabled=reduced):
            return score(functional_call(self.network, tensors, (x,)), y, blend, self.recipe.label_smoothing)


class Teaching:
    """The training of one round on the samples `data`. Raises `ValueError` where there is no memory for it."""

    def __init__(self, lesson: Lesson, data: Resident, tensors: dict[str, Tensor]) -> None:
        self.lesson, self.data, self.device = lesson, data, data.x.device
        self.of = common(lesson, data)
        self.weights = SharedWeights(tensors, lesson.recipe.initialisation, lesson.seed, self.device)
        self.pupils = [Pupil(architecture, lesson.recipe, self.device) for architecture in lesson.pool]
        self.weights.hold([(pupil.network, pupil.made) for pupil in self.pupils])
        self._check_memory()
        self.moments: dict[str, dict[str, Tensor]] = {}  # of the optimizer, by the names of pieces
        self.curve: list[dict[str, float]] = []
        self.batch = min(lesson.recipe.batch_size, len(data))
        self.steps = len(batches(torch.empty(len(data)), self.batch))  # of an epoch
        self.schedule = Schedule(lesson.recipe, lesson.epochs * self.steps)

    @classmethod
    def begun(cls, lesson: Lesson, data: Resident) -> Teaching:
        """As far as `lesson.state` says that it has come."""
        from safetensors.torch import load_file

        state = read(lesson.state, data.x.device)
        if state is None or state["of"] != common(lesson, data):
            before = {} if lesson.before is None else load_file(lesson.before, device=str(data.x.device))
            return cls(lesson, data, before)
        teaching = cls(lesson, data, state["weights"])
        teaching.moments, teaching.curve = state["moments"], state["curve"]
        teaching.schedule.taken = len(teaching.curve) * teaching.steps
        return teaching

    def go(self, until: int) -> None:
        """Train up to epoch `until`. Raises `NotFinite`."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            for epoch in range(len(self.curve) + 1, until + 1):
                start = time.perf_counter()
                row = {"epoch": epoch, **self._epoch(epoch)}
                if not math.isfinite(row["train_loss"]):
                    rate = f"{self.lesson.recipe.optimizer}, lr {self.lesson.recipe.lr:g}"
                    raise NotFinite(f"their loss is not finite after epoch {epoch} ({rate}); give a lower --fix lr")
                self.curve.append({**row, "seconds": round(time.perf_counter() - start, 4)})

    def leave(self) -> None:
        """Write the state, and after the last epoch the weights. Raises `OSError`."""
        state = {"weights": self.weights.tensors, "moments": self.moments, "curve": self.curve}
        write(self.lesson.state, {"of": self.of, **state})
        if len(self.curve) == self.lesson.epochs:
            save_weights(self.weights.tensors, self.lesson.after)

    def seconds(self) -> float:
        """Of an epoch, by a few steps, after which this teaching is of no more use."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            self._epoch(0, 1)  # warms up
            start = time.perf_counter()
            taken = self._epoch(0, TIMED)["steps"]
        return (time.perf_counter() - start) / taken * self.steps

    def _epoch(self, epoch: int, most: int | None = None) -> dict[str, float]:
        """A pass over the data, or its first steps; all chance is of the seed and the epoch."""
        seed = int(np.random.SeedSequence((self.lesson.seed, epoch)).generate_state(1)[0])
        rng, bits = np.random.default_rng(seed), Bits(seed)
        torch.manual_seed(seed)
        order = torch.randperm(len(self.data), generator=Generator().manual_seed(seed)).to(self.device)
        lr, total, samples = self.schedule.lr, torch.zeros(2, device=self.device), 0
        taken = batches(order, self.batch)[:most]
        for rows in taken:
            loss, hits = self._step(self.pupils[rng.integers(len(self.pupils))], rows, bits)
            total += torch.stack((loss * len(rows), hits))
            samples += len(rows)
        loss_sum, hit_sum = total.tolist()
        return {"train_loss": loss_sum / samples, "train_accuracy": hit_sum / samples, "lr": lr, "steps": len(taken)}

    def _step(self, pupil: Pupil, rows: Tensor, bits: Bits) -> tuple[Tensor, Tensor]:
        """Down the loss of one network, on what it has of the weights; its loss and hits."""
        pieces = [piece for p in pupil.made for piece in p.pieces]
        slices = {q.name: q.cut(self.weights.tensors[q.name]).detach().requires_grad_() for q in pieces}
        tensors = {p.name: p.joined([slices[q.name] for q in p.pieces]) for p in pupil.made}
        loss, hits = pupil.loss(tensors, self.data, rows, bits)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._move(pupil, slices)
        return loss.detach(), hits

    def _move(self, pupil: Pupil, slices: dict[str, Tensor]) -> None:
        """A step of the recipe's optimizer, whose moments are cut as the weights are."""
        recipe, pieces = self.lesson.recipe, [piece for p in pupil.made for piece in p.pieces]
        clip_grad_norm_(slices.values(), recipe.clip or math.inf)
        matrices = {piece.name for p in pupil.made if p.matrix for piece in p.pieces}
        if recipe.l1:  # after clipping, as in a training by itself
            for name in slices.keys() & matrices:
                if (gradient := slices[name].grad) is not None:
                    gradient.add_(slices[name].detach().sign(), alpha=recipe.l1)
        groups = [
            {"params": [slices[name] for name in slices if (name in matrices) is decayed], "weight_decay": decay}
            for decayed, decay in ((True, recipe.weight_decay), (False, 0.0))
        ]
        step = optimizer([group for group in groups if group["params"]], recipe, recipe.optimizer, fused=False)
        for group in step.param_groups:
            group["lr"] = self.schedule.lr
        for q in pieces:
            moments = self.moments.get(q.name, {})
            step.state[slices[q.name]].update({name: q.cut(m) if m.ndim else m for name, m in moments.items()})
        step.step()
        self.schedule.step()
        for q in pieces:
            if q.name not in self.moments:
                state = {name: m for name, m in step.state[slices[q.name]].items() if isinstance(m, Tensor)}
                self.moments[q.name] = {name: self._whole(q, m) for name, m in state.items()}

    def _whole(self, piece: Piece, moment: Tensor) -> Tensor:
        """A moment of a slice as one of the whole piece, zero elsewhere."""
        if not moment.ndim:  # a number of steps
            return moment
        whole = torch.zeros_like(self.weights.tensors[piece.name])
        piece.cut(whole).copy_(moment)
        return whole

    def _check_memory(self) -> None:
        if self.device.type != "cpu":
            return
        numbers, free = sum(tensor.numel() for tensor in self.weights.tensors.values()), free_memory()
        if 4 * numbers * (COPIES - 1) > free:  # the weights themselves are there
            raise ValueError(
                f"the shared weights of this space are {numbers:,} numbers, whose training takes "
                f"{4 * numbers * COPIES / 2**30:.1f} GiB, and {free / 2**30:.1f} are free; narrow the space, "
                f"for example by --space mlp:max_width=512, or lower the budget"
            )


def common(lesson: Lesson, data: Resident) -> dict[str, Any]:
    """What two lessons of one round have in common."""
    facts = {"pool": [architecture.digest for architecture in lesson.pool], "recipe": asdict(lesson.recipe)}
    return {**facts, "seed": lesson.seed, "epochs": lesson.epochs, "samples": len(data)}
