"""A training in segments is the uninterrupted one to the very bit, whatever becomes of the file between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture, Sketch
from nas.dataset import Arrays
from nas.evaluate import Stopping, Training
from nas.job import Job
from nas.live import Watch
from nas.recipe import AVERAGES, OPTIMIZERS, SCHEDULES, Recipe
from nas.space import Candidate
from nas.train.checkpoint import Segment
from nas.train.loop import Fitted, train
from nas.train.resident import Resident

pytest_plugins = ("fixtures_run",)
pytestmark = pytest.mark.usefixtures("one_thread")
HORIZON = 9
IMAGE = (1, 4, 4)
OPTIONS: list[dict[str, Any]] = [
    *({"optimizer": word} for word in OPTIMIZERS),
    *({"schedule": word, "warmup": 0.2} for word in SCHEDULES),
    *({"average": word, "optimizer": "nesterov"} for word in AVERAGES),
    *({"flip": True}, {"shift": 1}, {"mixup": 0.2}, {"precision": "bfloat16"}, {"l1": 1e-4}),
    {"optimizer": "sam", "average": "ema", "schedule": "plateau", "mixup": 0.2, "shift": 1},
    {"optimizer": "adam-sgd", "average": "swa", "schedule": "sgdr", "label_smoothing": 0.1},
]


def architecture(convolves: bool = False) -> Architecture:
    sketch = Sketch(IMAGE)
    x = (
        sketch("relu", sketch("batchnorm", sketch("conv", sketch.input, out=4, kernel=3)))
        if convolves
        else sketch.input
    )
    x = sketch("relu", sketch("batchnorm", sketch("linear", sketch("flatten", x), out=8)))
    return sketch.done(sketch("linear", sketch("dropout", x, p=0.2), out=3))


def part(n: int, seed: int) -> Resident:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    return Resident(torch.randn(n, *IMAGE, generator=generator) + torch.eye(3, 16)[y].view(-1, *IMAGE) * 2, y)


TRAIN, VALIDATION = part(60, 0), part(40, 1)


def fit(epochs: int, segment: Segment | None = None, patience: int = HORIZON, **changed: Any) -> Fitted:
    convolves, watch = changed.pop("convolves", False), changed.pop("watch", None)
    recipe = Recipe(**{"batch_size": 20, "lr": 1e-2, **changed})
    segment = segment or Segment(HORIZON)
    facts = {"epochs": epochs, "patience": patience, "seed": 3, "segment": segment, "watch": watch}
    return train(architecture(convolves), recipe, TRAIN, VALIDATION, **facts)


def facts(fitted: Fitted) -> tuple[Any, ...]:
    """All that a training leaves but the time it took."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in fitted.curve]
    return rows, fitted.best_epoch, {name: tensor.tolist() for name, tensor in fitted.network.state_dict().items()}


def in_segments(folder: Path, ends: list[int], **changed: Any) -> Fitted:
    before, fitted = None, None
    for number, epochs in enumerate(ends):
        after = folder / f"{number}.pt"
        fitted = fit(epochs, Segment(HORIZON, before, after), **changed)
        before = after
    assert fitted is not None
    return fitted


@pytest.mark.parametrize("changed", OPTIONS, ids=str)
def test_a_continued_training_is_the_uninterrupted_one_to_the_bit(tmp_path: Path, changed: dict[str, Any]) -> None:
    continued = in_segments(tmp_path, [1, 3, 5, HORIZON], **changed)
    assert facts(continued) == facts(fit(HORIZON, **changed))
    assert continued.before == 5


def test_a_continued_training_of_convolutions_too(tmp_path: Path) -> None:
    continued = in_segments(tmp_path, [2, 5], convolves=True, optimizer="nesterov", average="ema")
    assert facts(continued) == facts(fit(5, convolves=True, optimizer="nesterov", average="ema"))


@settings(max_examples=20)
@given(ends=st.sets(st.integers(1, HORIZON), min_size=1), optimizer=st.sampled_from(("adamw", "adam-sgd")))
def test_wherever_it_is_cut(tmp_path_factory: pytest.TempPathFactory, ends: set[int], optimizer: str) -> None:
    continued = in_segments(tmp_path_factory.mktemp("cut"), sorted(ends), optimizer=optimizer)
    assert facts(continued) == facts(fit(max(ends), optimizer=optimizer))


def test_the_first_segment_is_the_beginning_of_the_long_schedule(tmp_path: Path) -> None:
    whole = fit(HORIZON)
    assert facts(fit(3))[0] == facts(whole)[0][:3]
    assert facts(fit(3, Segment(3)))[0] != facts(whole)[0][:3]  # a short schedule is another training


def test_the_generators_outside_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    in_segments(tmp_path, [1, 3])
    assert torch.equal(torch.rand(3), expected)


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.unlink()
    fit(3, Segment(HORIZON, None, path), lr=2e-2)


def further(path: Path) -> None:
    path.unlink()
    fit(7, Segment(HORIZON, None, path))


