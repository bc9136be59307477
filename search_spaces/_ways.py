"""Spaces whose networks are first a form, then layers: options are offered where a fixed way to go on is known to fit.

A way answers every fork that is still open, always alike. An option is offered where one of the ways, taken from there,
ends inside the limits; at the forks that follow, the answers of that way are offered again, so there is always a way
on. Forms cost arithmetic alone, so that a draw builds one network and no more.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from nas.architecture import Architecture
from nas.budget import Choose
from nas.narrow import family
from nas.ops import Scalar
from nas.space import SearchSpace

Form = TypeVar("Form")
Way = Mapping[str, Scalar]  # a fork, or its family -> the answer wanted there
MEMO = 100_000  # choices of which it is known how they complete


class Formed(SearchSpace, Generic[Form]):
    """A space that writes `form`, `built`, `fits` and `ways`."""

    prior: Mapping[str, Mapping[Scalar, float]] = {}  # weights of a draw, by fork or family; others weigh 1
    costless: frozenset[str] = frozenset()  # forks that no limit depends on

    @abstractmethod
    def form(self, choose: Choose) -> Form:
        """Ask every fork; what cannot matter is not asked."""

    @abstractmethod
    def built(self, form: Form) -> Architecture:
        """The network of a form."""

    @abstractmethod
    def fits(self, form: Form, taken: Mapping[str, Scalar]) -> bool:
        """Whether a form, or what becomes of it by forks not in `taken`, is inside the limits."""

    @abstractmethod
    def ways(self, taken: Mapping[str, Scalar]) -> Iterable[Way]:
        """The ways to try, the lightest first."""

    def direct(self, name: str, taken: Mapping[str, Scalar]) -> bool:
        """Whether each option of this fork is to be tried, since no way says what it answers there."""
        return False

    @cached_property
    def _known(self) -> dict[tuple[tuple[str, Scalar], ...], Way]:
        """Choices and the way that completes them."""
        return {}

    def describe(self, choose: Choose) -> Architecture:
        return self.built(self.form(choose))

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        """The weight of an option in `prior` where a way to complete it is known, else 0."""
        prior = self.prior.get(name, self.prior.get(family(name), {}))
        weights = [prior.get(option, 1.0) for option in options]
        if name in self.costless:
            return weights
        if not taken and len(self._known) > MEMO:
            self._known.clear()
        known = None if self.direct(name, taken) else self._known.get(tuple(taken.items()))
        for i, option in enumerate(options):
            after = {**taken, name: option}
            if known is not None and option == _nearest(known, name, options):
                self._known[tuple(after.items())] = known
            elif not self._completes(after):
                weights[i] = 0.0
        return weights

    def _completes(self, taken: Mapping[str, Scalar]) -> bool:
        key = tuple(taken.items())
        if key in self._known:
            return True
        for way in self.ways(taken):
            form = self.answered(taken, way)
            if form is not None and self.fits(form, taken):
                self._known[key] = way
                return True
        return False

    def answered(self, taken: Mapping[str, Scalar], way: Way) -> Form | None:
        """The form of the choices `taken` and of `way` at the other forks; None where the user closed one of those."""

        def choose(name: str, options: Sequence[Scalar]) -> Scalar:
            if name in taken:
                return taken[name]
            left = self.offered(name, options)
            if not left:
                raise _Closed
            return _nearest(way, name, left)

        try:
            return self.form(choose)
        except _Closed:
            return None

    def smallest(self) -> Architecture:
        """The smallest network, whatever the budget."""
        space: Any = self.within(None)
        form = space.answered({}, next(iter(space.ways({}))))
        return super().smallest() if form is None else space.built(form)


class _Closed(Exception):
    """A fork of which the user left no option open."""


def _nearest(way: Way, name: str, options: Sequence[Scalar]) -> Scalar:
    """The option that a way wants, or the nearest number; the least where it has no wish."""
    wanted = way.get(name, way.get(family(name)))
    if wanted in options:
        return wanted  # type: ignore[return-value]  # None is no option
    if not all(isinstance(option, int | float) for option in options):
        return options[0]
    goal: Callable[[Any], Any] = abs if wanted is None else lambda option: abs(option - wanted)
    return min(options, key=goal)
