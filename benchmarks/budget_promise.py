"""Does the parameter budget hold, is it exact, are draws uniform, and what does it cost?

Prints four sections: (a) candidates outside the budget or miscounted, and milliseconds each; (b) the table of
`benchmarks.uniformity`; (c) seconds to build the tables of counts, and to refuse an impossible budget; (d) drawing
inside the budget against drawing freely and rejecting what is too large.

    python -m benchmarks.budget_promise
    python -m benchmarks.budget_promise --draws 100 --only a d
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks import uniformity
from benchmarks.tables import markdown
from nas.architecture import Architecture
from nas.budget import Budget, BudgetError, parse_size
from nas.network import Network
from nas.ops import Scalar
from nas.space import Candidate, SearchSpace
from nas.trial import Trial
from search_spaces.mlp import MLP
from strategies.reinforce import Reinforce

DATA = ((64, 10), (784, 10), (868, 11))  # inputs, classes
SIZES = ("50K", "1M", "20M")
FILLS = (None, 0.9)
TOLD = 64  # trials the controller has seen
BUILD = """
import time
from nas.budget import Budget
from search_spaces.mlp import MLP
start = time.perf_counter()
MLP((868,), 11, Budget(20_000_000)).check()
print(time.perf_counter() - start)
"""


def promise(draws: int) -> str:
    """(a) For each data, budget and fill, `draws` candidates of each kind."""
    rows = []
    for inputs, classes in DATA:
        for size in SIZES:
            for fill in FILLS:
                space = MLP((inputs,), classes, Budget(parse_size(size), fill))
                rows.append([inputs, size, "" if fill is None else fill, *_kept(space, draws)])
    head = ["inputs", "budget", "fill", "candidates", "outside", "miscounted"]
    return markdown([*head, "ms/draw", "ms/mutation", "ms/crossover", "ms/roll-out"], rows)


def _kept(space: SearchSpace, draws: int) -> list[str]:
    assert space.budget is not None
    rng = np.random.default_rng(11)
    controller = greedy_controller(space, rng)
    first, drawing = timed(lambda i: space.sample(rng), draws)
    mutants, mutating = timed(lambda i: space.mutate(first[i], rng), draws)
    children, crossing = timed(lambda i: space.crossover(first[i], first[i - 1], rng), draws)
    rolled, rolling = timed(lambda i: controller.ask(rng, ()), draws)
    networks = [candidate.architecture for candidate in (*first, *mutants, *children, *rolled)]
    true = [torch_count(network) for network in networks]
    outside = sum(not space.budget.least <= params <= space.budget.most for params in true)
    miscounted = sum(network.num_params != params for network, params in zip(networks, true, strict=True))
    times = (f"{ms:.2f}" for ms in (drawing, mutating, crossing, rolling))
    return [f"{len(networks):,}", str(outside), str(miscounted), *times]


def greedy_controller(space: SearchSpace, rng: np.random.Generator) -> Reinforce:
    """A controller told that larger is better, so that it leans on the budget."""
    controller = Reinforce(space)
    for number in range(TOLD):
        candidate = controller.ask(rng, ())
        controller.tell(Trial(number, candidate, 0, (float(candidate.architecture.num_params),)))
    return controller


def timed(make: Callable[[int], Candidate], count: int) -> tuple[list[Candidate], float]:
    """`make(0) ... make(count - 1)`, and the median of their milliseconds."""
    made, seconds = [], []
    for i in range(count):
        start = time.perf_counter()
        made.append(make(i))
        seconds.append(time.perf_counter() - start)
    return made, 1000 * float(np.median(seconds))


def torch_count(architecture: Architecture) -> int:
    """Parameters of the real module, counted on torch's meta device, which holds no numbers."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Network(architecture).parameters())


def once_costs() -> str:
    """(c) What is paid once: all tables of the largest space, in a fresh process; or the refusal of a budget."""
    built = [float(subprocess.check_output([sys.executable, "-c", BUILD], text=True)) for _ in range(3)]
    rows = [["tables for 868 inputs, 11 classes, 20M, fresh process (median of 3)", f"{np.median(built):.2f}"]]
    messages = []
    for budget in (Budget(10_000), Budget(14_200, fill=0.999)):
        start = time.perf_counter()
        try:
            MLP((868,), 11, budget).check()
        except BudgetError as error:
            messages.append(f"> {error}")
        name = f"{budget.most:,}" + (f" filled to {budget.fill}" if budget.fill else "")
        rows.append([f"refusal of {name} on 868 inputs, 11 classes", f"{time.perf_counter() - start:.3f}"])
    return "\n\n".join([markdown(["once", "seconds"], rows), *messages])


def against_rejection(draws: int) -> str:
    """(d) Free widths on 868 inputs: all options alike and reject, against what the forks still offer."""
    rng = np.random.default_rng(13)

    def alike(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
        return list(options).index("free") if name == "shape" else int(rng.integers(len(options)))

    def weighted(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
        if name == "shape":
            return list(options).index("free")
        return int(np.searchsorted(np.cumsum(weights), rng.random() * sum(weights), side="right"))

    rows = []
    for size in reversed(SIZES):
        space = MLP((868,), 11, Budget(parse_size(size)))
        space.check()  # builds the tables, which (c) counts
        for name, drawn_from, answer in (("reject", space.within(None), alike), ("ours", space, weighted)):
            start = time.perf_counter()
            made = [drawn_from.draw(answer) for _ in range(draws)]
            kept = [candidate for candidate in made if candidate.architecture.num_params <= parse_size(size)]
            seconds = time.perf_counter() - start
            depths = Counter(candidate.values["depth"] for candidate in kept)
            shares = (f"{depths[depth] / len(kept):.1%}" for depth in range(1, 11))
            rows.append([f"{size}, {name}", *shares, f"{draws / len(kept):.2f}", f"{1000 * seconds / len(kept):.2f}"])
    return markdown(["share at depth", *range(1, 11), "draws/accepted", "ms/accepted"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000, help="of each kind in (a); ten times as many in (d)")
    parser.add_argument("--only", nargs="+", choices=("a", "b", "c", "d"), default=["a", "b", "c", "d"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    sections: dict[str, tuple[str, Callable[[], str]]] = {
        "a": ("Inside the budget, and counted exactly", lambda: promise(args.draws)),
        "b": ("Uniform within each depth", uniformity.report),
        "c": ("What is paid once", once_costs),
        "d": ("Against rejection", lambda: against_rejection(10 * args.draws)),
    }
    for letter in args.only:
        title, make = sections[letter]
        print(f"({letter}) {title}\n\n{make()}\n", flush=True)


if __name__ == "__main__":
    main()
