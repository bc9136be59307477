"""How many epochs do asha and hyperband save, and what does that cost in accuracy?

A table first: networks are drawn at random from the MLP space (64 inputs, 10 classes, 50K parameters) and trained in
full, 27 epochs, on scikit-learn's digits. Then searches among networks of the table, twenty seeds, each with another
part of it in another order; the inner strategy deals them out. A low rung is the beginning of the full training, to the
bit (`tests/test_training_segments.py`), so trials are read off the curves, and all strategies meet the same chance. A
search goes on until its networks are dealt and no promotion is left.

Regret, in points: the validation accuracy, trained in full, of the best of its networks minus that of its choice.

    python -m benchmarks.fidelity
    python -m benchmarks.fidelity --table 60 --networks 30
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.tables import interval, markdown
from nas.budget import Budget
from nas.data.digits import Digits
from nas.evaluate import Job, Stopping, Training
from nas.plugins import make
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.train.loop import Patience
from nas.trial import Trial, best_first
from search_spaces.mlp import MLP
from strategies.asha import Asha
from strategies.hyperband import Hyperband

EPOCHS = 27
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", type=int, default=240, help="networks that are trained")
    parser.add_argument("--networks", type=int, nargs="+", default=[30, 60, 120], help="of a search")
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = MLP((1, 8, 8), 10, Budget(50_000))
    table = train_table(space, args.table)
    for number in args.networks:
        print(f"\n{number} networks of {len(table)}, {args.seeds} seeds; mean ± 95 % t-interval over seeds.\n")
        print(compare(table, space, number, args.seeds))


if __name__ == "__main__":
    main()
