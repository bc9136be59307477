"""Search by a learned model of accuracy (as BANANAS, arXiv 1910.11858, algorithm 1), its model a Gaussian process.

The model reads a candidate's choices and its zero-cost proxies, the number of parameters unless told otherwise, so that
it serves every space. On NAS-Bench-201 choices were as good as with the paths from input to output that the paper
encodes, and better than paths alone. It is slow to see that a fork does not matter: where half of them do not,
evolution found the best cell of that benchmark sooner.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import isfinite

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from nas.dataset import Dataset
from nas.ops import Scalar
from nas.proxies import Proxies
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._gaussian_process import Encoding, Floats, Kernel, Posterior, expected_improvement, fit, warped
from strategies._options import at_least

GROWTH = 1.1  # the model is fitted anew when so many times as many trials have been told
SUBSET = 300  # trials that it reads, at most: the better ones, and every so many of the others
BETTER = 200
DRAWS = 4  # proposals that are drawn, at most, to see what they become where choices depend on each other
CHANGES = (1, 1, 2, 3)  # decisions in which a proposal differs from its parent, one as often as another
FAR = 5  # one proposal in so many differs in half of its decisions
MEASURED = 16  # proposals that become candidates, at most, so that their proxies can be measured, ...
DECISIONS = 256  # ... and decisions in all of them, for where a network has many a draw takes long
PROXY = "proxy "  # before the name of one, among the choices

Values = dict[str, Scalar]
Promise = Callable[[Sequence[Values]], Floats]


@cache
def _blas() -> ThreadpoolController:
    """The libraries of numpy and scipy; for 300 rows a second thread is slower, and takes a worker's core."""
    importlib.import_module("scipy.linalg")  # one that is loaded later is not seen
    return ThreadpoolController().select(user_api="blas")


@dataclass(frozen=True)
class Model:
    """What was learned from the first `told` trials, of which `described` is read.

    `rows` are those that it has encoded, by their position.
    """

    told: int
    described: Callable[[Candidate], Values]
    encoding: Encoding
    kernel: Kernel
    rows: dict[int, Floats] = field(default_factory=dict)

    def encoded(self, trials: Sequence[Trial], chosen: Sequence[int]) -> Floats:
        """(chosen, columns)"""
        if new := [i for i in chosen if i not in self.rows]:
            described = [self.described(trials[i].candidate) for i in new]
            self.rows.update(zip(new, self.encoding(described), strict=True))
        return np.stack([self.rows[i] for i in chosen])

    @cached_property
    def unmeasured(self) -> Model:
        """The same without the proxies: for proposals, which are not networks yet."""
        encoding = self.encoding.unmeasured()
        return Model(self.told, _choices, encoding, self.kernel.among(encoding.groups))


