"""The forks of a space as the parameters that other libraries know: a list, whose options never change.

Those libraries want every parameter declared once and for all, and forks are not so: which are asked depends on earlier
answers, and what they offer shrinks with the parameter budget. So random draws are surveyed, and a parameter has every
option that its fork was seen to offer. What a library suggests is then a wish: the answer is the nearest that is
offered, the budget is kept as ever, and what the library is told is what was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.narrow import is_number, nearest_to
from nas.ops import Scalar
from nas.space import FORKS, Candidate, SearchSpace, weighted


@dataclass(frozen=True)
class Parameter:
    """A fork, or so much of it as is ever offered together, known by positions in `options`.

    `lr` of AdamW and `lr` of SGD share no option: they are two parameters, and neither says anything about the other.
    Numbers are sorted, so that a geometric series of them is a scale of logarithms.
    """

    name: str
    fork: str
    options: tuple[Scalar, ...]
    usual: int  # what stands for it where a network has no such fork
    block: int  # those of one block are asked together or not at all

    @property
    def ordered(self) -> bool:
        return all(map(is_number, self.options))

    def answer(self, wish: int, options: Sequence[Scalar], weights: Sequence[float], rng: np.random.Generator) -> int:
        """Of the `options` offered the one wished for, or the number nearest to it; else a draw."""
        value = self.options[wish]
        return nearest_to(value, options) if value in options or self.ordered else weighted(weights, rng)


class Parameters:
    """All parameters of a space, in the order in which draws meet them; forks of one option are none."""

    def __init__(self, space: SearchSpace) -> None:
        usual = space.default().values
        blocks: dict[frozenset[int], int] = {}
        found: dict[str, Parameter] = {}
        for fork, options, asked in _surveyed(space.sample(np.random.default_rng((0, n))) for n in range(FORKS)):
            name = f"{fork}={options[0]}.." if fork in found else fork
            at = options.index(usual[fork]) if usual.get(fork) in options else len(options) // 2
            found[name] = Parameter(name, fork, options, at, blocks.setdefault(asked, len(blocks)))
        self.all = tuple(found.values())
        self._of = {(p.fork, option): (p, at) for p in self.all for at, option in enumerate(p.options)}

    def of(self, fork: str, options: Sequence[Scalar]) -> Parameter | None:
        """The parameter that is asked where the fork offers `options`; None where no survey has seen them."""
        return next((self._of[fork, option][0] for option in options if (fork, option) in self._of), None)

    def positions(self, candidate: Candidate) -> dict[str, int]:
        """Of each parameter that the candidate has: what it has chosen."""
        known = (self._of.get((choice.name, choice.value)) for choice in candidate.choices)
        return {parameter.name: at for parameter, at in filter(None, known)}

    def imputed(self, positions: dict[str, int]) -> dict[str, int]:
        """Of all parameters: those that are not in `positions` at what is usual."""
        return {p.name: p.usual for p in self.all} | positions


def _surveyed(draws: Iterable[Candidate]) -> list[tuple[str, tuple[Scalar, ...], frozenset[int]]]:
    """Forks, the options that were offered together, directly or by way of others, and in which draws they were."""
    met: dict[str, list[tuple[dict[Scalar, None], set[int]]]] = {}
    for number, candidate in enumerate(draws):
        for choice in candidate.choices:
            options, asked = dict.fromkeys(choice.options), {number}
            apart = []
            for others, when in met.get(choice.name, []):
                if options.keys() & others.keys():
                    options, asked = others | options, when | asked
                else:
                    apart.append((others, when))
            met[choice.name] = [*apart, (options, asked)]
    return [
        (fork, tuple(sorted(options) if all(map(is_number, options)) else options), frozenset(asked))
        for fork, groups in met.items()
        for options, asked in groups
        if len(options) > 1
    ]
