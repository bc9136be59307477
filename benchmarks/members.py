"""What one step of one network costs when so many are trained as one: processor time, and what the plan expects.

Beside it the same networks trained each alone by `nas.train.loop.train`, and by the plain loop. All that a training
does is counted, validation every epoch included. Times of groups are medians of the rounds, the others means over the
same networks.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.peers import plain
from benchmarks.peers.task import Task
from benchmarks.tables import markdown
from benchmarks.workload import Perceptrons, dataset, write
from nas.space import Candidate
from nas.train.fused.chain import chain_of
from nas.train.fused.group import train_together
from nas.train.fused.member import Member
from nas.train.fused.plan import COSTS, seconds, together
from nas.train.loop import Patience, train
from nas.train.resident import Resident

MEMBERS = (1, 2, 4, 8, 16, 32, 64)
WIDTHS = ((8, 16), (16, 64), (64, 256))
EPOCHS = {32: 2, 128: 6}  # of each batch size: some sixty steps
ROUNDS = 3


class Setting:
    """Networks of widths in a range, trained on the digits in batches of one size."""

    def __init__(self, folder: Path, widths: tuple[int, int], batch: int) -> None:
        rng = np.random.default_rng(0)
        drawn = [rng.integers(widths[0] // 4, widths[1] // 4 + 1, rng.integers(1, 4)) * 4 for _ in range(MEMBERS[-1])]
        networks = tuple(tuple(int(width) for width in each) for each in drawn)
        self.task: Task = replace(write("small", "", folder), networks=networks, batch=batch, epochs=EPOCHS[batch])
        data = dataset(self.task)
        space = Perceptrons(data.input_shape, len(data.classes), self.task)
        self.candidates = [space.replay({"network": number}) for number in range(len(networks))]
        self.arrays = plain.load(self.task.file)
        self.parts = Resident(*self.arrays[:2]), Resident(*self.arrays[2:])
        self.steps = self.task.epochs * -(-len(data.train) // batch)

    def together(self, members: Sequence[Candidate]) -> None:
        patience = self.task.epochs
        found = [Member(c.architecture, c.recipe, n, Patience(patience)) for n, c in enumerate(members)]
        list(train_together(found, *self.parts, epochs=self.task.epochs))

    def alone(self, number: int) -> None:
        candidate, epochs = self.candidates[number], self.task.epochs
        train(candidate.architecture, candidate.recipe, *self.parts, epochs=epochs, patience=epochs, seed=number)

    def plainly(self, number: int) -> None:
        plain.train(self.task, self.arrays, number)

    def microseconds(self, run: Callable[[], None], members: int = 1) -> float:
        """Of the processor, for a step of a member."""
        start = time.process_time()
        run()
        return 1e6 * (time.process_time() - start) / (members * self.steps)

    def rows(self) -> list[list[str]]:
        """A line for each number of members, whose own costs alone it is compared with."""
        self.together(self.candidates[:2])  # what the first of all does once
        apart = {
            run: [self.microseconds(partial(run, number)) for number in range(MEMBERS[-1])]
            for run in (self.alone, self.plainly)
        }
        lines = []
        for members in MEMBERS:
            first = self.candidates[:members]
            mine = statistics.median(self.microseconds(partial(self.together, first), members) for _ in range(ROUNDS))
            alone, plainly = (statistics.mean(times[:members]) for times in apart.values())
            apiece = sum(seconds(c, chain) for c in first if (chain := chain_of(c.architecture)))
            expected = 1e6 * (COSTS["cpu"].once + apiece) / members
            shown = [f"{mine:.0f}", f"{expected:.0f}", f"{alone:.0f}", f"{plainly:.0f}"]
            lines.append([str(members), *shown, f"{alone / mine:.1f}", f"{plainly / mine:.1f}"])
        return lines


def measure() -> str:
    torch.set_num_threads(1)
    rows = []
    for widths in WIDTHS:
        for batch in EPOCHS:
            with TemporaryDirectory() as folder:
                setting = Setting(Path(folder), widths, batch)
                asked = int(np.median([together(candidate)[1] for candidate in setting.candidates]))
                rows += [[f"{widths[0]}-{widths[1]}", str(batch), str(asked), *line] for line in setting.rows()]
    times = ["together, µs", "expected", "alone", "plain loop", "times faster than alone", "than plain"]
    return markdown(["widths", "batch", "asked for", "members", *times], rows)
