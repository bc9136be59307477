"""`--fix` and `--only`: fewer options at the forks of a search, from the outside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from nas.ops import Scalar
from nas.plugins import nearest
from nas.recipe import DEFAULTS, check_knob

Fixed = Mapping[str, tuple[Scalar, ...]]


@dataclass(frozen=True)
class Narrowing:
    """What the user leaves open. A name means the fork of that name, or all that differ from it by digits alone.

    `fixed`: fork -> the values it may take. `only`: the forks that are searched; all others take their default.
    `held`: forks of an architecture that take their default unless they are fixed, and with them all of training.
    """

    fixed: Fixed = field(default_factory=dict)
    only: frozenset[str] | None = None
    held: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.fixed) or self.only is not None or self.held is not None

    @property
    def names(self) -> set[str]:
        return {*self.fixed, *(self.only or ())}

    def options(self, name: str, options: Sequence[Scalar], default: Scalar | None) -> Sequence[Scalar]:
        """The options left at a fork of the architecture; none where it offers nothing of what is fixed."""
        if not self:
            return options
        for key in (name, family(name)):
            if key in self.fixed:
                return [option for option in options if option in self.fixed[key]]
        names = {name, family(name)}
        if names.isdisjoint(self.held or ()) and (self.only is None or not names.isdisjoint(self.only)):
            return options
        return (options[nearest_to(default, options)],)

    def training(self, name: str, options: Sequence[Scalar], default: Scalar | None) -> Sequence[Scalar]:
        """The options left for a field of the recipe: what is fixed may be any value that the field can have."""
        if name in self.fixed:
            return [check_knob(name, v) for v in self.fixed[name]] if name in DEFAULTS else self.fixed[name]
        return self.options(name, options, default) if self.held is None else (options[nearest_to(default, options)],)

    def check(self, forks: Mapping[str, set[Scalar]]) -> None:
        """Raise `ValueError` for a name that no fork has, or a value that none offers. `forks`: all that were met."""
        known = {*forks, *(family(fork) for fork in forks if fork not in DEFAULTS)}
        for name in (*self.fixed, *(self.only or ())):
            if name not in known:
                where = "--fix" if name in self.fixed else "--only"
                raise ValueError(f"{where}: there is no choice {name!r} here; {nearest(name, known)}")
        for name, values in self.fixed.items():
            if name in DEFAULTS:
                continue
            offered = set().union(*(options for fork, options in forks.items() if name in (fork, family(fork))))
            if strange := [value for value in values if value not in offered]:
                shown = ", ".join(str(option) for option in sorted(offered, key=lambda o: (str(type(o)), o)))
                raise ValueError(f"--fix {name}: {', '.join(map(str, strange))} is not offered; it offers {shown}")

    def check_knobs(self) -> None:
        """Raise `ValueError` for a value that a field of the recipe cannot have."""
        for name in self.fixed.keys() & DEFAULTS.keys():
            for value in self.fixed[name]:
                check_knob(name, value)


@lru_cache(maxsize=1024)
def family(name: str) -> str:
    """`'width3' -> 'width'`: what the forks of a kind have in common."""
    return re.sub(r"\d+", "", name)


def nearest_to(wanted: Any, options: Sequence[Any]) -> int:
    """The option that is `wanted`, else the number nearest to it, else the first."""
    if wanted in options:
        return options.index(wanted)
    if is_number(wanted) and all(map(is_number, options)):
        return min(range(len(options)), key=lambda i: abs(options[i] - wanted))
    return 0


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
