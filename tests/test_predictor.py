"""The strategy of a learned model, and the Gaussian process that it learns."""

from __future__ import annotations

import numpy as np
import pytest

from nas.budget import Budget
from nas.candidate import Candidate
from nas.proxies import COUNTED
from nas.trial import Trial
from search_spaces.mlp import MLP
from strategies._gaussian_process import Encoding, Kernel, Posterior, _likelihood, expected_improvement, fit, warped
from strategies.predictor import SUBSET, Predictor, _subset


def space() -> MLP:
    return MLP((8,), 3, Budget(3000), max_depth=4, min_width=4, max_width=64)


def drawn(count: int) -> list[Candidate]:
    rng = np.random.default_rng(0)
    return [space().sample(rng) for _ in range(count)]


def taught(strategy: Predictor, candidates: list[Candidate]) -> Predictor:
    """Told that networks are good which have batchnorm and few layers."""
    for number, candidate in enumerate(candidates):
        value = (candidate.values["norm"] == "batchnorm") - 0.1 * int(candidate.values["depth"])
        strategy.tell(Trial(number, candidate, 0, (value,)))
    return strategy


def ask(strategy: Predictor, seed: int, pending: tuple[Candidate, ...] = ()) -> Candidate:
    return strategy.ask(np.random.default_rng(seed), pending)


def test_the_first_candidate_is_the_default_and_the_others_are_drawn() -> None:
    strategy, default = Predictor(space(), initial=3), space().default()
    assert ask(strategy, 1) == default
    assert ask(strategy, 1, (default,)) == space().sample(np.random.default_rng(1))


def test_what_is_asked_has_what_made_others_good() -> None:
    strategy = taught(Predictor(space()), drawn(60))  # three of them have one layer
    asked = [ask(strategy, seed).values for seed in range(8)]
    assert [values["norm"] for values in asked] == ["batchnorm"] * 8
    assert all(values["depth"] == 1 for values in asked)


def test_nothing_is_asked_twice_not_even_while_it_is_trained() -> None:
    strategy = taught(Predictor(space()), drawn(30))
    pending: tuple[Candidate, ...] = ()
    for seed in range(12):
        pending = (*pending, ask(strategy, 5, pending) if seed % 2 else ask(strategy, seed, pending))
    everything = [repr(sorted(c.values.items())) for c in (*pending, *(trial.candidate for trial in strategy.trials))]
    assert len(set(everything[:12])) == 12
    assert not set(everything[:12]) & set(everything[12:])


def test_near_a_candidate_in_training_less_is_expected() -> None:
    candidates = drawn(40)
    strategy = taught(Predictor(space()), candidates)
    model = strategy._learned()
    assert model is not None
    scores = warped(np.array([trial.value for trial in strategy.trials]))
    waiting = ask(strategy, 0)
    alone, beside = (
        strategy._improvement(model, scores, pending)([strategy._described(waiting)])[0] for pending in ([], [waiting])
    )
    assert beside < 0.5 * alone


def test_a_model_of_few_trials_is_the_same_whether_or_not_it_was_asked_meanwhile() -> None:
    candidates = drawn(30)
    asked, quiet = Predictor(space()), Predictor(space())
    for i in range(len(candidates)):
        taught(asked, candidates[i : i + 1])
        taught(quiet, candidates[i : i + 1])
        ask(asked, i)
    assert ask(asked, 99) == ask(quiet, 99)


def test_of_many_trials_the_best_and_some_others_are_read() -> None:
    scores = np.random.default_rng(0).permutation(5000).astype(float)
    chosen = _subset(scores)
    assert len(set(chosen.tolist())) == SUBSET
    assert set(range(4800, 5000)) <= set(scores[chosen].astype(int))
    assert scores[chosen].min() == 0


def test_where_all_values_are_equal_networks_are_drawn_at_random() -> None:
    strategy = Predictor(space(), initial=2)
    for number, candidate in enumerate(drawn(6)):
        strategy.tell(Trial(number, candidate, 0, (0.5,)))
    assert ask(strategy, 3) == space().sample(np.random.default_rng(3))


def test_how_bad_the_bad_are_changes_nothing() -> None:
    values = np.array([0.9, 0.8, 0.95, 0.1, 0.2])
    worse = np.where(values == 0.1, -1e9, values)
    assert warped(worse) == pytest.approx(warped(values))
    assert np.argsort(warped(values)).tolist() == np.argsort(values).tolist()
    assert (warped(values).mean(), warped(values).std()) == pytest.approx((0, 1))


