"""What watches a search: told of its events, never able to slow it down or change it."""

from __future__ import annotations

from collections.abc import Sequence

from nas.trial import Trial


class Monitor:
    """Override what you need. `history` are the trials of earlier sessions."""

    def started(self, history: Sequence[Trial]) -> None: ...

    def told(self, trial: Trial) -> None: ...

    def failed(self, trial: Trial, trace: str) -> None:
        """After `told`, for a trial with an error; `trace` is the worker's traceback, '' where there is none."""

    def finished(self) -> None: ...
