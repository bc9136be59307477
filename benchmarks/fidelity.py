"""How many epochs do asha and hyperband save, and what does that cost in accuracy?

A table first: networks are drawn at random from the MLP space (64 inputs, 10 classes, 50K parameters) and trained in
full, 27 epochs, on scikit-learn's digits. Then searches among networks of the table, twenty seeds, each with another
part of it in another order; the inner strategy deals them out. A low rung is the beginning of the full training, to the
bit (`tests/test_training_segments.py`), so trials are read off the curves, and all strategies meet the same chance. A
search goes on until its networks are dealt and no promotion is left.

Regret, in points: the validation accuracy, trained in full, of the best of its networks minus that of its choice.

With `--searches 5`, real searches instead, of five seeds: as many epochs for every strategy as twelve full trainings
have, checkpoints and all; accuracy of the choice on the validation part, by which it was chosen, and on the test part.

    python -m benchmarks.fidelity
    python -m benchmarks.fidelity --table 60 --networks 30
    python -m benchmarks.fidelity --searches 5
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.tables import interval, markdown
from nas.budget import Budget
from nas.checkpoints import KeepCheckpoints
from nas.data.digits import Digits
from nas.evaluate import Job, Stopping, Training
from nas.executors.inline import Inline
from nas.pace import Allowance
from nas.plugins import make
from nas.space import Candidate, SearchSpace
from nas.store import KeepBestWeights, TrialLog
from nas.strategy import Strategy
from nas.study import Study
from nas.train.loop import Patience
from nas.trial import Trial, best_first
from search_spaces.mlp import MLP
from strategies.asha import Asha
from strategies.hyperband import Hyperband

EPOCHS = 27
SEARCHED = 12  # full trainings whose epochs a real search has
REAL = ("random", "evolution", "asha:inner=random", "asha:inner=evolution", "hyperband:inner=evolution")
STRATEGIES = ("asha:eta=3", "asha:eta=2", "asha:eta=4", "asha:eta=3,least=3", "hyperband:eta=3")

Curve = np.ndarray  # validation accuracy of the best epoch so far, (epochs,)
Network = tuple[Candidate, Curve]


class Deal(Strategy):
    """Asks for given candidates in their order. Raises `IndexError` when there are no more."""

    def __init__(self, space: SearchSpace, networks: Sequence[Network]) -> None:
        super().__init__(space)
        self.networks, self.told = networks, 0

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        return self.networks[self.told + len(pending)][0]

    def tell(self, trial: Trial) -> None:
        self.told += 1


def train_table(space: SearchSpace, number: int) -> list[Network]:
    """Networks that differ, each trained in full, whatever becomes of it on the way."""
    training = Training(Digits().load(0), Stopping(EPOCHS, patience=EPOCHS))
    training.prepare("cpu")
    networks: dict[tuple[object, ...], Network] = {}
    seed = 0
    while len(networks) < number:
        candidate = space.sample(np.random.default_rng((0, seed)))
        if candidate.lineage not in networks:
            rows = training(Job(seed, candidate, seed)).curve
            networks[candidate.lineage] = (candidate, np.maximum.accumulate([row["val_accuracy"] for row in rows]))
        seed += 1
    return list(networks.values())


def search(spec: str, space: SearchSpace, networks: Sequence[Network]) -> tuple[int, float]:
    """Epochs trained, and the accuracy of the choice after a full training."""
    curves = {candidate.lineage[:2]: curve for candidate, curve in networks}
    strategy = make("strategies", spec, Strategy, space)
    assert isinstance(strategy, Asha | Hyperband)
    strategy.plan(EPOCHS)
    deal = Deal(space, networks)
    for bracket in strategy.brackets if isinstance(strategy, Hyperband) else (strategy,):
        bracket.inner = deal
    trials: list[Trial] = []
    trained: dict[tuple[object, ...], int] = {}
    while True:
        try:
            candidate = strategy.ask(np.random.default_rng(0), ())
        except IndexError:
            break
        epochs = round(EPOCHS * candidate.fidelity)
        value = float(curves[candidate.lineage[:2]][epochs - 1])
        trials.append(Trial(len(trials), candidate, 0, (value,)))
        strategy.tell(trials[-1])
        trained[candidate.lineage] = epochs
    return sum(trained.values()), float(curves[best_first(trials)[0].candidate.lineage[:2]][-1])


def in_full(networks: Sequence[Network], patience: int) -> tuple[int, float]:
    """Each network trained to the end, or until so many epochs have brought nothing."""
    epochs, best = 0, 0.0
    for _, curve in networks:
        stopping = Patience(patience)
        last = next((e for e, value in enumerate(curve, 1) if stopping.after(e, value)), EPOCHS)
        epochs, best = epochs + last, max(best, float(curve[last - 1]))
    return epochs, best


def compare(table: Sequence[Network], space: SearchSpace, number: int, seeds: int) -> str:
    """A line a strategy: epochs, how many times fewer than full training has, and the regret."""
    found: dict[str, list[tuple[int, float]]] = {}
    for seed in range(seeds):
        order = np.random.default_rng((1, seed)).permutation(len(table))[:number]
        networks = [table[i] for i in order]
        best = max(float(curve[-1]) for _, curve in networks)
        for patience in (EPOCHS, 3):
            spent, reached = in_full(networks, patience)
            found.setdefault(f"full, patience {patience}", []).append((spent, best - reached))
        for spec in STRATEGIES:
            spent, reached = search(spec, space, networks)
            found.setdefault(spec, []).append((spent, best - reached))
    lines = []
    for name, results in found.items():
        epochs, points = np.array([e for e, _ in results]), np.array([100 * regret for _, regret in results])
        ratio, regret = ("{:.2f} ± {:.2f}".format(*interval(v)) for v in (number * EPOCHS / epochs, points))
        lines.append([name, f"{epochs.mean():.0f}", ratio, regret, f"{points.max():.2f}"])
    return markdown(["strategy", "epochs", "times fewer", "regret, points", "largest"], lines)


@dataclass
class Spent(Allowance):
    """Counts the epochs that a trial has trained itself."""

    def told(self, trial: Trial) -> None:
        self.spent += int(trial.metrics["epochs"])


def search_for_real(
    spec: str, space: SearchSpace, training: Training, seed: int, epochs: int
) -> tuple[int, float, float]:
    """Trials, and the accuracy of the best of them on the validation and on the test part."""
    strategy = make("strategies", spec, Strategy, space)
    strategy.plan(EPOCHS)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weights").mkdir()
        of = {kind: _place(folder / kind) for kind in ("weights", "checkpoints")}
        study = Study(
            strategy,
            TrialLog(folder / "trials.jsonl", space),
            Inline(training, "cpu"),
            seed,
            allowance=Spent(epochs, EPOCHS),
            weights_of=of["weights"],
            checkpoint_of=of["checkpoints"],
            monitors=(KeepBestWeights(of["weights"]), KeepCheckpoints(of["checkpoints"])),
        )
        trials = study.run()
        best = best_first(trials)[0]
        tested = training.test(best.candidate, of["weights"](best.number))
        assert tested is not None
        return len(trials), best.value, tested


def _place(folder: Path) -> Callable[[int], Path]:
    return lambda number: folder / str(number)


def searches(space: SearchSpace, seeds: int) -> str:
    """A line a strategy: trials, accuracy in points, and what that is ahead of random search on the same seeds."""
    training = Training(Digits().load(0), Stopping(EPOCHS, patience=EPOCHS))
    epochs = SEARCHED * EPOCHS
    runs = {spec: [search_for_real(spec, space, training, s, epochs) for s in range(seeds)] for spec in REAL}
    found = {spec: np.array(results) * (1, 100, 100) for spec, results in runs.items()}  # (seeds, 3)
    lines = []
    for spec, results in found.items():
        validation, test = ("{:.2f} ± {:.2f}".format(*interval(results[:, n])) for n in (1, 2))
        ahead = "{:+.2f} ± {:.2f}".format(*interval(results[:, 1] - found["random"][:, 1]))
        lines.append([spec, f"{results[:, 0].mean():.0f}", validation, "" if spec == "random" else ahead, test])
    return markdown(["strategy", "trials", "validation, %", "ahead of random", "test, %"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", type=int, default=240, help="networks that are trained")
    parser.add_argument("--networks", type=int, nargs="+", default=[30, 60, 120], help="of a search")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--searches", type=int, metavar="SEEDS", help="real searches, of so many seeds, instead")
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = MLP((1, 8, 8), 10, Budget(50_000))
    if args.searches:
        print(f"{SEARCHED * EPOCHS} epochs each, {args.searches} seeds; mean ± 95 % t-interval over seeds.\n")
        print(searches(space, args.searches))
        return
    table = train_table(space, args.table)
    for number in args.networks:
        print(f"\n{number} networks of {len(table)}, {args.seeds} seeds; mean ± 95 % t-interval over seeds.\n")
        print(compare(table, space, number, args.seeds))


if __name__ == "__main__":
    main()
