"""Candidate -> metrics: what a worker does with a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.architecture import Architecture
from nas.dataset import Array, Dataset
from nas.executor import spoils
from nas.job import Job, Member, Outcome, Teacher
from nas.latency import Latency
from nas.live import Watch
from nas.objectives import ACCURACY, costs
from nas.resample import Cut, sampled
from nas.resample import folds as folded
from nas.space import Candidate
from nas.train.fused.plan import Verdict
from nas.trial import Row
from nas.weights import load_weights, save_weights, snapshot_file

if TYPE_CHECKING:
    from nas.train.loop import Fitted

Numbered = tuple[int, Job, Watch]


@dataclass(frozen=True)
class Stopping:
    """When a training ends early: `patience` epochs in a row without `min_change` more validation accuracy."""

    epochs: int
    patience: int
    min_change: float = 0.0
    patience_from: int = 0  # the epoch before which no training ends


class Training:
    """Trains the candidate's network; the first objective is validation accuracy, the mean over `folds`.

    In the search it is that of the best epoch; in a final training that of the last one, which is not flattered.
    `fused`: perceptrons by `nas.train.fused`, alone or several at once, with the same numbers up to rounding.
    """

    def __init__(
        self,
        dataset: Dataset,
        stopping: Stopping,
        *,
        sample: float = 1.0,
        folds: int = 1,
        seed: int = 0,
        fused: bool = True,
        objectives: Sequence[str] = (ACCURACY,),
    ) -> None:
        self.dataset, self.stopping, self.seed, self.fused = dataset, stopping, seed, fused
        self.objectives = objectives
        self.latency: Latency | None = None  # where that is an objective
        part = sampled(dataset, sample, seed)
        self.whole = Cut(dataset)
        searched = self.whole if part is dataset else Cut(part)
        self.searched = [searched] if folds == 1 else folded(part, folds, seed)

    def prepare(self, device: str) -> None:
        """Put the data on the device. torch is imported here and not before: the coordinator does without."""
        import torch

        self._device = torch.device(device)
        if self._device.index is not None:  # else each worker has a context on the first GPU too
            torch.cuda.set_device(self._device)
        self._resident: dict[int, Any] = {}

    def __call__(self, job: Job) -> Outcome:
        ((_, found),) = self.together([job])
        if isinstance(found, Exception):
            raise found
        return found

    def together(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome | Exception]]:
        """As each ends, its position and its outcome or failure.

        Those that `nas.train.fused` can train as one must be alike in its sense.
        """
        watches = [job.watch() for job in jobs]
        fits: list[list[Fitted]] = [[] for _ in jobs]
        cuts, left = [self.whole] if jobs[0].final else self.searched, list(range(len(jobs)))
        for fold, cut in enumerate(cuts, 1):
            going, left = [(n, jobs[n], watches[n]) for n in left], []
            for n, found in self._train(going, cut, fold):
                if isinstance(found, Exception):
                    yield n, found
                    continue
                fits[n].append(found)
                left = sorted([*left, n])
                if fold == len(cuts):
                    yield n, self._outcome(jobs[n], fits[n], len(jobs))

    def _train(self, jobs: Sequence[Numbered], cut: Cut, fold: int) -> Iterator[tuple[int, Fitted | Exception]]:
        """On one cut of the data, as they end."""
        from nas.train.fused.group import train_together

        if not jobs or not self._fused(jobs[0][1]):
            for n, job, watch in jobs:
                yield n, self._alone(job, watch, cut, fold)
            return
        left = dict.fromkeys(n for n, _, _ in jobs)
        try:
            members = [self._member(job, watch, fold) for _, job, watch in jobs]
            for position, found in train_together(members, *self._parts(cut), epochs=self._epochs(jobs[0][1])):
                del left[n := jobs[position][0]]
                yield n, found
            return
        except Exception as error:  # too large for the memory, or one of them is the others' ruin
            if len(left) == 1:
                yield next(iter(left)), error
                return
            if spoils(error):  # whoever waits for them sends them to a new process
                raise
        again = [entry for entry in jobs if entry[0] in left]
        half = len(again) // 2  # nothing is lost by it but the time
        yield from self._train(again[:half], cut, fold)
        yield from self._train(again[half:], cut, fold)

    @property
    def spoilt(self) -> bool:
        """Whether this process is of no more use, though no job need have failed: a recording of CUDA calls has."""
        from nas.train.fused.graph import Recording

        return not Recording.works

    def _fused(self, job: Job) -> bool:
        """Whether it is trained in a group, if only of one."""
        from nas.train.fused.plan import likeness

        fits = self.fused and likeness(job.candidate, self._device.type) is not None
        return fits and not job.snapshots and job.teacher is None

    def _epochs(self, job: Job) -> int:
        return max(1, round(self.stopping.epochs * job.candidate.fidelity))

    def _segment(self, job: Job, fold: int) -> Any:
        from nas.train.checkpoint import Segment

        horizon = max(self._epochs(job), round(self.stopping.epochs * job.candidate.span))
        return Segment(horizon, *job.checkpoints(fold))

    def _member(self, job: Job, watch: Watch, fold: int) -> Any:
        from nas.train.fused import member as fused
        from nas.train.loop import Patience

        stop, candidate = self.stopping, job.candidate
        patience = self._epochs(job) if job.final else stop.patience
        stopping = Patience(patience, stop.min_change, stop.patience_from)
        order = job.seed if job.order is None else job.order
        told = job.seed, stopping, order, job.final, watch, self._segment(job, fold)
        return fused.Member(candidate.architecture, candidate.recipe, *told)

    def _alone(self, job: Job, watch: Watch, cut: Cut, fold: int) -> Fitted | Exception:
        from nas.train.loop import train

        stop, epochs = self.stopping, self._epochs(job)
        try:
            return train(
                job.candidate.architecture,
                job.candidate.recipe,
                *self._parts(cut),
                epochs=epochs,
                patience=epochs if job.final else stop.patience,
                min_change=stop.min_change,
                patience_from=stop.patience_from,
                seed=job.seed,
                order=job.order,
                watch=watch,
                soft=self._soft(job.teacher),
                snapshots=job.snapshots,
                keep_last=job.final,
                segment=self._segment(job, fold),
            )
        except Exception as error:
            return error

    def _outcome(self, job: Job, fits: Sequence[Fitted], together: int) -> Outcome:
        """What is told of a training, whose weights are kept; its seconds are those of its epochs alone."""
        value = fmean(fit.best["val_accuracy"] for fit in fits)
        if job.weights is not None and value >= job.beat and len(fits) == 1:
            save_weights(fits[0].network.state_dict(), job.weights)
            for name, state in fits[0].snapshots.items():
                save_weights(state, snapshot_file(job.weights, name))
        metrics = {key: fmean(fit.best[key] for fit in fits) for key in ("val_accuracy", "val_loss", "train_loss")}
        if len(fits) > 1:
            metrics["val_accuracy_std"] = stdev(fit.best["val_accuracy"] for fit in fits)
        trained = [row for fit in fits for row in fit.curve[fit.before :]]
        cost = {"epochs": len(trained), "seconds": round(sum(row["seconds"] for row in trained), 4)}
        metrics = {**metrics, "best_epoch": round(fmean(fit.best_epoch for fit in fits)), **cost}
        if job.teacher is not None:
            metrics["teacher"] = job.teacher.number
        if together > 1:
            metrics["together"] = together
        which = [{"fold": n} if len(fits) > 1 else {} for n in range(1, len(fits) + 1)]
        curve = tuple({**row, **which[n]} for n, fit in enumerate(fits) for row in fit.curve)
        return self._costed(value, job, metrics, curve)

    def _costed(self, accuracy: float, job: Job, metrics: Row, curve: tuple[Row, ...] = ()) -> Outcome:
        """With what the network costs, where that is an objective; of the metrics it is one but for the parameters."""
        spent = costs(job.candidate.architecture, self.objectives, self.latency)
        beside = {name: cost for name, cost in spent.items() if name != "params"}
        return Outcome((accuracy, *(-float(cost) for cost in spent.values())), {**metrics, **beside}, curve)

    def latencies(self, architectures: Sequence[Architecture]) -> list[float]:
        """Milliseconds of a sample, of each, on the device."""
        from nas.train.latency import milliseconds

        return milliseconds(architectures, self._device)

    def trial(self) -> Verdict:
        """Whether groups are to be had on the device, and what they cost there."""
        from nas.train.fused.trial import trial

        return trial(self._device)

    def check(self, candidate: Candidate) -> list[str]:
        """Warnings about the training part, from a small network; a sentence each.

        Raises `ValueError` where the recipe of `candidate` cannot be had on these data or this device.
        """
        from nas.network import Network
        from nas.train.augment import augmentation
        from nas.train.precision import autocast_type
        from nas.train.sanity import check_training

        shape = candidate.architecture.input_shape
        augmentation(candidate.recipe, shape)
        if candidate.recipe.precision != "auto":
            autocast_type(Network(candidate.architecture), candidate.recipe, self._device)
        return check_training(self._parts(self.searched[0])[0], shape, len(self.dataset.classes))

    def _parts(self, cut: Cut) -> tuple[Any, Any]:
        """Training and validation parts on the device, kept there unless they are one of several folds."""
        from nas.normalise import affine
        from nas.train.resident import Resident

        dataset = cut.dataset()
        train, validation = dataset.train, dataset.validation
        kept = self._resident if cut.train is None else {}
        if missing := [part for part in (train, validation) if id(part) not in kept]:
            fitted = affine(dataset)
            kept |= {id(part): Resident.of(part, dataset, self._device, fitted) for part in missing}
        return kept[id(train)], kept[id(validation)]

    def test(self, candidate: Candidate, weights: Path) -> float | None:
        """Accuracy on the test part of the network with these weights; None where they are missing or damaged."""
        from nas.train.loop import evaluate
        from nas.train.resident import Resident

        network = self._trained(candidate, weights)
        if network is None:
            return None
        return evaluate(network, Resident.of(self.dataset.test, self.dataset, self._device))[0]

    def probabilities(self, member: Member, rows: Array | None = None, part: str = "validation") -> Array | None:
        """Of a part of the data, or of some rows of it, float32 (n, classes).

        None where the weights are missing or damaged.
        """
        logits = self._logits(member, self._resident_part(part))
        if logits is None:
            return None
        found: Array = logits.softmax(1).cpu().numpy()
        return found if rows is None else found[rows]

    def _resident_part(self, part: str) -> Any:
        """A part as it is on the device, made once."""
        from nas.train.resident import Resident

        data = getattr(self.dataset, part)
        if id(data) not in self._resident:
            self._resident[id(data)] = Resident.of(data, self.dataset, self._device)
        return self._resident[id(data)]

    def test_together(self, members: Sequence[Member]) -> float:
        """Accuracy on the test part of the mean of the members' probabilities."""
        found = [self.probabilities(member, part="test") for member in members]
        if any(p is None for p in found):
            raise ValueError("the weights of a member are missing or damaged")
        mean = sum(m.share * p for m, p in zip(members, found, strict=True) if p is not None)
        return float((np.argmax(mean, 1) == self.dataset.test.y).mean())

    def _soft(self, teacher: Teacher | None) -> Any:
        """What the teacher says of the whole training part; None without one."""
        from nas.train.distil import Soft

        if teacher is None:
            return None
        taught = [(m.share, self._logits(m, self._parts(self.whole)[0])) for m in teacher.members]
        if any(logits is None for _, logits in taught):
            raise ValueError("the weights of a teacher are missing or damaged")
        return Soft.mean(taught, teacher.temperature)

    def _logits(self, member: Member, data: Any) -> Any:
        import torch

        from nas.train.loop import outputs

        network = self._trained(member.candidate, member.weights)
        return None if network is None else torch.cat([logits.clone() for _, logits in outputs(network, data)])

    def _trained(self, candidate: Candidate, weights: Path) -> Any:
        """The network with these weights on the device; None where they are missing or damaged."""
        from nas.network import Network

        network = Network(candidate.architecture)
        return network.to(self._device) if load_weights(network, weights) else None
