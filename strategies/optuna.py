"""Optuna's samplers, https://optuna.readthedocs.io: TPE, a Gaussian process, CMA-ES, NSGA-II, quasi-Monte Carlo.

A sampler is asked through its own interface, for a trial of a study of which the told trials alone outlast the `ask`.
Numbers are integers to it, positions in the list of a fork's options; all else is categorical. TPE is given the forks
that are asked together as one joint distribution; the others, which want the same parameters in every trial, are given
all there are, at what is usual where a network has no such fork. What a sampler leaves open, such as its first trials,
the space draws, uniformly over the networks that fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any

import numpy as np

from nas.extras import need
from nas.ops import Scalar
from nas.space import Candidate, SearchSpace, weighted
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._options import at_least
from strategies._parameters import Parameter, Parameters

need("strategy optuna", "optuna", "optuna")

from optuna import Study, logging, samplers  # noqa: E402  # its absence is said first, in one sentence
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution  # noqa: E402
from optuna.exceptions import ExperimentalWarning  # noqa: E402
from optuna.pruners import NopPruner  # noqa: E402
from optuna.storages import InMemoryStorage  # noqa: E402
from optuna.study import StudyDirection  # noqa: E402
from optuna.trial import FrozenTrial, TrialState  # noqa: E402

SAMPLERS = ("tpe", "gp", "cmaes", "nsgaii", "qmc", "random")
NOTING = ("cmaes", "nsgaii", "qmc")  # what these have to know of a trial later, they note when they are asked for it
STARTUP = 10  # completed trials with which tpe and gp begin, as Optuna has it
NAME = "search"  # of the study


class Optuna(Strategy):
    """`sampler` is one of tpe, gp, cmaes, nsgaii, qmc, random. Networks in training are trials that run.

    `population` is that of nsgaii, `init_seed` chooses the sequence of qmc, which all chance of a search leaves alone.
    cmaes knows numbers only: all other forks are drawn at random.
    """

    def __init__(self, space: SearchSpace, *, sampler: str = "tpe", population: int = 50, init_seed: int = 0) -> None:
        super().__init__(space)
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
        at_least(population=(population, 2))
        if not 0 <= init_seed < 2**32:
            raise ValueError(f"init_seed must be in 0..2**32 - 1, got {init_seed}")
        if sampler == "cmaes":
            need("strategy optuna:sampler=cmaes", "cmaes", "optuna")
        self.sampler, self.population, self.init_seed = sampler, population, init_seed
        if sampler == "cmaes" and len(numbers := self.joint.get(0, {})) < 2:
            raise ValueError(f"sampler=cmaes needs two forks of numbers, space {space} has {len(numbers)}; take tpe")
        self.history, self.pruner = History(), NopPruner()

    @cached_property
    def parameters(self) -> Parameters:
        return Parameters(self.space)

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {p.name: _distribution(p) for p in self.parameters.all}

    @cached_property
    def joint(self) -> dict[int, dict[str, BaseDistribution]]:
        """What is sampled at once."""
        blocks: dict[int, dict[str, BaseDistribution]] = {}
        for p in self.parameters.all:
            if p.ordered or self.sampler != "cmaes":
                blocks.setdefault(self._block(p), {})[p.name] = self.distributions[p.name]
        return blocks

    def ahead(self) -> float:
        """What does not depend on results: the first trials, a generation, or all of them."""
        completed = sum(trial.state == TrialState.COMPLETE for trial in self.history.told[-self.population :])
        if self.sampler in ("qmc", "random"):
            return float("inf")
        return max(1, STARTUP - completed) if self.sampler in ("tpe", "gp") else 1

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        study = Study(NAME, self.history, self._sampler(int(rng.integers(2**31))), self.pruner)
        with self.history.asking():
            for candidate in pending:
                self._enter(study, candidate)
            trial = self.history.enter({}, {})

            @cache
            def wishes(block: int) -> Mapping[str, Any]:
                return study.sampler.sample_relative(study, trial, self.joint.get(block, {}))

            def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
                parameter = self.parameters.of(name, options) if len(options) > 1 else None
                wish = None if parameter is None else wishes(self._block(parameter)).get(parameter.name)
                if parameter is None or wish is None:
                    return weighted(weights, rng)
                return parameter.answer(int(wish), options, weights, rng)

            return self.space.draw(answer)

    def tell(self, trial: Trial) -> None:
        study = Study(NAME, self.history, self._sampler(0), self.pruner) if self.sampler in NOTING else None
        with self.history.telling():
            told = self._enter(study, trial.candidate)
            told.state = TrialState.COMPLETE if trial.values else TrialState.FAIL
            told.values = list(trial.values) or None

    def _enter(self, study: Study | None, candidate: Candidate) -> FrozenTrial:
        """A trial of the study with what the candidate has chosen."""
        positions = self.parameters.positions(candidate)
        if self.sampler not in ("tpe", "random"):
            positions = self.parameters.imputed(positions)
        trial = self.history.enter(positions, {name: self.distributions[name] for name in positions})
        if study is not None and self.sampler in NOTING:
            study.sampler.sample_relative(study, trial, self.joint.get(0, {}))
        return trial

    def _block(self, parameter: Parameter) -> int:
        return parameter.block if self.sampler == "tpe" else 0

    def _sampler(self, seed: int) -> samplers.BaseSampler:
        """A sampler without memory: all that it knows is in the study, so that asking changes nothing."""
        if self.sampler == "tpe":
            return samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)
        if self.sampler == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=STARTUP)
        if self.sampler == "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        if self.sampler == "nsgaii":
            return samplers.NSGAIISampler(seed=seed, population_size=self.population)
        if self.sampler == "qmc":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # that its interface may change
                return samplers.QMCSampler(seed=self.init_seed, scramble=True)
        return samplers.RandomSampler(seed=seed)


class History(InMemoryStorage):
    """The storage of one study: told trials and, for the time of an ask, those that run."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[FrozenTrial] = []
        self.running: list[FrozenTrial] = []
        self.notes: dict[str, Any] = {}  # what samplers write down about the study

    @contextmanager
    def asking(self) -> Iterator[None]:
        """What is entered or noted meanwhile is forgotten."""
        notes = dict(self.notes)
        try:
            with _quiet():
                yield
        finally:
            self.running, self.notes = [], notes

    @contextmanager
    def telling(self) -> Iterator[None]:
        """What is entered meanwhile is told."""
        with _quiet():
            yield
        self.told += self.running
        self.running = []

    def enter(self, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> FrozenTrial:
        number = len(self.told) + len(self.running)
        trial = FrozenTrial(number, TrialState.RUNNING, None, None, None, params, distributions, {}, {}, {}, number)
        self.running.append(trial)
        return trial

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection.MAXIMIZE]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [t for t in (*self.told, *self.running) if states is None or t.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.running[trial_id - len(self.told)].system_attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.notes[key] = value

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.notes


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says nothing: what it warns of, such as a kernel that cannot be fitted, it has dealt with."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _distribution(parameter: Parameter) -> BaseDistribution:
    positions = range(len(parameter.options))
    return IntDistribution(0, positions[-1]) if parameter.ordered else CategoricalDistribution(positions)
