"""The loop of PyTorch's tutorials: a DataLoader, autograd, Adam as it comes, a look at the validation part every epoch.

It imports nothing of ours, so that a process that a framework starts for it has no more to import than torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch._dynamo  # the first optimizer would import it, and imports are not what is measured
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.task import FIELDS, Task

Data = tuple[Tensor, Tensor, Tensor, Tensor]
Told = Callable[[int, float], object]  # the epoch, from 1, and the best validation accuracy so far


def load(file: str) -> Data:
    with np.load(file) as arrays:
        x, y, x_validation, y_validation = (torch.from_numpy(arrays[name]) for name in FIELDS)
    return x, y, x_validation, y_validation


def perceptron(inputs: int, widths: Sequence[int], classes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    """With the initialisation that ours has, so that both come to the same accuracy."""
    layers: list[nn.Module] = []
    for before, width in zip((inputs, *widths), widths, strict=False):
        layers += [nn.Linear(before, width), activation()]
    network = nn.Sequential(*layers, nn.Linear(widths[-1], classes))
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer is network[-1] else "relu")
            nn.init.zeros_(layer.bias)
    return network


def fit(network: nn.Module, data: Data, batch: int, epochs: int, lr: float, told: Told | None = None) -> float:
    """The best validation accuracy of all epochs. What `told` raises ends the training."""
    x, y, x_validation, y_validation = data
    training = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
    validation = DataLoader(TensorDataset(x_validation, y_validation), batch_size=batch)
    loss_of, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(network.parameters(), lr=lr)
    best = 0.0
    for epoch in range(1, epochs + 1):
        network.train()
        for samples, labels in training:
            optimizer.zero_grad()
            loss_of(network(samples), labels).backward()
            optimizer.step()
        best = max(best, accuracy(network, validation) / len(y_validation))
        if told is not None:
            told(epoch, best)
    return best


def accuracy(network: nn.Module, validation: DataLoader[tuple[Tensor, ...]]) -> int:
    """Hits."""
    network.eval()
    hits = 0
    with torch.no_grad():
        for samples, labels in validation:
            hits += int((network(samples).argmax(1) == labels).sum())
    return hits


def train(task: Task, data: Data, number: int, told: Told | None = None) -> float:
    """Network `number` of the task, from its number as the seed."""
    torch.manual_seed(number)
    network = perceptron(data[0].shape[1], task.networks[number], int(data[1].max()) + 1)
    return fit(network, data, task.batch, task.epochs, task.lr, told)


def run(task: Task) -> list[float]:
    """One network after the other."""
    data = load(task.file)
    return [train(task, data, number) for number in range(len(task.networks))]
