"""A search space: one function that draws a network and asks `choose` at every fork.

Sampling, mutation, crossover, enumeration, replay and a controller are different answerers of `choose`. The parameter
budget stands between the function and the answerer: what cannot be completed inside it is never offered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nas.architecture import Architecture
from nas.budget import Budget, BudgetError, Choose, LookAhead, format_size
from nas.ops import Scalar, Shape
from nas.recipe import Recipe, choose_recipe

Answer = Callable[[str, Sequence[Scalar], Sequence[float]], int]
"""Name of the fork, options that fit, number of completions of each (or 1) -> position of the option taken."""


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
    """An architecture, how to train it, and the choices that led to both. `fidelity` is the share of full training."""

    architecture: Architecture
    recipe: Recipe
    choices: tuple[Choice, ...]
    fidelity: float = 1.0

    @property
    def values(self) -> dict[str, Scalar]:
        """The choices as a plain mapping, fork name -> value: what `SearchSpace.replay` takes."""
        return {choice.name: choice.value for choice in self.choices}

    @property
    def key(self) -> tuple[str, Recipe, float]:
        """Equal for two candidates whose training would be the same."""
        return self.architecture.digest, self.recipe, self.fidelity


class SearchSpace(ABC):
    """The networks from samples of `input_shape` to `classes` logits, inside `budget` (None: of any size).

    A new space writes `describe`. It may write `recipe`, and `completions` where it can count better than look-ahead.
    """

    def __init__(self, input_shape: Shape, classes: int, budget: Budget | None = None) -> None:
        self.input_shape, self.classes, self.budget = tuple(input_shape), classes, budget

    @abstractmethod
    def describe(self, choose: Choose) -> Architecture:
        """Draw one network, asking `choose(name, options)` at every fork; a name is asked once a draw."""

    def recipe(self, choose: Choose) -> Recipe:
        """How it is trained, through the same `choose`; nothing here may change the number of parameters."""
        return choose_recipe(choose)

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        """Of each option at fork `name`, after the choices `taken`: how many completions fit the budget.

        0 hides an option; the others are the weights `sample` draws with (look-ahead does not count: 1 each).
        """
        return self._look_ahead(taken, name, options)

    @cached_property
    def _look_ahead(self) -> Callable[[Mapping[str, Scalar], str, Sequence[Scalar]], list[float]]:
        if self.budget is None:
            return lambda taken, name, options: [1.0] * len(options)
        return LookAhead(self.describe, self.budget.least, self.budget.most)

    def check(self) -> None:
        """Raise `BudgetError` if no network fits, naming the network that comes nearest."""
        if self.budget is None:
            return
        try:
            self.draw(lambda name, options, weights: 0)
        except BudgetError:
            raise BudgetError(self._diagnosis(self.budget)) from None

    def draw(self, answer: Answer) -> Candidate:
        """The one door: every candidate of every strategy comes from here, answered fork by fork."""
        taken: dict[str, Scalar] = {}
        choices: list[Choice] = []

        def take(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> Scalar:
            if name in taken:
                raise ValueError(f"space {self} asks {name!r} twice in one draw; give each fork its own name")
            if not all(weights):
                fitting = [(o, w) for o, w in zip(options, weights, strict=True) if w > 0]
                if not fitting:
                    raise BudgetError(f"no option of {name!r} fits the parameter budget after {taken}")
                options, weights = zip(*fitting, strict=True)
            choice = Choice(name, tuple(options), int(answer(name, options, weights)))
            choices.append(choice)
            taken[name] = choice.value
            return choice.value

        architecture = self.describe(lambda name, options: take(name, options, self.completions(taken, name, options)))
        recipe = self.recipe(lambda name, options: take(name, options, (1.0,) * len(options)))
        if self.budget is not None:
            assert architecture.num_params in self.budget, (architecture.num_params, self.budget, taken)
        return Candidate(architecture, recipe, tuple(choices))

    def sample(self, rng: np.random.Generator) -> Candidate:
        """A random candidate: at each fork an option in proportion to its completions."""
        return self.draw(lambda name, options, weights: _weighted(weights, rng))

    def mutate(self, parent: Candidate, rng: np.random.Generator) -> Candidate:
        """`parent` with one decision changed; what follows from it is kept, or is the nearest that still fits."""
        changeable = [c.name for c in parent.choices if len(c.options) > 1]
        if not changeable:
            return parent
        target, values = changeable[rng.integers(len(changeable))], parent.values

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            if name != target:
                return _inherit(values, name, options, weights, rng)
            others = [i for i, option in enumerate(options) if option != values[name]]
            return int(others[rng.integers(len(others))])

        return replace(self.draw(answer), fidelity=parent.fidelity)

    def crossover(self, a: Candidate, b: Candidate, rng: np.random.Generator) -> Candidate:
        """Each decision from one of the parents, by a fair coin; what does not fit is the nearest that does."""
        first, second = a.values, b.values

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            one, other = (first, second) if rng.random() < 0.5 else (second, first)
            return _inherit(one if name in one else other, name, options, weights, rng)

        return replace(self.draw(answer), fidelity=a.fidelity)

    def replay(self, values: Mapping[str, Scalar], fidelity: float = 1.0) -> Candidate:
        """The candidate of recorded choices. Raises `ValueError` where one is missing or not offered here."""

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            if name not in values:
                raise ValueError(f"space {self} asks {name!r}, which the recorded choices do not answer")
            if values[name] not in options:
                raise ValueError(f"{name}={values[name]!r} is not offered by space {self}; it offers {list(options)}")
            return list(options).index(values[name])

        return replace(self.draw(answer), fidelity=fidelity)

    def __iter__(self) -> Iterator[Candidate]:
        """Every candidate, once for each way of answering; only for small spaces."""
        path: list[int] = []
        while True:
            answers = iter(path)
            candidate = self.draw(lambda name, options, weights: next(answers, 0))  # noqa: B023  # used at once
            yield candidate
            path += [0] * (len(candidate.choices) - len(path))
            while path and path[-1] + 1 == len(candidate.choices[len(path) - 1].options):
                path.pop()
            if not path:
                return
            path[-1] += 1

    def __str__(self) -> str:
        return type(self).__module__.rpartition(".")[2] or type(self).__name__

    def unlimited(self) -> SearchSpace:
        """The same space without its budget."""
        twin = copy(self)
        twin.budget = None
        twin.__dict__.pop("_look_ahead", None)
        return twin

    def smallest(self) -> Architecture:
        """The smallest network, whatever the budget."""
        return LookAhead(self.unlimited().describe, 0, 0).smallest()

    def _diagnosis(self, budget: Budget) -> str:
        inputs = "x".join(map(str, self.input_shape))
        where = f"space {self} on {inputs} inputs and {self.classes} classes"
        network = self.smallest()
        if network.num_params <= budget.most:
            return (
                f"no network of {where} uses at least {budget.fill:g} of the parameter budget {budget.most:,}; "
                f"lower --fill or --budget"
            )
        largest = max(range(len(network.nodes)), key=lambda i: network.layer_params[i])
        layers = [i for i, n in enumerate(network.nodes) if network.layer_params[i]]
        position = "its first layer" if largest == layers[0] else f"one {network.nodes[largest].op}"
        return (
            f"the smallest network of {where} has {network.num_params:,} parameters, "
            f"{network.layer_params[largest]:,} of them in {position}, and the parameter budget is {budget.most:,}; "
            f"raise --budget to at least {format_size(network.num_params, up=True)} or lower the number of inputs"
        )


def _weighted(weights: Sequence[float], rng: np.random.Generator) -> int:
    total = np.cumsum(weights)
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))


def _inherit(
    values: Mapping[str, Any], name: str, options: Sequence[Any], weights: Sequence[float], rng: np.random.Generator
) -> int:
    """The option that `values` has at this fork; the nearest number; a weighted draw where there is neither."""
    wanted = values.get(name)
    if wanted in options and name in values:
        return list(options).index(wanted)
    if _is_number(wanted) and all(map(_is_number, options)):
        return min(range(len(options)), key=lambda i: abs(options[i] - wanted))
    return _weighted(weights, rng)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
