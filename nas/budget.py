"""The parameter budget: reading it, and asking at a fork which options can still be completed inside it."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Protocol

from nas.architecture import Architecture
from nas.ops import Scalar

Choose = Callable[[str, Sequence[Scalar]], Scalar]  # what a space calls at a fork: name, options -> one of the options
Pick = Callable[[Sequence[Scalar]], Scalar]
UNLIMITED = 10**15  # parameters: no budget
_TRIES = 200  # random completions tried for a fill
_SWEEPS = 100  # of all forks, after which the cheapest answers are taken to be found; a few suffice
_MEMO = 100_000  # witnesses kept
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


class Described(Protocol):
    """A search space."""

    classes: int

    def describe(self, choose: Choose) -> Architecture: ...


def described(space: Described, choose: Choose) -> Architecture:
    """`space.describe(choose)`. Raises `ValueError` where a fork, or what is returned, is not what it must be."""
    names = set[str]()

    def asked(name: str, options: Sequence[Scalar]) -> Scalar:
        if name in names:
            raise ValueError(f"space {space} asks {name!r} twice in one draw; give each fork its own name")
        if not isinstance(name, str) or not _listed(options):
            raise ValueError(
                f"space {space} asks choose({name!r}, {options!r}); it takes a name and a tuple of options"
            )
        if not len(options):
            raise ValueError(f"space {space} asks {name!r} with no options; give it one at least")
        if not isinstance(options[0], bool | int | float | str):
            raise ValueError(
                f"space {space} asks {name!r} with options such as {options[0]!r}; give plain numbers and words"
            )
        names.add(name)
        return choose(name, options)

    found: object = space.describe(asked)
    if not isinstance(found, Architecture):
        raise ValueError(f"describe of space {space} must return net.done(...), got {found!r}")
    if (end := found.shapes[-1]) != (space.classes,):
        raise ValueError(
            f"a network of space {space} ends in shape {end}, for {space.classes} classes; end with out=self.classes"
        )
    return found


def _listed(options: object) -> bool:
    """Whether these are options as a list or a tuple has them, which an array of NumPy's has not."""
    return isinstance(options, Sequence) and not isinstance(options, str)


class BudgetError(ValueError):
    """No network of the space fits the parameter budget; the message says which one comes nearest."""


@dataclass(frozen=True)
class Budget:
    """`most` parameters a network may have; `fill`, if asked for, is the least share of them it must use."""

    most: int
    fill: float | None = None

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"the parameter budget must be at least 1, got {self.most}")
        if self.fill is not None and not 0 <= self.fill <= 1:
            raise ValueError(f"fill must be a share of the parameter budget in 0..1, got {self.fill}")

    @cached_property
    def least(self) -> int:
        """Fewest parameters allowed (rounded up), 0 where no fill is asked for."""
        return self.floor(self.fill or 0.0)

    def floor(self, fill: float) -> int:
        """Fewest parameters that use the share `fill`, rounded up."""
        return math.ceil(self.most * Fraction(str(fill)))  # the share as it was written: 0.9 means nine tenths

    def __contains__(self, params: int) -> bool:
        return self.least <= params <= self.most


def parse_size(text: str | int | float) -> int:
    """`'20M'`, `'2.5e6'`, `'800K'`, `'20_000_000'` or a number -> the number of parameters."""
    match = re.fullmatch(r"(\d[\d_]*\.?\d*(?:e\+?\d{1,2})?|\.\d+)\s*([KMGB]?)", str(text).strip(), re.IGNORECASE)
    number = Decimal(match[1].replace("_", "")) * _UNITS[match[2].upper()] if match else Decimal(0)
    if number > 10**15:
        raise ValueError(f"a parameter budget is at most 1e15, such as 20M; got {text!r}")
    if number < 1 or number != int(number):
        raise ValueError(
            f"a parameter budget is a whole number above 0, such as 20M, 2.5e6, 800K or 20_000_000; got {text!r}"
        )
    return int(number)


