"""Training hyper-parameters, chosen at the same forks as the architecture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from nas.budget import Choose

ADAM_RATES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)  # log scale
SGD_RATES = (3e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    optimizer: str = "adamw"  # adamw, adam, sgd (Nesterov momentum 0.9)
    lr: float = 1e-3  # the highest learning rate of the schedule
    weight_decay: float = 0.0  # on weight matrices alone
    batch_size: int = 128
    schedule: str = "cosine"  # constant, cosine (to zero), onecycle
    initialisation: str = (
        "kaiming_normal"  # xavier_ or kaiming_, uniform or normal; gain of the activation that follows
    )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})

    to_json = asdict


def choose_recipe(choose: Choose) -> Recipe:
    """The recipes that every space searches by default."""
    optimizer = str(choose("optimizer", ("adamw", "adam", "sgd")))
    return Recipe(
        optimizer=optimizer,
        lr=float(choose("lr", SGD_RATES if optimizer == "sgd" else ADAM_RATES)),
        weight_decay=float(choose("weight_decay", (0.0, 1e-5, 1e-4, 1e-3, 1e-2))),
        batch_size=int(choose("batch_size", (64, 128, 256, 512))),
        schedule=str(choose("schedule", ("constant", "cosine", "onecycle"))),
        initialisation=str(
            choose("initialisation", ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"))
        ),
    )
