"""Which checkpoints stay on disk: one a candidate that may be trained on, and no more of them than fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, takewhile
from pathlib import Path
from typing import Any

from nas.events import Monitor
from nas.trial import Trial
from nas.weights import snapshot_file

MOST = 4 * 2**30  # bytes of all together


class KeepCheckpoints(Monitor):
    """Removes the checkpoint of a candidate that was trained on, and those of the worst where all do not fit.

    Without its checkpoint a candidate can still be trained on: that begins again, and ends at the same result.
    """

    def __init__(self, checkpoint_of: Callable[[int], Path], most: int = MOST) -> None:
        self._checkpoint_of, self._most = checkpoint_of, most
        self._kept: dict[tuple[Any, ...], Trial] = {}  # by lineage
        self._sizes: dict[int, int] = {}  # by number
        self._total = 0

    def started(self, history: Sequence[Trial]) -> None:
        for trial in history:
            self.told(trial)
        kept = {file for number in self._sizes for file in self._files(number)}
        folder = self._checkpoint_of(0).parent
        for file in folder.iterdir() if folder.is_dir() else ():  # what crashes have left
            if file not in kept:
                file.unlink()

    def told(self, trial: Trial) -> None:
        candidate = trial.candidate
        if candidate.horizon is None or trial.copy_of is not None or not trial.values:
            return
        both = [trial, *filter(None, [self._kept.get(candidate.lineage)])]
        furthest = max(both, key=lambda t: t.candidate.fidelity)
        for other in both:
            if other is not furthest:
                self._remove(other)
        if furthest is trial and candidate.progress < 1:
            self._kept[candidate.lineage] = trial
            self._sizes[trial.number] = sum(file.stat().st_size for file in self._files(trial.number))
            self._total += self._sizes[trial.number]
        while self._total > self._most:
            self._remove(min(self._kept.values(), key=lambda kept: kept.value))

    def _remove(self, trial: Trial) -> None:
        for file in self._files(trial.number):
            file.unlink(missing_ok=True)
        if trial.number in self._sizes:
            self._total -= self._sizes.pop(trial.number)
            del self._kept[trial.candidate.lineage]

    def _files(self, number: int) -> Iterator[Path]:
        """Of a trial, one a fold."""
        first = self._checkpoint_of(number)
        folds = (snapshot_file(first, f"fold{n}") for n in count(2))
        yield from takewhile(Path.exists, chain((first,), folds))