@pytest.mark.parametrize("damage", [missing, empty, torn, flipped, foreign, further])
def test_without_what_the_first_segment_left_training_begins_again_and_ends_alike(tmp_path: Path, damage: Any) -> None:
    before = tmp_path / "before.pt"
    fit(3, Segment(HORIZON, None, before))
    damage(before)
    fitted = fit(5, Segment(HORIZON, before))
    assert fitted.before == 0
    assert facts(fitted) == facts(fit(5))


def test_what_a_network_left_that_computes_the_same_under_other_names_is_not_taken(tmp_path: Path) -> None:
    def named(scope: str) -> Architecture:
        sketch = Sketch(IMAGE)
        with sketch.scope(scope):
            x = sketch("relu", sketch("linear", sketch("flatten", sketch.input), out=8))
        return sketch.done(sketch("linear", x, out=3))

    one, other = named("one"), named("other")
    assert one == other
    facts = {"patience": HORIZON, "seed": 3}
    after = Segment(HORIZON, None, tmp_path / "one.pt")
    train(one, Recipe(batch_size=20), TRAIN, VALIDATION, epochs=3, segment=after, **facts)
    going = Segment(HORIZON, tmp_path / "one.pt", None)
    assert train(one, Recipe(batch_size=20), TRAIN, VALIDATION, epochs=6, segment=going, **facts).before == 3
    assert train(other, Recipe(batch_size=20), TRAIN, VALIDATION, epochs=6, segment=going, **facts).before == 0


def test_a_checkpoint_of_another_kind_is_not_unpickled(tmp_path: Path) -> None:
    from nas.train.checkpoint import read, write

    write(tmp_path / "odd.pt", {"of": architecture()})
    assert read(tmp_path / "odd.pt", torch.device("cpu")) is None


def test_a_checkpoint_is_read_to_the_device_but_for_single_numbers(tmp_path: Path) -> None:
    from nas.train.checkpoint import read, write

    adam = {0: {"step": torch.tensor(7.0), "exp_avg": torch.ones(3)}, "groups": [{"betas": (0.9, 0.99)}]}
    write(tmp_path / "state.pt", {"of": {"seed": 1}, "optimizer": adam, "curve": [{"epoch": 1.0}]})
    state = read(tmp_path / "state.pt", torch.device("meta"))
    assert state is not None
    assert state["optimizer"][0]["step"].item() == 7
    assert state["optimizer"][0]["exp_avg"].device.type == "meta"
    assert state["optimizer"]["groups"] == adam["groups"]
    assert (state["of"], state["curve"]) == ({"seed": 1}, [{"epoch": 1.0}])


def test_a_disk_that_takes_no_checkpoint_costs_no_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    fitted = fit(3, Segment(HORIZON, None, tmp_path / "file" / "after.pt"))
    assert facts(fitted) == facts(fit(3))


def test_what_patience_has_ended_is_not_trained_on(tmp_path: Path) -> None:
    after, then = tmp_path / "after.pt", tmp_path / "then.pt"
    first = fit(7, Segment(HORIZON, None, after), patience=1)
    assert len(first.curve) < 7
    second = fit(HORIZON, Segment(HORIZON, after, then), patience=1)
    assert second.before == len(second.curve)
    assert facts(second) == facts(first)
    assert facts(fit(HORIZON, Segment(HORIZON, then), patience=1)) == facts(first)


def test_patience_counts_across_segments(tmp_path: Path) -> None:
    whole = fit(HORIZON, patience=2)
    assert len(whole.curve) < HORIZON
    for cut in range(1, len(whole.curve) + 1):
        assert facts(in_segments(tmp_path, [cut, HORIZON], patience=2)) == facts(whole)


def test_who_watches_is_told_of_the_whole_curve(tmp_path: Path) -> None:
    class Told(Watch):
        epochs: list[Any]

        def epoch(self, row: Any) -> None:
            self.epochs.append(row["epoch"])

    watch = Told()
    watch.epochs = []
    fit(2, Segment(HORIZON, None, tmp_path / "a.pt"))
    fit(4, Segment(HORIZON, tmp_path / "a.pt"), watch=watch)
    assert watch.epochs == [1, 2, 3, 4]


@pytest.mark.parametrize("folds", [1, 3])
def test_a_job_costs_its_own_epochs_and_shows_all_of_them(tmp_path: Path, folds: int) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    data = Arrays(rng.normal(size=(3, *IMAGE))[y] + rng.normal(size=(120, *IMAGE)), y, "noisy").load(0)
    training = Training(data, Stopping(HORIZON, HORIZON), folds=folds, fused=False)
    training.prepare("cpu")
    full = Candidate(architecture(), Recipe(), (), fidelity=1.0, horizon=1.0)
    low = replace(full, fidelity=3 / HORIZON)
    after = tmp_path / "checkpoints" / "trial-00000.pt"
    first = training(Job(0, low, 5, after=after))
    second = training(Job(1, full, 5, before=after))
    whole = training(Job(2, replace(full, horizon=None), 5))
    assert [o.metrics["epochs"] for o in (first, second, whole)] == [3 * folds, 6 * folds, 9 * folds]
    assert len(list(after.parent.iterdir())) == folds
    assert second.values == whole.values
    shown = [[{**row, "seconds": 0} for row in o.curve] for o in (second, whole)]
    assert shown[0] == shown[1]
