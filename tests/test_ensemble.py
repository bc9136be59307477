"""Ensembles inside the budget: the greedy selection, what a training leaves for them, the folder, and distillation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import hw1p2
from safetensors.torch import load_file

from nas.caruana import Ensemble, crossed, select
from nas.dataset import Part
from nas.ensemble import Joint, some, worth_keeping
from nas.ensemble_export import export_ensemble
from nas.evaluate import Stopping, Training
from nas.job import Job, Member, Teacher
from nas.network import Network
from nas.options import Options
from nas.problem import Problem
from nas.recipe import Recipe
from nas.space import Candidate
from nas.train.distil import SHARE, Soft
from nas.train.resident import Resident
from nas.train.schedule import Schedule
from nas.train.snapshots import Snapshots, cycles
from nas.trial import Trial
from nas.weights import save_weights, snapshot_file
from search_spaces.mlp import MLP

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")


def guesses(seed: int, networks: int = 5, samples: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of networks that are right more often than not, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=samples)
    logits = rng.normal(size=(networks, samples, classes)) + 1.2 * np.eye(classes)[labels]
    exp = np.exp(logits)
    return (exp / exp.sum(2, keepdims=True)).astype(np.float32), labels


def accuracy(probabilities: np.ndarray, labels: np.ndarray, ensemble: Ensemble) -> float:
    mean = sum(share * probabilities[i] for i, share in ensemble.shares.items())
    return float((np.argmax(mean, 1) == labels).mean())


@given(st.integers(0, 1000), st.lists(st.integers(1, 100), min_size=5, max_size=5), st.integers(1, 200))
def test_an_ensemble_never_leaves_the_budget_and_is_never_worse_than_its_best_member(
    seed: int, params: list[int], budget: int
) -> None:
    probabilities, labels = guesses(seed)
    fitting = [i for i, size in enumerate(params) if size <= budget]
    if not fitting:
        with pytest.raises(ValueError, match=f"no network has at most {budget} parameters"):
            select(probabilities, labels, params, budget)
        return
    found = select(probabilities, labels, params, budget)
    assert sum(params[i] for i in found.shares) <= budget
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.accuracy == pytest.approx(accuracy(probabilities, labels, found))
    alone = max(float((probabilities[i].argmax(1) == labels).mean()) for i in fitting)
    assert found.accuracy >= alone


def test_of_networks_that_say_the_same_the_smaller_is_taken_and_of_equal_ones_the_first() -> None:
    probabilities, labels = guesses(5, networks=4)
    probabilities[:] = probabilities[0]
    assert set(select(probabilities, labels, [30, 20, 20, 25], 100).shares) == {1}


def test_small_networks_together_beat_a_large_one_that_leaves_no_room() -> None:
    """Greedily the large one would be taken first, and fill the budget."""
    probabilities, labels = guesses(3, networks=4)
    right = np.eye(3, dtype=np.float32)[labels] * 0.5 + 0.2
    probabilities[0] = right
    wrong = np.arange(60) < 5  # the large one errs five times, the three others together never
    probabilities[0, wrong] = np.roll(right[wrong], 1, 1)
    for number, one in enumerate((1, 2, 3)):
        probabilities[one] = right
        mine = np.arange(60) % 4 == number
        probabilities[one, mine] = np.roll(right[mine], 1, 1)
    found = select(probabilities, labels, [90, 30, 30, 30], 90)
    assert set(found.shares) == {1, 2, 3}
    assert found.accuracy == 1.0


def test_a_network_may_be_taken_more_than_once() -> None:
    found = [select(*guesses(seed), [10] * 5, 50) for seed in range(10)]
    assert any(count > 1 for ensemble in found for _, count in ensemble.counts)
    assert any(len(ensemble.counts) > 1 for ensemble in found)


def test_what_is_measured_on_the_other_half_is_not_flattered() -> None:
    """Of networks that only guess, the best mixture looks better than guessing where it was selected."""
    rng = np.random.default_rng(0)
    flattered, honest = [], []
    for _ in range(8):
        probabilities = rng.dirichlet(np.ones(3), size=(20, 120)).astype(np.float32)
        labels = rng.integers(3, size=120)
        flattered.append(select(probabilities, labels, [1] * 20, 20).accuracy)
        honest.append(crossed(probabilities, labels, [1] * 20, 20, 0))
    assert np.mean(flattered) > 0.42
    assert abs(np.mean(honest) - 1 / 3) < 0.05


def test_the_halves_do_not_share_an_utterance() -> None:
    """Frames of an utterance are alike: networks that guess each utterance look good on its other frames."""
    rng, found = np.random.default_rng(0), []
    for seed in range(6):
        utterances = np.repeat(np.arange(40), 25)
        labels = rng.integers(3, size=40)[utterances]
        probabilities = rng.dirichlet(np.ones(3), size=(20, 40)).astype(np.float32)[:, utterances]
        found.append(crossed(probabilities, labels, [1] * 20, 20, seed, utterances))
    assert abs(np.mean(found) - 1 / 3) < 0.12
    assert crossed(probabilities, labels, [1] * 20, 20, 0) > 0.5


def test_of_a_large_validation_part_whole_utterances_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.ensemble.SAMPLES", 100)
    part = Part(np.zeros((1000, 2), np.float32), np.zeros(1000, np.int64), np.repeat(np.arange(50), 20))
    rows = some(part, 0)
    assert len(rows) == 100
    assert part.groups is not None
    assert len(np.unique(part.groups[rows])) == 5
    assert len(some(Part(part.x[:80], part.y[:80]), 0)) == 80


def test_the_weights_of_the_best_and_of_the_small_are_kept() -> None:
    space = MLP((4,), 2)
    made = [space.sample(np.random.default_rng(n)) for n in range(40)]
    trials = [Trial(n, candidate, 0, (n / 100,)) for n, candidate in enumerate(made)]
    kept = worth_keeping(trials)
    assert {t.number for t in trials[-12:]} <= {t.number for t in kept}
    smallest = min(trials, key=lambda t: (t.params, -t.value))
    assert smallest in kept
    assert len(kept) <= 24


@pytest.fixture
def training() -> tuple[Training, Candidate]:
    y = np.arange(150) % 3
    x = np.random.default_rng(0).normal(size=(150, 6)) + 4 * np.eye(6)[y]
    problem = Problem.of(Options.of({"budget": "5K", "data": (x, y), "fix": {"schedule": "sgdr"}}))
    training = Training(problem.load(), Stopping(14, 14), fused=False)
    training.prepare("cpu")
    return training, problem.space.default()


def test_a_training_leaves_its_cycles_and_the_average_of_its_epochs(
    training: tuple[Training, Candidate], tmp_path: Path
) -> None:
    train, candidate = training
    file = tmp_path / "trial.safetensors"
    alone = train(Job(0, candidate, 1, file, final=True))
    before = load_file(file)
    outcome = train(Job(0, candidate, 1, file, final=True, snapshots=True))
    assert outcome.values == alone.values
    assert all(torch.equal(before[name], tensor) for name, tensor in load_file(file).items())
    left = {path.name for path in tmp_path.iterdir()} - {file.name}
    assert left == {f"trial-{name}.safetensors" for name in ("cycle1", "cycle2", "average")}
    for name in ("cycle1", "cycle2", "average"):
        found = train.probabilities(Member(candidate, snapshot_file(file, name)))
        assert found is not None
        assert found.sum(1) == pytest.approx(np.ones(len(found)), abs=1e-5)
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    assert train.probabilities(Member(candidate, tmp_path / "damaged.safetensors")) is None


@pytest.mark.parametrize("epochs", [2, 7, 14, 32, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3])
def test_a_cycle_is_left_where_its_rate_is_lowest(epochs: int, warmup: float) -> None:
    recipe, steps = Recipe(schedule="sgdr", warmup=warmup), 10
    schedule, rates = Schedule(recipe, epochs * steps), []
    for _ in range(epochs * steps):
        rates.append(schedule.lr)
        schedule.step()
    ends = cycles(recipe, epochs)
    assert len(ends) == 2 or epochs < 14
    for end in ends:
        around = [rates[steps * epoch - 1] for epoch in (end - 1, end, end + 1) if 0 < epoch < epochs]
        assert rates[steps * end - 1] == min(around)
        assert rates[steps * end - 1] < 0.75 * recipe.lr or end == 1


def test_the_average_of_epochs_is_their_mean() -> None:
    network = Network(MLP((4,), 2).default().architecture)
    snapshots = Snapshots(network, Recipe(), epochs=8)
    weight = next(network.parameters())
    for epoch in range(1, 9):
        with torch.no_grad():
            weight.fill_(epoch)
        snapshots.after(epoch)
    batches = [torch.randn(8, 4)]
    average = snapshots.finish(lambda: batches)["average"]
    assert float(next(iter(average.values())).mean()) == 7.5  # of epochs 7 and 8


def test_one_epoch_is_no_average() -> None:
    snapshots = Snapshots(Network(MLP((4,), 2).default().architecture), Recipe(), epochs=4)
    for epoch in range(1, 5):
        snapshots.after(epoch)
    assert "average" not in snapshots.finish(lambda: [torch.randn(8, 4)])


def test_a_teacher_says_what_its_members_say_on_average() -> None:
    torch.manual_seed(0)
    logits = [torch.randn(5, 3), torch.randn(5, 3)]
    soft = Soft.mean(zip((0.25, 0.75), logits, strict=True), 2.0)
    expected = 0.25 * torch.softmax(logits[0] / 2, 1) + 0.75 * torch.softmax(logits[1] / 2, 1)
    assert torch.allclose(soft.probabilities, expected)
    student, hard = torch.randn(5, 3), torch.tensor(0.5)
    cross = -(expected * torch.log_softmax(student / 2, 1)).sum(1).mean()
    entropy = -(expected * expected.log()).sum(1).mean()
    assert float(soft.loss(student, hard)) == pytest.approx(
        float(SHARE * 4 * (cross - entropy) + (1 - SHARE) * hard), abs=1e-5
    )
    mixed = soft.mixed(torch.tensor([1, 2, 3, 4, 0]), torch.full((5,), 0.25))
    assert torch.allclose(mixed.probabilities, 0.25 * expected + 0.75 * expected.roll(-1, 0))
    assert torch.equal(soft.of(torch.tensor([3])).probabilities, expected[3:4])


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_a_student_learns_what_its_teacher_knows(
    training: tuple[Training, Candidate], tmp_path: Path, mixup: float
) -> None:
    """The teacher calls the classes by other names, and the student listens to it more than to the labels."""
    train, candidate = training
    file = tmp_path / "teacher.safetensors"
    train(Job(0, candidate, 1, file, final=True))
    weights = load_file(file)
    for name in list(Network(candidate.architecture).state_dict())[-2:]:
        weights[name] = 20 * weights[name].roll(1, 0)  # and it is sure of itself
    save_weights(weights, file)
    teacher = Teacher((Member(candidate, file),), 2.0)
    student = replace(candidate, recipe=replace(candidate.recipe, mixup=mixup))
    taught = train(Job(1, student, 2, tmp_path / "student.safetensors", final=True, teacher=teacher))
    assert taught.curve[-1]["val_accuracy"] < 0.4
    assert train(Job(1, student, 2, final=True)).values[0] > 0.7
    with pytest.raises(ValueError, match="weights of a teacher are missing"):
        train(Job(1, student, 2, teacher=Teacher((Member(candidate, tmp_path / "none"),), 2.0)))


def test_members_that_hear_fewer_frames_are_given_the_middle_of_the_window(tmp_path: Path) -> None:
    members = []
    for context in (5, 10):
        data = f"hw1p2:{hw1p2(train=6, dev=2, test=2)(tmp_path / str(context))}"
        problem = Problem.of(Options.of({"budget": "20K", "data": data, "fix": {"context": context}}))
        train = Training(problem.load(), Stopping(1, 1))
        train.prepare("cpu")
        file = tmp_path / f"{context}.safetensors"
        train(Job(0, problem.space.default(), context, file, final=True))
        members.append(Member(problem.space.default(), file, 0.5))
    found = [train.probabilities(member) for member in members]
    export_ensemble(Joint(tuple(members), 0.5, 0.5), train.dataset, tmp_path / "ensemble", 20_000, None)
    part = Resident.of(train.dataset.validation, train.dataset, torch.device("cpu"))
    shape = tuple(json.loads((tmp_path / "ensemble" / "config.json").read_text())["input_shape"])
    assert shape[0] == 21
    names: dict[str, Any] = {"__file__": str(tmp_path / "ensemble" / "model.py"), "__name__": "model"}
    exec((tmp_path / "ensemble" / "model.py").read_text(), names)
    with torch.no_grad():
        together = names["load"]()(part.samples(torch.arange(len(part)), shape)).exp().numpy()
    assert together == pytest.approx(sum(0.5 * p for p in found if p is not None), abs=1e-5)
