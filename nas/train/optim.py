"""Optimizer and schedule of a recipe, all from `torch.optim`."""

from __future__ import annotations

from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR

from nas.recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """Fused, with weight decay on weight matrices alone (biases and normalisation are left free)."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return optim.AdamW(groups, lr=recipe.lr, fused=True)
    if recipe.optimizer == "adam":
        return optim.Adam(groups, lr=recipe.lr, fused=True)
    if recipe.optimizer == "sgd":
        return optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=True)
    raise ValueError(f"unknown optimizer {recipe.optimizer!r}; known: adam, adamw, sgd")


def make_schedule(optimizer: optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """The learning rate over `steps` optimizer steps; `recipe.lr` is its highest value."""
    if recipe.schedule == "constant":
        return LambdaLR(optimizer, lambda step: 1.0)
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=max(1, steps))
    if recipe.schedule == "onecycle":
        return OneCycleLR(optimizer, max_lr=recipe.lr, total_steps=steps + 2, cycle_momentum=False)
    raise ValueError(f"unknown schedule {recipe.schedule!r}; known: constant, cosine, onecycle")
