"""How long a network takes for one sample: a linear model of its layers, fitted to networks timed on the device.

What a worker's clock says of a network depends on what runs beside it. The model is fitted before any is busy, and says
the same of a network whenever it is asked, as tables of layers do (arXiv 1812.00332, 1812.03443): every kind of layer
has a time a layer, a time a parameter and a time a FLOP, none of them negative.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.architecture import Architecture
from nas.executor import JobFailed, Workers
from nas.record import read_json
from nas.space import SearchSpace

NETWORKS = 48  # that are timed
FOLDS = 4  # of which each is predicted from the others


@dataclass(frozen=True)
class Latency:
    """`milliseconds` of one of each of `costs`; `error`: relative, of networks that a fit had not seen.

    Half of them were no further off than its first number, nine in ten no further than the second.
    """

    milliseconds: Mapping[str, float]
    error: tuple[float, float]

    def __call__(self, architecture: Architecture) -> float:
        """Milliseconds of a sample, to three digits: what a network costs beyond that is noise."""
        known = self.milliseconds
        found = sum(known.get(name, 0.0) * amount for name, amount in costs(architecture).items())
        return float(f"{found:.3g}")

    @classmethod
    def fit(cls, architectures: Sequence[Architecture], measured: Sequence[float]) -> Latency:
        """Least squares of the relative error, by times that are not negative; `measured`: milliseconds, (n,)."""
        from sklearn.linear_model import LinearRegression
        from sklearn.model_selection import cross_val_predict

        amounts = [costs(architecture) for architecture in architectures]
        names = sorted({name for each in amounts for name in each})
        table = np.array([[each[name] for name in names] for each in amounts]) / np.array(measured)[:, None]
        scale, right = table.max(axis=0), np.ones(len(table))  # of what is predicted the share of what was measured
        linear = LinearRegression(fit_intercept=False, positive=True)
        off = np.abs(cross_val_predict(linear, table / scale, right, cv=FOLDS) - 1)
        weights = linear.fit(table / scale, right).coef_ / scale
        middle, most = np.quantile(off, (0.5, 0.9))
        return cls({n: float(w) for n, w in zip(names, weights, strict=True) if w > 0}, (float(middle), float(most)))

    def __str__(self) -> str:
        middle, most = self.error
        return (
            f"Latency: a model of {NETWORKS} networks that were timed, one sample and one thread; "
            f"half of them are within {middle:.0%} of it, nine in ten within {most:.0%}"
        )


def costs(architecture: Architecture) -> Counter[str]:
    """Of each kind of layer, and size of its kernel, how many there are, their parameters, and their FLOPs."""
    found: Counter[str] = Counter()
    for i in architecture.computed[1:]:
        op, attrs = architecture.nodes[i].op, dict(architecture.nodes[i].attrs)
        kind = f"{op} {attrs['kernel']}" if "kernel" in attrs else op
        _, params, flops = architecture.measured[i]
        found.update({kind: 1, f"{kind} params": params, f"{kind} flops": flops})
    return +found


def of_run(file: Path, space: SearchSpace, seed: int, workers: Callable[[], Workers], timed: Any) -> Latency:
    """The model in `file`, fitted where there is none by one of `workers`: `timed` is what is submitted to it.

    Raises `ValueError` where the networks cannot be timed, or the file is damaged: trials have values by it.
    """
    if file.exists():
        if (found := recorded(file)) is None:
            raise ValueError(f"{file} is damaged; restore the file or begin with another --out")
        return found
    rng = np.random.default_rng((seed, NETWORKS))
    architectures = [space.sample(rng).architecture for _ in range(NETWORKS)]
    executor = workers()
    try:
        measured = executor.submit(timed, architectures).result()
    except JobFailed as error:
        raise ValueError(f"--objective -latency: networks could not be timed ({error}); leave it out") from None
    finally:
        executor.shutdown(cancel_futures=True)
    model = Latency.fit(architectures, measured)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(model)) + "\n", encoding="utf-8")
    partial.replace(file)
    return model


def recorded(file: Path) -> Latency | None:
    """The model that a file holds; None where it holds none."""
    known = read_json(file)
    try:
        return Latency({str(name): float(ms) for name, ms in known["milliseconds"].items()}, tuple(known["error"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
