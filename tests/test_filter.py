"""The best of several candidates by a zero-cost proxy, around any other strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from toy import Line, Ring

import nas
from nas import plugins
from nas.budget import Budget
from nas.dataset import Dataset, Part
from nas.proxies import Proxies
from nas.space import Candidate, SearchSpace
from nas.strategy import Exhausted, Strategy
from nas.trial import Trial
from search_spaces.mlp import MLP
from strategies.evolution import Evolution
from strategies.filter import Filter


def space() -> SearchSpace:
    return MLP((8,), 3, Budget(3000), max_depth=4, min_width=4, max_width=64)


def ask(strategy: Strategy, number: int, pending: Sequence[Candidate] = ()) -> Candidate:
    return strategy.ask(np.random.default_rng(number), pending)


class Listed(Strategy):
    """Asks for given candidates, the first that is not pending."""

    def __init__(self, space: SearchSpace, candidates: Sequence[Candidate] = ()) -> None:
        super().__init__(space)
        self.candidates, self.told = candidates, list[Trial]()

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        left = [candidate for candidate in self.candidates if candidate not in pending]
        if not left:
            raise Exhausted
        return left[0]

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)


def listed(of: int, candidates: Sequence[Candidate], proxy: str = "nwot") -> Filter:
    made = Filter(space(), inner="random", proxy=proxy, of=of)
    made.inner = Listed(space(), candidates)
    return made


def drawn(number: int) -> list[Candidate]:
    return [space().sample(np.random.default_rng(seed)) for seed in range(number)]


@pytest.mark.parametrize("proxy", ["synflow", "nwot", "jacov", "grad_norm", "params", "flops"])
def test_the_best_of_those_asked_for_is_handed_out(proxy: str) -> None:
    candidates = drawn(7)
    best = max(candidates[:5], key=Proxies(proxy))
    assert ask(listed(5, candidates, proxy), 0) == best


def test_a_candidate_in_training_is_not_asked_for_again_and_the_others_wait_for_their_turn() -> None:
    candidates = drawn(4)
    strategy, asked = listed(2, candidates), list[Candidate]()
    for number in range(4):
        asked.append(ask(strategy, number, asked))
    assert sorted(map(candidates.index, asked)) == [0, 1, 2, 3]
    with pytest.raises(Exhausted):
        ask(strategy, 9, asked)


def test_the_inner_strategy_is_told_of_what_was_chosen() -> None:
    strategy = listed(3, drawn(5))
    trial = Trial(0, ask(strategy, 0), 0, (0.5,))
    strategy.tell(trial)
    assert isinstance(strategy.inner, Listed)
    assert strategy.inner.told == [trial]


def test_candidates_promise_more_the_more_there_were_to_choose_from() -> None:
    found = []
    for of in (2, 4, 16):
        strategy = Filter(space(), inner="random", proxy="nwot", of=of)
        found.append(np.mean([strategy.proxies(ask(strategy, number))[0] for number in range(12)]))
    assert found == sorted(found)
    assert found[0] > np.mean([strategy.proxies(candidate)[0] for candidate in drawn(100)])


def test_it_may_be_asked_ahead_as_its_inner_strategy() -> None:
    strategy = Filter(space(), inner="evolution:population=6,sample=2")
    assert strategy.ahead() == Evolution(space(), population=6, sample=2).ahead() == 6


def data() -> Dataset:
    rng = np.random.default_rng(0)
    parts = (Part(rng.exponential(size=(100, 8)).astype(np.float32), np.arange(100) % 3) for _ in range(3))
    return Dataset("made up", *parts, classes=("a", "b", "c"))


@pytest.mark.parametrize(
    "spec",
    ["filter:inner=random,of=8,proxy=jacov", "asha:inner=filter,inner.inner=random,inner.of=8,inner.proxy=jacov"],
)
def test_data_change_the_choice(spec: str) -> None:
    blind, seeing = (plugins.make("strategies", spec, Strategy, space()) for _ in range(2))
    seeing.look(data())
    assert [ask(blind, n) for n in range(8)] != [ask(seeing, n) for n in range(8)]


@pytest.mark.parametrize(
    "spec",
    ["filter", "asha:inner=filter", "hyperband:inner=filter", "coarse_to_fine:inner=filter", "filter:inner=filter"],
)
def test_whoever_goes_around_it_hands_the_data_on(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Dataset | None] = []
    strategy: Strategy = plugins.make("strategies", spec, Strategy, space())
    strategy.plan(9)
    monkeypatch.setattr(Proxies, "look", lambda proxies, dataset: looked.append(dataset))
    seen = data()
    strategy.look(seen)
    assert looked
    assert all(dataset is seen for dataset in looked)


def test_a_search_shows_its_strategy_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Dataset | None] = []
    original = Proxies.look

    def look(proxies: Proxies, dataset: Dataset | None) -> None:
        looked.append(dataset)
        original(proxies, dataset)

    monkeypatch.setattr(Proxies, "look", look)
    options = {"space": Line, "budget": 5000, "data": Ring(), "strategy": "filter:inner=random,of=2"}
    quick = {"epochs": 1, "workers": 0, "baseline": False, "final_epochs": 0}
    first = nas.search(**options, **quick, trials=4, out=tmp_path / "a")
    assert [dataset.name for dataset in looked if dataset is not None] == ["ring"]
    nas.search(**options, **quick, trials=2, out=tmp_path / "b")
    resumed = nas.search(**options, **quick, trials=4, out=tmp_path / "b")
    assert [t.candidate for t in resumed.trials] == [t.candidate for t in first.trials]
