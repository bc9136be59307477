"""Options made real and checked, before any data is read: the source of data, the space on it, the strategies."""

from __future__ import annotations

import importlib.util
import inspect
import re
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from nas import plugins
from nas.dataset import Arrays, Dataset, Source
from nas.normalise import check_normalisation
from nas.ops import Shape
from nas.options import Options
from nas.provenance import words
from nas.space import SearchSpace
from nas.strategy import Strategy

KINDS = {".csv": "csv:{},target=COLUMN", ".tsv": "csv:{},target=COLUMN,sep=tab", ".npz": "npz:{}"}  # by ending


@dataclass(frozen=True)
class Problem:
    """What is searched, and on what."""

    options: Options
    source: Source
    space: SearchSpace

    @classmethod
    def of(cls, options: Options) -> Problem:
        """Raises `ValueError` for any mistake, before any data is read."""
        source = _source(options.data)
        space: SearchSpace = _plugin(
            "search_spaces", options.space, SearchSpace, *_task(source), options.parameter_budget
        )
        narrowing = options.narrowing
        if options.one_shot is not None:
            narrowing = replace(narrowing, held=space.regularising)
        space = space.on(source.contexts, source.augmentations, narrowing)
        space.check()
        problem = cls(options, source, space)
        problem.strategy(options.strategy)
        return problem

    def strategy(self, spec: Any) -> Strategy:
        made: Strategy = _plugin("strategies", spec, Strategy, self.space)
        wanted = self.options.objective
        if len(wanted) > made.objectives:
            raise ValueError(
                f"--objective {','.join(wanted)} is too much for strategy {words(spec)}, which weighs "
                f"{made.objectives:g} at a time; give --strategy nsga2 or random"
            )
        if self.options.one_shot is not None and made.paces:
            raise ValueError(
                f"strategy {words(spec)} decides for how long networks are trained, which --one-shot does not train "
                f"while it searches; give another, such as --strategy evolution"
            )
        made.plan(self.options.epochs)
        return made

    def sized(self, samples: int) -> Problem:
        """On data of which the search trains so many samples an epoch."""
        return replace(self, space=self.space.sized(samples))

    def load(self) -> Dataset:
        """Read the data, normalised as the options say."""
        dataset = self.source.load(self.options.seed)
        if not isinstance(dataset, Dataset):
            raise ValueError(f"{type(self.source).__name__}.load() must return a nas.dataset.Dataset, got {dataset!r}")
        dataset = replace(dataset, normalise=self.options.normalise or dataset.normalise)
        check_normalisation(dataset)
        return dataset


def _source(data: Any) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, tuple | list) and len(data) == 2:
        return Arrays(*data)
    if isinstance(data, str):
        kind, _, rest = data.partition(":")
        if kind not in plugins.names("nas.data") and importlib.util.find_spec(kind.partition(".")[0] or "?"):
            name, _, rest = rest.partition(":")  # package.module:Class[:PATH]
            kind = f"{kind}:{name}"
        suffix = Path(kind).suffix.lower()
        if suffix in KINDS and Path(kind).is_file():
            raise ValueError(f"--data {data}: which kind is it? Give {KINDS[suffix].format(kind)}")
        path, *items = re.split(r",(?=\w+=)", rest)  # a path may hold commas
        cls = plugins.find("nas.data", kind, Source)
        words = dict(item.partition("=")[::2] for item in items)
        return cls(path, **plugins.read_options(cls, words, f"data kind {kind}"))  # type: ignore[no-any-return]  # a plug-in's class
    raise ValueError(f"data must be 'KIND:PATH', arrays (X, y) or a nas.dataset.Source, got {type(data).__name__}")


def _task(source: Source) -> tuple[Shape, int]:
    said: Any = source.task()  # a user's own may say anything
    match said:
        case tuple(shape), Integral() as classes:
            return shape, int(classes)
        case _:
            name = type(source).__name__
            raise ValueError(f"{name}.task() must return a shape and a number of classes, ((2,), 3), got {said!r}")


def _plugin(folder: str, spec: Any, kind: type, *args: Any) -> Any:
    if inspect.isclass(spec):
        return plugins.checked(spec, kind, spec.__name__)(*args)
    if isinstance(spec, str):
        return plugins.make(folder, spec, kind, *args)
    raise ValueError(f"{folder}: give a name or a subclass of {kind.__name__}, got {spec!r}")
