"""The optimizer of a recipe, from `torch.optim`, fused where torch has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn, optim

from nas.recipe import OPTIMIZERS, Recipe
from nas.train.weights import weight_matrices

# Adam's epsilon: where a gradient is all rounding (BatchNorm cancels that of a feature that is constant in a batch) the
# usual 1e-8 makes whole steps of it, and two machines, or a network in a group and alone, part ways
EPSILON = 1e-6


def make_optimizer(network: nn.Module, recipe: Recipe, name: str = "") -> optim.Optimizer:
    """The optimizer `name`, or the recipe's: of `sam` the Nesterov SGD beneath it, of `adam-sgd` the Adam it begins as.

    Weight decay is on weight matrices alone; biases and normalisation are left free.
    """
    name = name or recipe.optimizer
    matrices = weight_matrices(network)
    known = {id(p) for p in matrices}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    decayed = {"params": matrices, "weight_decay": recipe.weight_decay}
    groups = [group for group in (decayed, {"params": others, "weight_decay": 0.0}) if group["params"]]
    return optimizer(groups, recipe, name)


def optimizer(groups: Sequence[dict[str, Any]], recipe: Recipe, name: str, fused: bool = True) -> optim.Optimizer:
    """The optimizer `name` of these groups. `fused`: never of views, which torch's fused kernels take for the whole."""
    if name == "adamw":
        return optim.AdamW(groups, lr=recipe.lr, eps=EPSILON, fused=fused)
    if name in ("adam", "adam-sgd"):
        return optim.Adam(groups, lr=recipe.lr, eps=EPSILON, fused=fused)
    if name in ("sgd", "nesterov", "sam"):
        nesterov = name != "sgd" and recipe.momentum > 0  # of no momentum there is nothing to look ahead along
        return optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, fused=fused)
    if name == "rmsprop":
        return optim.RMSprop(groups, lr=recipe.lr, momentum=recipe.momentum)
    if name == "adagrad":
        on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
        return optim.Adagrad(groups, lr=recipe.lr, fused=fused and on_cpu)  # elsewhere torch has none that is fused
    raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}")
