"""The Python door: `nas.search(space="mlp", budget="20M", data=(X, y)) -> Result`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from nas.events import Monitor
from nas.options import Options
from nas.result import Result
from nas.run import run
from nas.space import SearchSpace
from nas.strategy import Strategy


def search(
    space: str | type[SearchSpace] = "mlp",
    budget: str | int | float | None = None,
    data: Any = "digits",
    strategy: str | type[Strategy] = "predictor",
    *,
    monitors: Sequence[Monitor | str] = (),
    verbose: bool = False,
    **options: Any,
) -> Result:
    """Search `space` inside the parameter budget and export the best network.

    `space`, `data` and `strategy` are written as on the command line, or are classes of your own; `data` may be arrays
    `(X, y)`, X of shape (n, features...) and y (n,). The other options are those of the command line: trials, time,
    epochs, patience, fill, seed, workers (0: in this process), device, executor (`"ray:address=auto"`), fused,
    one_shot (`True`, `"rounds=4"`), baseline, out. `monitors` are names, such as `"tensorboard"` or `"nni:8080"`, or
    monitors of your own.

    Raises `ValueError`, in one sentence and before anything is trained, for a mistake in any of them.
    """
    named = [monitor for monitor in monitors if isinstance(monitor, str)]
    own = [monitor for monitor in monitors if not isinstance(monitor, str)]
    raw = {"space": space, "budget": budget, "data": data, "strategy": strategy, "monitors": named, **options}
    return run(Options.of(raw), Console(stderr=True), 0 if verbose else -1, own)
