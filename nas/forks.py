"""What `--fix` and `--only` name, beside the forks that draws of a space meet."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nas.budget import BudgetError
from nas.narrow import family
from nas.ops import Scalar
from nas.recipe import DEFAULTS

if TYPE_CHECKING:
    from nas.space import SearchSpace


def check_names(space: SearchSpace) -> None:
    """Raise `ValueError` for names and values that draws of the whole space do not meet."""
    whole = space.on(space.contexts, space.augmentations)
    met: dict[str, set[Scalar]] = {}
    for surveyed in (whole.unlimited(), whole):  # a budget rules values out, and may bring forks of its own
        with suppress(BudgetError):  # which is said when all names are known
            *_, forks = surveyed.survey()
            for name, options in forks.items():
                met.setdefault(name, set()).update(options)
    space.narrowing.check(met)


def idle(space: SearchSpace) -> list[str]:
    """The choices that `--fix` names and no draw of what it leaves asks for."""
    if space.narrowing.fixed.keys() <= DEFAULTS.keys():
        return []
    *_, met = space.survey()
    asked = {*met, *map(family, met)}
    return [name for name in space.narrowing.fixed if name not in asked]