def format_size(params: int, *, up: bool = False) -> str:
    """`20_000_000 -> '20M'`, three digits; `up` rounds up, so that a limit printed is a limit that suffices."""
    for letter in ("G", "M", "K"):
        unit = _UNITS[letter]
        if params > 0.999 * unit:  # 999,999 is 1M, not 1000K
            digits = 10 ** max(0, 2 - len(str(params // unit)) + 1)
            scaled = -(-params * digits // unit) if up else round(params * digits / unit)
            return f"{scaled / digits:g}{letter}"
    return str(params)


class LookAhead:
    """Which options of a fork fit, found by completing them: the general way, for any space.

    An option is offered only with a *witness*, a completion of it that is inside the budget. The witness's own options
    are offered at the forks that follow, so there is always a way on and nothing is ever rejected. Completions are
    searched from the cheapest answer known for each fork's name, by coordinate descent; with a fill, forks are then
    raised one by one as far as the budget goes. An option whose only completions lie off that path is not offered.
    """

    def __init__(self, describe: Callable[[Choose], Architecture], least: int, most: int) -> None:
        self._describe, self._least, self._most = describe, least, most
        self._cheapest: dict[str, Scalar] = {}  # fork name -> the answer that made the smallest network so far
        self._witness: dict[tuple[tuple[str, Scalar], ...], dict[str, Scalar] | None] = {}

    def __call__(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> list[float]:
        """Weights of the options: 1 where a witness is known, 0 where none was found."""
        if not taken and len(self._witness) > _MEMO:  # only between draws: within one, a witness is the way on
            self._witness.clear()
        self._prepare()
        known = self._witness.get(tuple(taken.items())) or {}
        return [float(self._fits({**taken, name: option}, known) is not None) for option in options]

    def smallest(self) -> Architecture:
        """The smallest network found."""
        self._prepare()
        return self._complete(self._cheapest)[0]

    def _fits(self, taken: dict[str, Scalar], known: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        key = tuple(taken.items())
        if key not in self._witness:
            inherited = all(known.get(name) == value for name, value in key[-1:])
            self._witness[key] = dict(known) if known and inherited else self._search(taken)
        return self._witness[key]

    def _search(self, taken: dict[str, Scalar]) -> dict[str, Scalar] | None:
        answers = {**self._cheapest, **taken}
        if self._params(answers) > self._most:
            answers = self._descend(taken)
        if self._params(answers) < self._least:
            answers = self._raise(answers, taken)
        if self._params(answers) < self._least:
            answers = self._try(taken)
        return self._full(answers) if self._least <= self._params(answers) <= self._most else None

    def _try(self, taken: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Random completions, the same ones every time, until one lies between the limits."""
        rng = random.Random(repr(taken))
        for _ in range(_TRIES):
            answers = self._full(taken, lambda options: rng.choice(list(options)))
            if self._least <= self._params(answers) <= self._most:
                break
        return answers

    def _prepare(self) -> None:
        """Find the cheapest answers: descents from several ends, since widths may have to shrink together."""
        if not self._cheapest:
            starts: list[Pick] = [_first, lambda options: options[-1], _least_number]
            found = [self._descend({}, self._full({}, start)) for start in starts]
            self._cheapest = self._full(min(found, key=self._params))

    def _descend(self, taken: Mapping[str, Scalar], start: Mapping[str, Scalar] | None = None) -> dict[str, Scalar]:
        answers, before = {**(self._cheapest if start is None else start), **taken}, -1
        for _ in range(_SWEEPS):  # of a describe that goes by more than its choices it would never end
            if before == (before := self._params(answers)):
                break
            answers = self._sweep(answers, taken, key=lambda params: -params)
        return answers

    def _raise(self, answers: dict[str, Scalar], taken: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return self._sweep(answers, taken, key=lambda params: params if params <= self._most else -params)

    def _sweep(
        self, answers: Mapping[str, Scalar], taken: Mapping[str, Scalar], key: Callable[[int], int]
    ) -> dict[str, Scalar]:
        """At every open fork in turn take the answer that is best by `key` of the number of parameters."""
        answers, done = dict(answers), set(taken)
        while open_forks := [fork for fork in self._complete(answers)[1].items() if fork[0] not in done]:
            name, options = open_forks[0]
            answers[name] = max(options, key=lambda option: key(self._params({**answers, name: option})))
            done.add(name)
        return answers

    def _params(self, answers: Mapping[str, Scalar]) -> int:
        return self._complete(answers)[0].num_params

    def _full(self, answers: Mapping[str, Scalar], pick: Pick | None = None) -> dict[str, Scalar]:
        """`answers` to the forks that are met, with those of the others written out: by `pick`, or the first option."""
        full: dict[str, Scalar] = {}

        def choose(name: str, options: Sequence[Scalar]) -> Scalar:
            known = name in answers and answers[name] in options
            full[name] = answers[name] if known else (pick or _first)(options)
            return full[name]

        self._describe(choose)
        return full

    def _complete(self, answers: Mapping[str, Scalar]) -> tuple[Architecture, dict[str, tuple[Scalar, ...]]]:
        forks: dict[str, tuple[Scalar, ...]] = {}

        def choose(name: str, options: Sequence[Scalar]) -> Scalar:
            forks[name] = tuple(options)
            return answers[name] if answers.get(name) in forks[name] else options[0]

        return self._describe(choose), forks


def _first(options: Sequence[Scalar]) -> Scalar:
    return options[0]


def _least_number(options: Sequence[Scalar]) -> Scalar:
    numbers = [option for option in options if isinstance(option, int | float)]
    return min(numbers) if numbers else options[0]
