"""A search space: one function that draws a network and asks `choose` at every fork.

Sampling, mutation, crossover, enumeration, replay and a controller are different answerers of `choose`. The parameter
budget stands between the function and the answerer: what cannot be completed inside it is never offered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from nas.architecture import Architecture
from nas.budget import UNLIMITED, Budget, BudgetError, Choose, LookAhead, described
from nas.candidate import Candidate, Choice
from nas.diagnosis import diagnose, only_fits
from nas.forks import check_names
from nas.narrow import Narrowing, family, is_number, nearest_to
from nas.ops import Scalar, Shape
from nas.recipe import DEFAULTS, Recipe, choose_recipe, usual_batch

__all__ = ["Candidate", "Choice", "SearchSpace"]

FORKS = 300  # draws that meet every fork of a space

Answer = Callable[[str, Sequence[Scalar], Sequence[float]], int]
"""Name of the fork, options that fit, number of completions of each (or 1) -> position of the option taken."""


class SearchSpace(ABC):
    """The networks from samples of `input_shape` to `classes` logits, inside `budget` (None: of any size).

    A new space writes `describe`. It may write `recipe`, and `completions` where it can count better than look-ahead.
    """

    defaults: Mapping[str, Scalar] = {}  # the option a fork takes where `--only` leaves it out; else its first one
    regularising: frozenset[str] = frozenset()  # forks of `describe` that are of account in training alone
    contexts: tuple[int, ...] = ()  # where a sample is a frame: how many frames either side a network may see
    augmentations: Mapping[str, Scalar] = {}  # fields of the recipe that suit the data, and their usual values
    samples: int | None = None  # of an epoch, once the data has been read
    narrowing = Narrowing()

    def __init__(self, input_shape: Shape, classes: int, budget: Budget | None = None) -> None:
        self.input_shape, self.classes, self.budget = tuple(input_shape), classes, budget

    @abstractmethod
    def describe(self, choose: Choose) -> Architecture:
        """Draw one network, asking `choose(name, options)` at every fork; a name is asked once a draw."""

    def recipe(self, choose: Choose) -> Recipe:
        """How it is trained, through the same `choose`; nothing here may change the number of parameters."""
        return choose_recipe(choose, self.augmentations, self.samples)

    def input(self, choose: Choose) -> Shape:
        """The shape of a sample: of a frame, (2c + 1, features), the context c chosen at the fork `context`."""
        if not self.contexts:
            return self.input_shape
        return (2 * int(choose("context", self.contexts)) + 1, *self.input_shape)

    def offered(self, name: str, options: Sequence[Scalar]) -> Sequence[Scalar]:
        """The options of a fork of `describe` that `--fix` and `--only` leave; there may be none."""
        return self.narrowing.options(name, options, self._usual(name))

    def _usual(self, name: str) -> Scalar | None:
        """What a practitioner would take first at a fork."""
        return self._usuals.get(name, self._usuals.get(family(name)))

    @cached_property
    def _usuals(self) -> dict[str, Scalar]:
        return {**DEFAULTS, "batch_size": usual_batch(self.samples), **self.augmentations, **self.defaults}

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        """Of each option at fork `name`, after the choices `taken`: how many completions fit the budget.

        0 hides an option; the others are the weights `sample` draws with (look-ahead does not count: 1 each).
        """
        return self._look_ahead(taken, name, options)

    @cached_property
    def _look_ahead(self) -> Callable[[Mapping[str, Scalar], str, Sequence[Scalar]], list[float]]:
        if self.budget is None and not self.narrowing:
            return lambda taken, name, options: [1.0] * len(options)
        budget = self.budget or Budget(UNLIMITED)
        return LookAhead(self._described, budget.least, budget.most)

    def _described(self, choose: Choose) -> Architecture:
        """`describe` with the options that the user leaves open; no budget holds it where a fork is left with none."""
        closed = False

        def narrowed(name: str, options: Sequence[Scalar]) -> Scalar:
            nonlocal closed
            left = self.offered(name, options)
            closed = closed or not left
            return choose(name, left or options)

        architecture = described(self, narrowed)
        return _Closed(architecture.input_shape, architecture.nodes) if closed else architecture

    def check(self) -> None:
        """Raise `ValueError` for names and values of `--fix` and `--only` that are not here, or if no network fits."""
        if self.narrowing.names:
            check_names(self)
        if self.budget is None and not self.narrowing:
            return
        try:
            self.draw(lambda name, options, weights: 0)
        except BudgetError:
            raise BudgetError(self._diagnosis(self.budget or Budget(UNLIMITED))) from None

    def draw(self, answer: Answer) -> Candidate:
        """The one door: every candidate of every strategy comes from here, answered fork by fork."""
        taken: dict[str, Scalar] = {}
        choices: list[Choice] = []

        def take(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> Scalar:
            if name in taken:
                raise ValueError(f"space {self} asks {name!r} twice in one draw; give each fork its own name")
            if not all(weights) or not weights:
                fitting = [(o, w) for o, w in zip(options, weights, strict=True) if w > 0]
                if not fitting:
                    raise BudgetError(f"no option of {name!r} fits the parameter budget after {taken}")
                options, weights = zip(*fitting, strict=True)
            index = int(answer(name, options, weights))
            choices.append(Choice(name, tuple(options), index))
            taken[name] = value = options[index]
            return value

        narrowed = bool(self.narrowing)

        def build(name: str, options: Sequence[Scalar]) -> Scalar:
            options = self.offered(name, options) if narrowed else options
            return take(name, options, self.completions(taken, name, options))

        def train(name: str, options: Sequence[Scalar]) -> Scalar:
            options = self.narrowing.training(name, options, self._usual(name)) if narrowed else options
            return take(name, options, (1.0,) * len(options))

        architecture, recipe = described(self, build), self.recipe(train)
        if self.budget is not None and architecture.num_params not in self.budget:
            found = f"{architecture.num_params:,} parameters, outside the budget, after {taken}"
            raise ValueError(f"describe of space {self} must go by its choices alone; a network has {found}")
        return Candidate(architecture, recipe, tuple(choices))

    def sample(self, rng: np.random.Generator) -> Candidate:
        """A random candidate: at each fork an option in proportion to its completions."""
        return self.draw(lambda name, options, weights: weighted(weights, rng))

    def default(self) -> Candidate:
        """The candidate of all defaults; where one does not fit the budget, the nearest that does."""
        return self.nearest({})

    def nearest(self, values: Mapping[str, Scalar], rng: np.random.Generator | None = None) -> Candidate:
        """The candidate of these decisions; of one that does not fit the nearest that does, of others the default.

        With `rng` the others are drawn.
        With `{**parent.values, name: value}` a neighbour of `parent`: as of `mutate`, but without any chance.
        """

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            kept = _kept(values, name, options)
            if kept is None:
                return nearest_to(self._usual(name), options) if rng is None else weighted(weights, rng)
            return kept

        return self.draw(answer)

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

        return self.draw(answer)

    def crossover(self, a: Candidate, b: Candidate, rng: np.random.Generator) -> Candidate:
        """Each decision from one of the parents, by a fair coin; what does not fit is the nearest that does."""
        first, second = a.values, b.values

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            one, other = (first, second) if rng.random() < 0.5 else (second, first)
            return _inherit(one if name in one else other, name, options, weights, rng)

        return self.draw(answer)

    def replay(self, values: Mapping[str, Scalar], fidelity: float = 1.0, horizon: float | None = None) -> Candidate:
        """The candidate of recorded choices. Raises `ValueError` where one is missing or not offered here."""

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            if name not in values:
                raise ValueError(f"space {self} asks {name!r}, which the recorded choices do not answer")
            if values[name] not in options:
                raise ValueError(f"{name}={values[name]!r} is not offered by space {self}; it offers {list(options)}")
            return list(options).index(values[name])

        return replace(self.draw(answer), fidelity=fidelity, horizon=horizon)

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

    def on(
        self,
        contexts: Sequence[int] = (),
        augmentations: Mapping[str, Scalar] | None = None,
        narrowing: Narrowing | None = None,
    ) -> SearchSpace:
        """The same space on data of this kind, and with what the user leaves open."""
        twin = self._twin()
        twin.contexts, twin.augmentations = tuple(contexts), augmentations or {}
        twin.narrowing = narrowing or Narrowing()
        return twin

    def sized(self, samples: int) -> SearchSpace:
        """The same space on data of which an epoch has so many samples; what has been counted stays."""
        twin = copy(self)
        twin.__dict__.pop("_usuals", None)
        twin.samples = samples
        return twin

    def within(self, budget: Budget | None) -> SearchSpace:
        """The same space inside another budget, or none."""
        twin = self._twin()
        twin.budget = budget
        return twin

    def _twin(self) -> SearchSpace:
        """A copy without what this one has counted and cached."""
        twin = copy(self)
        for name, value in ((name, value) for cls in type(self).__mro__ for name, value in vars(cls).items()):
            if isinstance(value, cached_property):
                twin.__dict__.pop(name, None)
        return twin

    def smallest(self) -> Architecture:
        """The smallest network, whatever the budget."""
        return LookAhead(self.within(None)._described, 0, 0).smallest()

    def survey(self) -> Iterator[dict[str, dict[Scalar, None]]]:
        """The forks that draws meet, each with the options it has offered them: after one draw, after two, ..."""
        rng = np.random.default_rng(0)
        met: dict[str, dict[Scalar, None]] = {}
        for _ in range(FORKS):
            for choice in self.sample(rng).choices:
                met.setdefault(choice.name, {}).update(dict.fromkeys(choice.options))
            yield met

    def _diagnosis(self, budget: Budget) -> str:
        inputs = "x".join(map(str, self.input_shape))
        where = f"space {self} on {inputs} inputs and {self.classes} classes"
        where += ", as --fix and --only leave it," if self.narrowing else ""
        if self.narrowing.only is not None:
            return only_fits(where, self, budget)
        network = self.smallest()
        if isinstance(network, _Closed):
            return f"--fix leaves no network of {where}; its values rule each other out"
        return diagnose(where, network, budget)


class _Closed(Architecture):
    """A network that `--fix` rules out: larger than any budget."""

    @cached_property
    def num_params(self) -> int:
        return 2 * UNLIMITED


def weighted(weights: Sequence[float], rng: np.random.Generator) -> int:
    """A position, in proportion to the weights."""
    if len(weights) == 1:
        return 0
    total = list(accumulate(weights))  # a fork has few options: numpy would take ten times as long
    return bisect_right(total, rng.random() * total[-1])


def _kept(values: Mapping[str, Any], name: str, options: Sequence[Any]) -> int | None:
    """The option that `values` has at this fork; the nearest number; None where there is neither."""
    if name not in values:
        return None
    wanted = values[name]
    if wanted in options:
        return options.index(wanted)
    return nearest_to(wanted, options) if is_number(wanted) and all(map(is_number, options)) else None


def _inherit(
    values: Mapping[str, Any], name: str, options: Sequence[Any], weights: Sequence[float], rng: np.random.Generator
) -> int:
    """What is kept of `values`; where that is nothing, a weighted draw."""
    if len(options) == 1:
        return 0
    kept = _kept(values, name, options)
    return weighted(weights, rng) if kept is None else kept
