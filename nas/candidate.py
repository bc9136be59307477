"""What a strategy asks for: an architecture, how it is trained and how far, and the choices that led there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nas.architecture import Architecture
from nas.ops import Scalar
from nas.recipe import Recipe


@dataclass(frozen=True)
class Choice:
    """What was offered at a fork, and what was taken."""

    name: str
    options: tuple[Scalar, ...]
    index: int

    @property
    def value(self) -> Scalar:
        return self.options[self.index]


@dataclass(frozen=True)
class Candidate:
    """An architecture, how to train it, and the choices that led to both.

    `fidelity` is the share of full training that it is given, and `horizon` the share that its learning rate's schedule
    spans: more than the fidelity where the training may be continued later. None: the fidelity itself.
    """

    architecture: Architecture
    recipe: Recipe
    choices: tuple[Choice, ...]
    fidelity: float = 1.0
    horizon: float | None = None

    @property
    def values(self) -> dict[str, Scalar]:
        """The choices as a plain mapping, fork name -> value: what `SearchSpace.replay` takes."""
        return {choice.name: choice.value for choice in self.choices}

    def to_json(self) -> dict[str, Any]:
        """The choices, from which it is replayed, and what somebody who reads them wants to know."""
        network = self.architecture
        facts = {"params": network.num_params, "network": str(network), "widths": list(network.widths)}
        shares = {"fidelity": self.fidelity} | ({} if self.horizon is None else {"horizon": self.horizon})
        return {**facts, "choices": self.values, **shares}

    @property
    def span(self) -> float:
        """The share of full training that the schedule spans."""
        return self.fidelity if self.horizon is None else self.horizon

    @property
    def progress(self) -> float:
        """The share of its schedule that it is trained for: below 1 where it may be continued."""
        return self.fidelity / self.span

    @property
    def lineage(self) -> tuple[str, Recipe, float]:
        """Equal for two candidates of which one's training is the beginning of the other's."""
        return self.architecture.digest, self.recipe, self.span

    @cached_property
    def key(self) -> tuple[str, Recipe, float, float]:
        """Equal for two candidates whose training would be the same."""
        return self.architecture.digest, self.recipe, self.fidelity, self.span
