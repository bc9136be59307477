"""Options that each strategy in `strategies/` must refuse."""

from __future__ import annotations

import pytest
from test_strategies import NAMES, make, mlp

HALVING = {"eta=1": "1", "eta=2.5": "2.5", "least=0": "0", "inner=asha": "asha", "inner.population=0": "0"}
REFUSED = {  # of every strategy, options that it must refuse, and the value that the message must show
    "asha": {**HALVING, "inner=hyperband": "hyperband", "inner=evolutoin": "evolutoin", "outer.sample=2": "outer"},
    "hyperband": HALVING,
    "grid": {"order=random": "random", "init_seed=-1": "-1"},
    "coarse_to_fine": {
        "coarse=0.0": "0.0",
        "coarse=1.0": "1.0",
        "epochs=1.5": "1.5",
        "first=1": "1",
        "best=0": "0",
        "inner=asha": "asha",
        "inner=evolutoin": "evolutoin",
    },
    "smac": {"startup=1": "1", "challengers=0": "0", "searches=0": "0"},
    "optuna": {
        "sampler=tpa": "tpa",
        "population=1": "1",
        "init_seed=-1": "-1",
    },
    "random": {"population=5": "population"},  # it has no options
    "evolution": {
        "population=0": "0",
        "population=100000000000000000000": "100000000000000000000",
        "sample=0": "0",
        "population=5,sample=30": "30",
        "crossover=1.5": "1.5",
        "crossover=-0.5": "-0.5",
        "crossover=nan": "nan",
        "population=many": "many",
        "population=2.5": "2.5",
        "population=true": "True",
    },
    "filter": {
        "of=1": "1",
        "of=2.5": "2.5",
        "of=1000000": "1000000",
        "proxy=synflw": "synflw",
        "proxy=nwot+params": "nwot+params",
        "inner=asha": "asha",
        "inner=evolutoin": "evolutoin",
        "inner.population=0": "0",
    },
    "local": {"improvement=worst": "worst", "start=here": "here", "start=2": "2"},
    "nsga2": {
        "population=1": "1",
        "population=2.5": "2.5",
        "crossover=1.5": "1.5",
        "crossover=nan": "nan",
        "start=here": "here",
    },
    "predictor": {
        "initial=1": "1",
        "parents=0": "0",
        "proposals=-3": "-3",
        "batch=0": "0",
        "batch=1.5": "1.5",
        "proposals=many": "many",
        "proxies=synflw": "synflw",
    },
    "reinforce": {
        "batch=0": "0",
        "hidden=0": "0",
        "hidden=1000000000": "1000000000",
        "init_seed=-1": "-1",
        "init_seed=100000000000000000000": "100000000000000000000",
        "lr=0": "0",
        "lr=-1.0": "-1.0",
        "lr=nan": "nan",
        "lr=inf": "inf",
        "clip=0.0": "0.0",
        "clip=nan": "nan",
        "decay=1.0": "1.0",
        "decay=-0.1": "-0.1",
        "entropy=nan": "nan",
        "entropy=1e30": "1e+30",
        "passes=0": "0",
        "imitation=-0.5": "-0.5",
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_option_is_refused_with_its_value(name: str) -> None:
    if name not in REFUSED:
        pytest.fail(f"strategy {name!r} has no bad options: add some to REFUSED in tests/test_strategies_options.py")
    accepted, unsaid = [], []
    for options, value in REFUSED[name].items():
        try:
            make(f"{name}:{options}", mlp())
            accepted.append(options)
        except ValueError as error:
            if value not in str(error):
                unsaid.append(options)
    assert not accepted, f"{name} accepts {accepted}"
    assert not unsaid, f"{name} does not show the value of {unsaid}"
