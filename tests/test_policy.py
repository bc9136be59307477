"""The controller's arithmetic: a replay is what the roll-outs were, its gradient and Adam are torch's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from nas.budget import Budget
from nas.candidate import Choice
from nas.space import SearchSpace
from strategies._policy import CAPACITY, Adam, Policy, Replay, RollOut, decisions


@pytest.fixture
def roll_outs(cells: type[SearchSpace]) -> list[list[Choice]]:
    """Of different lengths, one empty, with the same fork masked in one and open in another."""
    spaces = [cells((6,), 3), cells((6,), 3, Budget(100)), cells((6,), 3, Budget(80))]
    rng = np.random.default_rng(0)
    found = [decisions(space.sample(rng).choices) for space in spaces for _ in range(4)]
    assert {len(c.options) for choices in found for c in choices if c.name == "stem"} == {2, 3}
    assert len({len(choices) for choices in found}) > 3
    return [*found[:6], [], *found[6:]]


@pytest.fixture
def policy(roll_outs: list[list[Choice]]) -> Policy:
    """Far from where it begins, and with words that it has not met."""
    found = Policy(8, np.random.default_rng(1))
    for choices in roll_outs[:-3]:
        found.learn_words(choices)
    found.numbers[:] = np.random.default_rng(2).normal(0, 0.7, len(found.numbers))
    return found


def stepwise(policy: Policy, choices: Sequence[Choice]) -> list[float]:
    roll_out, found = RollOut(policy), []
    for choice in choices:
        odds = roll_out.odds(choice.name, choice.options)
        roll_out.word = policy.row(choice.name, choice.value)
        found.append(float(np.log(odds[choice.index] / sum(odds))))
    return found


def test_a_replay_gives_each_choice_the_probability_that_it_had(policy: Policy, roll_outs: list[list[Choice]]) -> None:
    replay = Replay(policy, roll_outs)
    expected = [log_prob for choices in roll_outs for log_prob in stepwise(policy, choices)]
    assert len({len(choice.options) for choices in roll_outs for choice in choices}) > 2
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(replay.log_probs[replay.taken], expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(replay.log_probs).sum(1), 1, atol=1e-5)


def test_the_gradient_is_that_of_autograd(policy: Policy, roll_outs: list[list[Choice]]) -> None:
    rng, count = np.random.default_rng(3), sum(map(len, roll_outs))
    weights, bonuses = rng.normal(size=count).astype(np.float32), rng.random(count).astype(np.float32)
    numbers = torch.tensor(policy.numbers, dtype=torch.float64, requires_grad=True)
    loss(policy, numbers, roll_outs, weights, bonuses).backward()
    assert numbers.grad is not None
    expected = numbers.grad.numpy()
    assert not expected[policy.live :].any()
    found = Replay(policy, roll_outs).gradient(weights, bonuses)
    np.testing.assert_allclose(found, expected[: policy.live], atol=1e-4 * np.abs(expected).max())


def loss(
    policy: Policy, numbers: torch.Tensor, roll_outs: list[list[Choice]], weights: np.ndarray, bonuses: np.ndarray
) -> torch.Tensor:
    h = policy.hidden
    cut = policy.lstm.size
    lstm, words = numbers[:cut].reshape(2 * h + 1, 4 * h), numbers[cut:].reshape(-1, h + 1)
    total, weighed, one = torch.zeros(()), iter(zip(weights, bonuses, strict=True)), torch.ones(1)
    for choices in roll_outs:
        state, cell, word = torch.zeros(h), torch.zeros(h), 0
        for choice in choices:
            gates = torch.cat([words[word, :h], state, one]) @ lstm
            i, f, o = gates[: 3 * h].sigmoid().split(h)
            cell = f * cell + i * gates[3 * h :].tanh()
            state = o * cell.tanh()
            rows = [policy.row(choice.name, option) for option in choice.options]
            log_probs = (words[rows, :h] @ state + words[rows, h]).log_softmax(0)
            weight, bonus = next(weighed)
            total = total - weight * log_probs[choice.index] + bonus * (log_probs.exp() * log_probs).sum()
            word = rows[choice.index]
    return total


def test_adam_is_that_of_torch_where_words_come_later() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=6).astype(np.float32)
    theirs = torch.nn.Parameter(torch.tensor(numbers))
    ours, expected = Adam(numbers, lr=0.1, clip=1.0), torch.optim.Adam([theirs], lr=0.1)
    for live in (3, 3, 5, 5, 6, 6):
        gradient = rng.normal(size=live).astype(np.float32) * 0.8
        theirs.grad = torch.zeros(6)
        theirs.grad[:live] = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([theirs], 1.0)
        expected.step()
        ours.step(gradient)
    np.testing.assert_allclose(numbers, theirs.detach().numpy(), rtol=1e-4)


def test_words_beyond_the_capacity_share_rows_and_never_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strategies._policy.CAPACITY", 8)
    policy = Policy(4, np.random.default_rng(0))
    policy.learn_words([Choice("width", tuple(range(50)), 0)])
    rows = [policy.row("width", width) for width in range(50)]
    assert set(rows) == set(range(1, 8))
    assert rows[:7] == [*range(1, 8)]
    assert policy.row("width", 51) == 0
    assert CAPACITY > 1000
