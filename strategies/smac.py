"""SMAC3 (Lindauer et al. 2022, arXiv 2109.09831): a random forest, expected improvement, local and random search.

The ask and tell of its facade cannot serve: `ask` moves a generator on, whose place is lost when a search is resumed,
and its trials are files in a folder of its own. So the parts that its facade for hyper-parameters is made of are put
together here, with the facade's settings, afresh at every ask and seeded by `rng`: what is known is what was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from nas.extras import need
from nas.ops import Scalar
from nas.space import Candidate, SearchSpace, weighted
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._options import at_least
from strategies._parameters import Parameter, Parameters

need("strategy smac", "smac", "smac")

from ConfigSpace import CategoricalHyperparameter, Configuration, ConfigurationSpace  # noqa: E402
from ConfigSpace import UniformIntegerHyperparameter as Integer  # noqa: E402
from smac.acquisition.function import EI  # noqa: E402
from smac.acquisition.maximizer import LocalAndSortedRandomSearch  # noqa: E402
from smac.model.random_forest import RandomForest  # noqa: E402

AT_RANDOM = 0.2  # share of the candidates, once the forest is asked: the facade's random design
PERCENTILE = 5  # of the costs: how far below the best one the scale of logarithms begins


class Smac(Strategy):
    """The first `startup` candidates are random; then the one of most expected improvement.

    It is looked for from the best of `challengers` random ones, by `searches` local searches.

    Every parameter is in every configuration, at what is usual where a network has no such fork: which forks follow
    from which answers is in the space's `if`s alone. A network in training counts as one of mean cost.
    """

    def __init__(self, space: SearchSpace, *, startup: int = 10, challengers: int = 1000, searches: int = 10) -> None:
        super().__init__(space)
        at_least(startup=(startup, 2), challengers=(challengers, 1), searches=(searches, 1))
        self.startup, self.challengers, self.searches = startup, challengers, searches
        self.told: list[Configuration] = []
        self.costs: list[float] = []

    @cached_property
    def parameters(self) -> Parameters:
        return Parameters(self.space)

    @cached_property
    def configurations(self) -> ConfigurationSpace:
        found = ConfigurationSpace(seed=0)
        found.add([_hyperparameter(p) for p in self.parameters.all])
        return found

    def ahead(self) -> float:
        return max(1, self.startup - len(self.told))

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        if len(self.told) < self.startup or not self.parameters.all or rng.random() < AT_RANDOM:
            return self.space.sample(rng)
        wishes = dict(self._best(int(rng.integers(2**31)), [self._configuration(c) for c in pending]))

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            parameter = self.parameters.of(name, options) if len(options) > 1 else None
            if parameter is None:
                return weighted(weights, rng)
            return parameter.answer(int(wishes[parameter.name]), options, weights, rng)

        return self.space.draw(answer)

    def tell(self, trial: Trial) -> None:
        if trial.values:
            self.told.append(self._configuration(trial.candidate))
            self.costs.append(-trial.value)

    def _best(self, seed: int, pending: list[Configuration]) -> Configuration:
        """The configuration of most expected improvement that is neither told nor pending."""
        known = [*self.told, *pending]
        scaled = _logarithms(np.array(self.costs))
        costs = np.append(scaled, np.full(len(pending), scaled.mean()))
        points = np.array([configuration.get_array() for configuration in known])
        forest = RandomForest(
            self.configurations,
            log_y=True,
            n_trees=10,
            max_depth=2**20,
            min_samples_split=2,
            min_samples_leaf=1,
            ratio_features=1.0,
            max_leaf_nodes=max(2, len(points)),  # there are no more; SMAC reserves the memory of a million
            n_jobs=1,  # a pool of threads for every prediction costs ten times what it predicts
            seed=seed,
        )
        forest.train(points, costs[:, None])
        expected = forest.predict_marginalized(points)[0][:, 0]
        improvement = EI(log=True)
        best = int(expected.argmin())
        improvement.update(
            model=forest, eta=expected[best], incumbent_array=points[best], num_data=len(known), X=points
        )
        self.configurations.seed(seed)  # it is this that draws
        search = LocalAndSortedRandomSearch(
            self.configurations,
            improvement,
            challengers=self.challengers,
            local_search_iterations=self.searches,
            seed=seed,
        )
        found, taken = list(search.maximize(self.told)), set(known)
        return next((configuration for configuration in found if configuration not in taken), found[0])

    def _configuration(self, candidate: Candidate) -> Configuration:
        return Configuration(self.configurations, self.parameters.imputed(self.parameters.positions(candidate)))


def _hyperparameter(parameter: Parameter) -> Integer | CategoricalHyperparameter:
    positions = range(len(parameter.options))
    if parameter.ordered:
        return Integer(parameter.name, 0, positions[-1])
    return CategoricalHyperparameter(parameter.name, positions)


def _logarithms(costs: np.ndarray) -> np.ndarray:
    """Costs as the facade has them: scaled to 0..1, from as far below the best as that is from the percentile; logs."""
    low = costs.min() - (np.percentile(costs, PERCENTILE) - costs.min()) - 1e-10
    scaled: np.ndarray = np.log((costs - low) / max(costs.max() - low, 1e-10))
    return scaled