class Predictor(Strategy):
    """The candidate of most expected improvement among `proposals`, which are mutations of the best `parents`.

    The first `initial` candidates are the space's default and random ones. Candidates in training now count as if
    they had the value that the model expects of them, so that nothing near them promises much. `batch` of them may be
    asked for at once where several are trained together. With `proxies`, such as `synflow+params`, those that promise
    most by their choices are measured, `MEASURED` at most, and the best is taken; `none`: the best by its choices.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        initial: int = 8,
        parents: int = 10,
        proposals: int = 250,
        batch: int = 8,
        proxies: str = "params",
    ) -> None:
        super().__init__(space)
        at_least(initial=(initial, 2), parents=(parents, 1), proposals=(proposals, 1), batch=(batch, 1))
        self.initial, self.parents, self.proposals, self.batch = initial, parents, proposals, batch
        self.proxies = None if proxies == "none" else Proxies(proxies)
        self.trials: list[Trial] = []
        self.seen: set[frozenset[tuple[str, Scalar]]] = set()
        self._model: Model | None = None  # what follows from `trials`, and no more

    def look(self, dataset: Dataset) -> None:
        if self.proxies is not None:
            self.proxies.look(dataset)

    def ahead(self) -> float:
        return max(self.initial - len(self.trials), self.batch)

    def tell(self, trial: Trial) -> None:
        self.trials.append(trial)
        self.seen.add(_identity(trial.candidate.values))

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        asked = len(self.trials) + len(pending)
        if asked < self.initial:
            return self.space.sample(rng) if asked else self.space.default()
        with _blas().limit(limits=1):
            return self._promising(rng, pending) or self.space.sample(rng)

    def _promising(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate | None:
        """None where nothing was learned, or nothing new is left."""
        model = self._learned()
        if model is None:
            return None
        scores = warped(_values(self.trials))
        seen = self.seen | {_identity(candidate.values) for candidate in pending}
        parents = [self.trials[i].candidate for i in np.argsort(-scores, kind="stable")[: self.parents]]
        pool = [values for values in self._proposals(parents, rng) if _identity(values) not in seen]
        promise = self._improvement(model.unmeasured, scores, pending)
        if self.proxies:
            return self._best_measured(pool, promise, self._improvement(model, scores, pending), seen, rng)
        return self._most_promising(pool, promise, seen, rng)

    def _learned(self) -> Model | None:
        """The model of the last time it was due: a function of what was told, whenever it is asked for."""
        due, following = self.initial, self.initial
        while following <= len(self.trials):
            due, following = following, max(following + 1, int(GROWTH * following))
        if due > len(self.trials):
            return None
        if self._model is None or self._model.told != due:
            trials = self.trials[:due]
            scores = warped(_values(trials))
            chosen = _subset(scores)
            rows = [self._described(trials[i].candidate) for i in chosen]
            measured = {name: [float(row[name]) for row in rows] for name in rows[0] if name.startswith(PROXY)}
            encoding = Encoding([t.candidate for t in trials], measured)
            if not scores.any() or not encoding.forks:
                return None
            kernel = fit(encoding.groups, encoding(rows), scores[chosen])
            self._model = Model(due, self._described, encoding, kernel)
        return self._model

    def _described(self, candidate: Candidate) -> Values:
        """Its choices and its proxies."""
        if self.proxies is None:
            return candidate.values
        proxies = zip(self.proxies.names, self.proxies(candidate), strict=True)
        return candidate.values | {PROXY + name: value for name, value in proxies}

    def _proposals(self, parents: Sequence[Candidate], rng: np.random.Generator) -> Iterator[Values]:
        """What to wish for; nothing is drawn yet, for that takes milliseconds each."""
        open_ = [[choice for choice in parent.choices if len(choice.options) > 1] for parent in parents]
        bases = [(parent.values, forks) for parent, forks in zip(parents, open_, strict=True) if forks]
        if not bases:
            return
        chosen = rng.integers(len(bases), size=self.proposals)
        forks = np.array([len(forks) for _, forks in bases])[chosen]
        far = np.arange(self.proposals) % FAR == 0
        changes = np.minimum(np.where(far, np.maximum(forks // 2, 1), rng.choice(CHANGES, self.proposals)), forks)
        order, others = rng.random((2, self.proposals, forks.max()))
        order[np.arange(forks.max()) >= forks[:, np.newaxis]] = 1.0  # beyond the forks of this base
        columns = chosen.tolist(), changes.tolist(), order.argsort(axis=1).tolist(), others.tolist()
        for which, count, places, chances in zip(*columns, strict=True):
            base, changeable = bases[which]
            values = dict(base)
            for place, chance in zip(places[:count], chances, strict=False):
                choice = changeable[place]
                other = int(chance * (len(choice.options) - 1))
                values[choice.name] = choice.options[other + (other >= choice.index)]
            yield values

    def _improvement(self, model: Model, scores: Floats, pending: Sequence[Candidate]) -> Promise:
        """Expected improvement on the best told, of any number of candidates."""
        chosen = _subset(scores)
        x, y = model.encoded(self.trials, chosen.tolist()), scores[chosen]
        posterior = Posterior(model.kernel, x, y)
        if pending:
            awaited = model.encoding([model.described(candidate) for candidate in pending])
            expected = posterior(awaited)[0]  # the "kriging believer" (Ginsbourger et al. 2010, algorithm 2)
            posterior = Posterior(model.kernel, np.vstack([x, awaited]), np.append(y, expected))
        best = float(scores.max())
        return lambda rows: expected_improvement(*posterior(model.encoding(rows)), best)

    def _most_promising(
        self,
        pool: Sequence[Values],
        promise: Promise,
        seen: set[frozenset[tuple[str, Scalar]]],
        rng: np.random.Generator,
    ) -> Candidate | None:
        """The best of the candidates that the best of `pool` become; None where none of them is new."""
        best, highest = None, -np.inf
        hopes = promise(pool) if pool else np.empty(0)
        for i in np.argsort(-hopes, kind="stable")[:DRAWS]:
            if hopes[i] <= highest:
                break  # where choices do not depend on each other, all the rest
            candidate = self.space.nearest(pool[i], rng)
            value = -np.inf if _identity(candidate.values) in seen else float(promise([candidate.values])[0])
            if value > highest:
                best, highest = candidate, value
        return best

    @cached_property
    def _measurable(self) -> int:
        """How many proposals become candidates, so that their proxies can be measured."""
        decisions = sum(len(choice.options) > 1 for choice in self.space.default().choices)
        return max(DRAWS, min(MEASURED, DECISIONS // max(1, decisions)))

    def _best_measured(
        self,
        pool: Sequence[Values],
        promise: Promise,
        measured: Promise,
        seen: set[frozenset[tuple[str, Scalar]]],
        rng: np.random.Generator,
    ) -> Candidate | None:
        """Of what the best of `pool` become the best by its proxies too; None where none of it is new."""
        order = np.argsort(-promise(pool), kind="stable")[: self._measurable] if pool else ()
        drawn = [self.space.nearest(pool[i], rng) for i in order]
        new = [candidate for candidate in drawn if _identity(candidate.values) not in seen]
        return new[int(np.argmax(measured([self._described(c) for c in new])))] if new else None


def _choices(candidate: Candidate) -> Values:
    return candidate.values


def _identity(values: Values) -> frozenset[tuple[str, Scalar]]:
    return frozenset(values.items())


def _values(trials: Sequence[Trial]) -> Floats:
    """Their values; a network that failed is as good as the worst that did not."""
    values = np.array([trial.value if trial.values and isfinite(trial.value) else np.nan for trial in trials])
    known = values[np.isfinite(values)]
    return np.where(np.isfinite(values), values, known.min() if len(known) else 0.0)


def _subset(scores: Floats) -> npt.NDArray[np.intp]:
    """The positions of at most `SUBSET` trials."""
    if len(scores) <= SUBSET:
        return np.arange(len(scores))
    order = np.argsort(-scores, kind="stable")
    others = np.linspace(BETTER, len(scores) - 1, SUBSET - BETTER).astype(int)
    return np.append(order[:BETTER], order[others])
