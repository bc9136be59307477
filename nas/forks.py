"""What `--fix` and `--only` name, beside the forks that draws of a space meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING

from nas.budget import BudgetError
from nas.narrow import family
from nas.ops import Scalar
from nas.recipe import DEFAULTS

if TYPE_CHECKING:
    from nas.space import SearchSpace

Forks = Mapping[str, Mapping[Scalar, None]]  # of each its options
FEW = 30  # draws
LOOKS = 10, 300  # draws, after which those who watch are shown what the space offers: some, and all of a survey


def check_names(space: SearchSpace) -> None:
    """Raise `ValueError` for names and values that draws of the whole space do not meet.

    Most are without the budget, which rules values out, and may bring forks of its own.
    """
    space.narrowing.check_knobs()
    whole = space.on(space.contexts, space.augmentations)
    met: dict[str, set[Scalar]] = {}
    with suppress(BudgetError):  # which is said when all names are known
        for forks in chain(whole.within(None).survey(), islice(whole.survey(), FEW)):
            for name, options in forks.items():
                met.setdefault(name, set()).update(options)
            with suppress(ValueError):
                space.narrowing.check(met)
                return
    space.narrowing.check(met)


def idle(space: SearchSpace) -> list[str]:
    """The choices that `--fix` names and no draw of what it leaves asks for."""
    unasked = [name for name in space.narrowing.fixed if name not in DEFAULTS]
    for met in space.survey() if unasked else ():
        unasked = [name for name in unasked if name not in {*met, *map(family, met)}]
        if not unasked:
            break
    return unasked


def shown(space: SearchSpace, write: Callable[[Forks], None]) -> Iterator[None]:
    """The forks of the space, for those who watch: some at once, all in the course of the search."""
    for number, forks in enumerate(space.survey(), 1):
        if number in LOOKS:
            write(forks)
        yield
