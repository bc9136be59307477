"""Candidate -> metrics: what a worker does with one job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nas.dataset import Dataset
from nas.space import Candidate
from nas.trial import Row


@dataclass(frozen=True)
class Job:
    """Evaluate a candidate. The weights go to `weights` if the value is at least `beat`."""

    number: int
    candidate: Candidate
    seed: int
    weights: Path | None = None
    beat: float = float("-inf")


@dataclass(frozen=True)
class Outcome:
    """The objectives (to be maximised), facts about the training, and one row an epoch."""

    values: tuple[float, ...]
    metrics: Row
    curve: tuple[Row, ...] = ()


class Evaluator(Protocol):
    """What runs on a worker. Prepared once a worker, then called for every job; an exception is a failed trial."""

    def prepare(self, device: str) -> None: ...

    def __call__(self, job: Job) -> Outcome: ...


def evaluate(evaluator: Evaluator, job: Job) -> Outcome:
    """What the study submits to a worker."""
    return evaluator(job)


class Training:
    """Trains the candidate's network; the objective is validation accuracy at the best epoch."""

    def __init__(self, dataset: Dataset, *, epochs: int, patience: int) -> None:
        self.dataset, self.epochs, self.patience = dataset, epochs, patience

    def prepare(self, device: str) -> None:
        """Put the data on the device. torch is imported here and not before: the coordinator does without."""
        import torch

        from nas.train.loop import Resident

        self._device = torch.device(device)
        parts = (self.dataset.train, self.dataset.validation)
        self._train, self._validation = (Resident.of(part, self.dataset, self._device) for part in parts)

    def __call__(self, job: Job) -> Outcome:
        from nas.train.loop import train

        start = time.perf_counter()
        fitted = train(
            job.candidate.architecture,
            job.candidate.recipe,
            self._train,
            self._validation,
            epochs=max(1, round(self.epochs * job.candidate.fidelity)),
            patience=self.patience,
            seed=job.seed,
        )
        value = fitted.best["val_accuracy"]
        if job.weights is not None and value >= job.beat:
            save_weights(fitted.network.state_dict(), job.weights)
        kept = {key: fitted.best[key] for key in ("val_accuracy", "val_loss", "train_loss")}
        cost = {"epochs": len(fitted.curve), "seconds": round(time.perf_counter() - start, 4)}
        metrics = {**kept, "best_epoch": fitted.best_epoch, **cost}
        return Outcome((value,), metrics, tuple(fitted.curve))

    def test(self, candidate: Candidate, weights: Path) -> float:
        """Accuracy on the test part of the network with these weights."""
        from safetensors.torch import load_file

        from nas.network import Network
        from nas.train.loop import Resident, evaluate

        network = Network(candidate.architecture)
        network.load_state_dict(load_file(weights))
        return evaluate(network.to(self._device), Resident.of(self.dataset.test, self.dataset, self._device))[0]


def save_weights(state: dict[str, Any], path: Path) -> None:
    """Write safetensors at once or not at all. Raises `OSError`: the disk's failure, not the network's."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = path.with_suffix(".partial")
    try:
        save_file({name: tensor.cpu().contiguous() for name, tensor in state.items()}, partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"the weights cannot be written to {path}: {error}") from None
