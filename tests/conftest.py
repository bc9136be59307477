"""Two small search spaces that many tests share, and Hypothesis made repeatable."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import settings

from nas.architecture import Architecture, Sketch
from nas.budget import Choose
from nas.executors.local import PRELOAD
from nas.ops import Scalar
from nas.recipe import Recipe
from nas.space import SearchSpace
from search_spaces.mlp import MLP

PRELOAD.append("torch._dynamo")  # once for all the workers of these tests, many of which train networks alone
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would ours
torch.set_num_threads(1)  # small tensors on a busy machine: threads that wait for each other are ten times slower
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("repeatable")
LONG = ("test_kill", "test_export_formats", "test_executor_ray", "test_executors", "test_monitors")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: where several processes run tests, these then end at the same time."""
    items.sort(key=lambda item: "slow" not in item.keywords and item.path.stem not in LONG)


class FreeMLP(MLP):
    """The MLP space with every width chosen freely, and nothing to choose about training."""

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe()

    def completions(self, taken: Mapping[str, Scalar], name: str, options: Sequence[Scalar]) -> Sequence[float]:
        weights = super().completions(taken, name, options)
        return [w * (o == "free") for w, o in zip(weights, options, strict=True)] if name == "shape" else weights


class Cells(SearchSpace):
    """Left to look-ahead: forks inside forks, options in no order, a choice that may cost more or less than another."""

    def describe(self, choose: Choose) -> Architecture:
        net = Sketch(self.input_shape)
        x = net("linear", net("flatten", net.input), out=int(choose("stem", (12, 4, 8))))
        for i in range(int(choose("cells", (2, 0, 3, 1)))):
            kind = choose(f"kind{i}", ("residual", "plain", "norm"))
            if kind == "norm":
                x = net(str(choose(f"norm{i}", ("layernorm", "none"))), x)
                continue
            width = int(choose(f"width{i}", (16, 4, 32) if kind == "plain" else (24, 8)))
            y = net("gelu", net("linear", x, out=width))
            x = net.residual(x, y) if kind == "residual" else y
        return net.done(net("linear", x, out=self.classes))

    def recipe(self, choose: Choose) -> Recipe:
        return Recipe(lr=float(choose("lr", (1e-3, 1e-2))))


@pytest.fixture(autouse=True)
def unreported(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report takes longer than most searches of these tests: those marked `reported` write it."""
    if "reported" not in request.keywords:
        monkeypatch.setattr("nas.run.try_report", lambda path, console: True)


@pytest.fixture(scope="session")
def free_mlp() -> type[FreeMLP]:
    return FreeMLP


@pytest.fixture(scope="session")
def cells() -> type[Cells]:
    return Cells