def test_distances_of_numbers_grow_with_the_options_between_them_and_of_categories_do_not() -> None:
    candidates = drawn(60)
    encoding = Encoding(candidates)
    kernel = Kernel(encoding.groups, np.zeros(len(encoding.forks)), -9.0)
    start = dict(candidates[0].values)

    def distance(**changed: object) -> float:
        rows = encoding([start, {**start, **changed}])  # type: ignore[dict-item]  # options are scalars
        return -float(np.log(kernel(rows[:1], rows[1:])[0, 0]))

    start |= {"dropout": 0.0, "norm": "none", "taper": 0.125}
    assert distance(dropout=0.1) < distance(dropout=0.3) < distance(dropout=0.5) == pytest.approx(1.0)
    assert distance(norm="batchnorm") == pytest.approx(1.0) == pytest.approx(distance(norm="layernorm"))
    assert distance(taper=None) >= 1


def test_a_measured_number_counts_by_its_place_among_those_of_others_and_none_is_the_lowest() -> None:
    candidates = drawn(5)
    encoding = Encoding(candidates, {"proxy nwot": [-np.inf, 1.0, 1000.0, 10.0, 100.0]})
    numbers = (1.0, 10.0, 1000.0, 1e9, -np.inf, np.nextafter(10.0, 11.0))
    rows = encoding([{**candidates[0].values, "proxy nwot": number} for number in numbers])
    assert rows[:, -1] == pytest.approx([0.25, 0.5, 1, 1, 0, 0.5])
    assert encoding.groups[-1] == len(encoding.forks)


def test_what_only_a_proxy_tells_is_learned_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest, of which choices say no more than that those of training do not change it."""
    fate = lambda architecture: int(architecture.digest[:6], 16)  # noqa: E731  # as the table of proxies has them
    monkeypatch.setitem(COUNTED, "params", fate)
    plain, reading = Predictor(space(), proxies="none"), Predictor(space())
    for strategy in (plain, reading):
        for number, candidate in enumerate(drawn(40)):
            strategy.tell(Trial(number, candidate, 0, (fate(candidate.architecture) / 16**6,)))
    blind, seeing = (np.mean([fate(ask(s, n).architecture) / 16**6 for n in range(24)]) for s in (plain, reading))
    assert seeing > 0.9 > blind + 0.1


def test_the_gradient_of_the_likelihood_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    groups, x, y = np.array([0, 0, 1, 2]), rng.random((12, 4)), rng.standard_normal(12)
    theta = np.array([0.3, -0.5, 0.1, -3.0])

    def loss(point: np.ndarray) -> float:
        return _likelihood(Kernel(groups, point[:-1], float(point[-1])), x, y)[0]

    steps = 1e-5 * np.eye(4)
    slopes = [(loss(theta + step) - loss(theta - step)) / 2e-5 for step in steps]
    assert _likelihood(Kernel(groups, theta[:-1], float(theta[-1])), x, y)[1] == pytest.approx(slopes, rel=1e-4)


def test_a_fork_that_matters_is_given_more_weight_than_one_that_does_not() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(2, size=(60, 3)).astype(float)
    kernel = fit(np.arange(3), x, warped(2 * x[:, 0] - x[:, 1] + 0.01 * rng.standard_normal(60)))
    assert kernel.log_weights[0] > kernel.log_weights[2] + 1
    assert kernel.log_weights[1] > kernel.log_weights[2] + 1


def test_the_posterior_knows_what_it_was_told_and_is_unsure_elsewhere() -> None:
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, -1.0, 0.5])
    posterior = Posterior(Kernel(np.array([0]), np.array([0.0]), np.log(1e-4)), x, y)
    mean, deviation = posterior(np.array([[0.0], [2.0], [9.0]]))
    assert mean == pytest.approx([1.0, 0.5, 0.0], abs=0.01)
    assert deviation[:2].max() < 0.05 * deviation[2]


def test_expected_improvement_is_that_of_many_draws() -> None:
    draws = np.random.default_rng(0).normal(0.3, 2.0, 400_000)
    expected = np.maximum(draws - 1.0, 0).mean()
    assert expected_improvement(np.array([0.3]), np.array([2.0]), 1.0)[0] == pytest.approx(expected, rel=0.01)
