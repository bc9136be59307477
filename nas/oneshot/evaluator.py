"""The evaluator of a one-shot search: it trains the shared weights, and says what a candidate reaches with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.evaluate import Training
from nas.job import Job, Outcome
from nas.oneshot.lesson import Lesson
from nas.trial import Row

if TYPE_CHECKING:
    from nas.network import Network
    from nas.oneshot.teaching import Teaching
    from nas.oneshot.weights import SharedWeights
    from nas.train.resident import Resident

BATCH = 128
CALIBRATING = 1024  # training samples from which the statistics of a candidate's BatchNorm are taken


class OneShot(Training):
    """`Training` that also teaches shared weights, and evaluates with them the jobs that name some.

    The value of such a job is the validation accuracy of the network with its slices of the shared weights, and with
    statistics of its own: a figure to rank by, not what the network has once it is trained.
    """

    def prepare(self, device: str) -> None:
        super().prepare(device)
        self._taught: Teaching | None = None
        self._read: tuple[Any, SharedWeights] | None = None  # which file, and what is in it

    def teach(self, lesson: Lesson) -> list[Row]:
        """Train the shared weights to the end of the lesson; a row for every epoch of the round so far."""
        from torch.random import fork_rng

        from nas.oneshot.teaching import Teaching, common

        data = self._parts(self.searched[0])[0]
        with fork_rng(devices=[]):  # a network draws weights when it is made
            if self._taught is None or self._taught.of != common(lesson, data):
                self._taught = Teaching.begun(lesson, data)
        self._taught.go(lesson.until)
        self._taught.leave()
        return list(self._taught.curve)

    def seconds(self, lesson: Lesson) -> float:
        """That an epoch of the lesson takes."""
        from nas.oneshot.teaching import Teaching

        return Teaching(lesson, self._parts(self.searched[0])[0], {}).seconds()

    def together(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome | Exception]]:
        if jobs[0].shared is None:
            yield from super().together(jobs)
        else:
            yield from enumerate(map(self._ranked, jobs))

    def _ranked(self, job: Job) -> Outcome | Exception:
        from torch.random import fork_rng

        from nas.train.loop import evaluate

        began, watch = time.perf_counter(), job.watch()
        assert job.shared is not None
        try:
            watch.step()
            with fork_rng(devices=[]):
                network = self._weights(job.shared).network(job.candidate.architecture)
            train, validation = self._parts(self.searched[0])
            self._calibrate(network, train)
            accuracy, loss = evaluate(network, validation)
        except Exception as error:
            return error
        cost = {"epochs": 0, "seconds": round(time.perf_counter() - began, 4)}
        metrics = {"shared_accuracy": accuracy, "shared_loss": loss, **cost}
        return self._costed(accuracy, job, metrics)

    def _weights(self, file: Path) -> SharedWeights:
        """What is in the file, which is read once."""
        from safetensors.torch import load_file

        from nas.oneshot.weights import SharedWeights

        found = file.stat()
        which = (file, found.st_ino, found.st_size, found.st_mtime_ns)
        if self._read is None or self._read[0] != which:
            tensors = load_file(file, device=str(self._device))
            self._read = which, SharedWeights(tensors, "kaiming_normal", self.seed, self._device)
        return self._read[1]

    def _calibrate(self, network: Network, data: Resident) -> None:
        """Take the statistics of BatchNorm from some training samples, the same for all, with nothing dropped."""
        import torch
        from torch.optim.swa_utils import update_bn

        from nas.train.precision import memory_format
        from nas.train.resident import batches

        layout, shape = memory_format(network), network.plan.architecture.input_shape
        for layer in network.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(self.seed))[:CALIBRATING]
        samples = (data.samples(rows, shape) for rows in batches(order.to(self._device), BATCH))
        update_bn((x.contiguous(memory_format=layout) if x.ndim == 4 else x for x in samples), network)
