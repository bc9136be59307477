"""Exact counting of chains of layers inside a parameter budget, by dynamic programming over (layer, width, parameters).

A network `inputs -> w1 -> ... -> wd -> classes` has `first(w1) + sum of pair(w_i, w_i+1) + last(wd)` parameters. The
number of completions of every next width comes from one table, so a draw that weighs its options by it is uniform over
the networks that fit, and an option with no completion is seen at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import numpy as np
import numpy.typing as npt

Open = tuple[tuple[bool, ...], ...]  # of each of the layers that follow, until all widths are open, which are
NARROWED = 24  # tables for layers that offer fewer widths than others, of 4 MB at most
MAX_BINS = 16_384  # a step of at most 0.0061 % of the budget; 43 MB a table of ten layers


class ChainTable:
    """Completions of chains over one list of widths.

    `pair[i, j]` are the parameters between width i and width j, `last[i]` those after width i, both integers. Costs are
    multiples of `step`: exactly, where the budget has at most `MAX_BINS` of their greatest common divisor (`exact`);
    else each is rounded up to it, so that a count leaves some fitting networks out but never lets one in that does not.
    """

    def __init__(
        self, pair: npt.NDArray[np.int64], last: npt.NDArray[np.int64], most: int, bins: int = MAX_BINS
    ) -> None:
        unit = gcd(*(int(c) for c in (*pair.flat, *last)))
        self.exact = most <= unit * bins
        self.step = unit if self.exact else unit * -(-most // (unit * bins))
        self._most = most // self.step
        self._pair, last_bins = -(-pair // self.step), -(-last // self.step)
        # _within[k][i, r]: ways to go on from width i through k more layers to the output with at most r steps
        self._within = [(last_bins[:, None] <= np.arange(self._most + 1)).astype(np.float64)]
        self._narrowed: dict[tuple[int, Open], npt.NDArray[np.float64]] = {}

    def _ways(self, after: int, open_: Open = ()) -> npt.NDArray[np.float64]:
        """`_within[after]` where the layers that follow have the widths `open_`, counted when it is first asked for."""
        if open_:
            if (after, open_) not in self._narrowed:
                table = self._before(self._ways(after - 1, open_[1:]), open_[0])
                if len(self._narrowed) >= NARROWED:
                    self._narrowed.clear()
                self._narrowed[after, open_] = table
            return self._narrowed[after, open_]
        while len(self._within) <= after:
            self._within.append(self._before(self._within[-1]))
        return self._within[after]

    def _before(
        self, following: npt.NDArray[np.float64], open_: Sequence[bool] | None = None
    ) -> npt.NDArray[np.float64]:
        """The ways through a layer more, that has the widths `open_`."""
        table = np.zeros_like(following)
        for (i, j), cost in np.ndenumerate(self._pair):
            if cost <= self._most and (open_ is None or open_[j]):
                table[i, cost:] += following[j, : self._most + 1 - cost]
        return table

    def completions(
        self, spent: npt.NDArray[np.int64], after: int, least: int, most: int, open_: Open = ()
    ) -> npt.NDArray[np.float64]:
        """Of each width as the next one, how many completions end inside `least..most` parameters.

        spent: (widths,) parameters up to and including the layer to each width; after: layers that follow it; open_:
        which widths the first of these have, the others having all. Returns: (widths,) counts; whole numbers below
        2**53.
        """
        high = (most - spent) // self.step
        slack = 0 if self.exact else after + 1  # rounding up may have overstated each of the costs still to come
        low = np.where(least > spent, -(-(least - spent) // self.step) + slack, 0)
        table, rows = self._ways(after, open_), np.arange(len(spent))
        above = np.where(high >= 0, table[rows, np.clip(high, 0, self._most)], 0.0)
        below = np.where(low > 0, table[rows, np.clip(low - 1, 0, self._most)], 0.0)
        counts: npt.NDArray[np.float64] = np.where(high >= low, above - below, 0.0)
        return counts
