"""`--fix` and `--only`: fewer options at the forks of a search, from the outside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nas.ops import Scalar
from nas.plugins import nearest
from nas.recipe import DEFAULTS, check_knob

Fixed = Mapping[str, tuple[Scalar, ...]]


@dataclass(frozen=True)
class Narrowing:
    """What the user leaves open. A name means the fork of that name, or all that differ from it by digits alone.

    `fixed`: fork -> the values it may take. `only`: the forks that are searched; all others take their default.
    """

    fixed: Fixed = field(default_factory=dict)
    only: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.fixed) or self.only is not None

    @property
    def names(self) -> set[str]:
        return {*self.fixed, *(self.only or ())}

    def options(self, name: str, options: Sequence[Scalar], default: Scalar | None) -> Sequence[Scalar]:
        """The options left at a fork of the architecture; none where it offers nothing of what is fixed."""
        for key in (name, family(name)):
            if key in self.fixed:
                return [option for option in options if option in self.fixed[key]]
        if self.only is None or not self.only.isdisjoint((name, family(name))):
            return options
        return (default if default is not None and default in options else options[0],)

    def training(self, name: str, options: Sequence[Scalar], default: Scalar | None) -> Sequence[Scalar]:
        """The options left for a field of the recipe: what is fixed may be any value that the field can have."""
        return self.fixed[name] if name in self.fixed else self.options(name, options, default)

    def check(self, forks: Mapping[str, set[Scalar]]) -> None:
        """Raise `ValueError` for a name that no fork has, or a value that none offers. `forks`: all that were met."""
        known = {*forks, *map(family, forks)}
        for name in (*self.fixed, *(self.only or ())):
            if name not in known:
                where = "--fix" if name in self.fixed else "--only"
                raise ValueError(f"{where}: there is no choice {name!r} here; {nearest(name, known)}")
        for name, values in self.fixed.items():
            if name in DEFAULTS:
                for value in values:
                    check_knob(name, value)
                continue
            offered = set().union(*(options for fork, options in forks.items() if name in (fork, family(fork))))
            if not offered.intersection(values):
                shown = ", ".join(str(option) for option in sorted(offered, key=lambda o: (str(type(o)), o)))
                raise ValueError(f"--fix {name}: {', '.join(map(str, values))} is not offered; it offers {shown}")


def family(name: str) -> str:
    """`'width3' -> 'width'`: what the forks of a kind have in common."""
    return re.sub(r"\d+", "", name)
