"""Exact counting of chains of layers inside a parameter budget, by dynamic programming over (layer, width, parameters).

A network `inputs -> w1 -> ... -> wd -> classes` has `first(w1) + sum of pair(w_i, w_i+1) + last(wd)` parameters. The
number of completions of every next width comes from one table, so a draw that weighs its options by it is uniform over
the networks that fit, and an option with no completion is seen at once.
"""

from __future__ import annotations

from math import gcd

import numpy as np
import numpy.typing as npt

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

    def _ways(self, after: int) -> npt.NDArray[np.float64]:
        """`_within[after]`; counted up to there when it is first asked for."""
        while len(self._within) <= after:
            table = np.zeros_like(self._within[-1])
            for (i, j), cost in np.ndenumerate(self._pair):
                if cost <= self._most:
                    table[i, cost:] += self._within[-1][j, : self._most + 1 - cost]
            self._within.append(table)
        return self._within[after]

    def completions(self, spent: npt.NDArray[np.int64], after: int, least: int, most: int) -> npt.NDArray[np.float64]:
        """Of each width as the next one, how many completions end inside `least..most` parameters.

        spent: (widths,) parameters up to and including the layer to each width; after: layers that follow it.
        Returns: (widths,) counts; whole numbers below 2**53.
        """
        high = (most - spent) // self.step
        slack = 0 if self.exact else after + 1  # rounding up may have overstated each of the costs still to come
        low = np.where(least > spent, -(-(least - spent) // self.step) + slack, 0)
        table, rows = self._ways(after), np.arange(len(spent))
        above = np.where(high >= 0, table[rows, np.clip(high, 0, self._most)], 0.0)
        below = np.where(low > 0, table[rows, np.clip(low - 1, 0, self._most)], 0.0)
        counts: npt.NDArray[np.float64] = np.where(high >= low, above - below, 0.0)
        return counts
