"""Random search: as many networks as trials, where there are as many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from toy import Single, line

from nas.space import Candidate
from nas.trial import Trial
from strategies.random import Random


def test_no_network_is_drawn_twice_whether_it_is_trained_or_still_to_be() -> None:
    strategy, asked = Random(line()), list[Candidate]()
    for number in range(120):  # of 168 networks, of which 120 draws with replacement have some 86
        asked.append(strategy.ask(np.random.default_rng(number), asked[-8:]))
        if number >= 7:
            paced = replace(asked[number - 7], fidelity=0.5)  # as a search with a deadline trains it
            strategy.tell(Trial(number - 7, paced, 0, (0.5,)))
    assert len({candidate.key for candidate in asked}) >= 115


def test_where_there_is_no_other_the_same_is_drawn_again() -> None:
    strategy = Random(Single((2,), 2))
    first = strategy.ask(np.random.default_rng(0), [])
    assert strategy.ask(np.random.default_rng(1), [first]) == first
