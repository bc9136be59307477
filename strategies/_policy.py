"""A recurrent policy over the forks of a space (arXiv 1611.01578, section 3.1), its gradient, and Adam.

An LSTM reads the words `name=option` that were chosen so far and weighs the options of the next fork; so any number of
options, and any order of forks, will do. A fork with one option is no decision: it is not read.

In numpy, for the arrays are so small that calls are what costs, and torch's cost several times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import exp
from zlib import crc32

import numpy as np
import numpy.typing as npt

from nas.candidate import Choice
from nas.ops import Scalar

CAPACITY = 1024  # words that have a row of their own; the rest share
NEVER = -1e9  # the logit of what fills a row up

Floats = npt.NDArray[np.float32]


def decisions(choices: Sequence[Choice]) -> list[Choice]:
    return [choice for choice in choices if len(choice.options) > 1]


class Policy:
    """An LSTM of H units over V words. All its numbers lie in one row, those in use first: see `live`."""

    def __init__(self, hidden: int, rng: np.random.Generator) -> None:
        self.hidden = hidden
        self.rows: dict[tuple[str, Scalar], int] = {}  # row 0 is that of the start, and of every word not met yet
        self.numbers = rng.random(4 * hidden * (2 * hidden + 1) + CAPACITY * (hidden + 1), np.float32)
        self.numbers -= 0.5
        self.numbers *= 0.2
        self.lstm, self.words = self.split(self.numbers)
        self.words[:, -1] = 0

    def split(self, numbers: Floats) -> tuple[Floats, Floats]:
        """The LSTM: (word, state and 1) -> gates i, f, o and g, (2H + 1, 4H); the words: embedding, bias (V, H + 1)."""
        h = self.hidden
        cut = 4 * h * (2 * h + 1)
        return numbers[:cut].reshape(2 * h + 1, 4 * h), numbers[cut:].reshape(-1, h + 1)

    @property
    def size(self) -> int:
        """V, of which there are more as words are learned."""
        return min(len(self.rows) + 1, CAPACITY)

    @property
    def live(self) -> int:
        return self.lstm.size + self.size * (self.hidden + 1)

    def learn_words(self, choices: Sequence[Choice]) -> None:
        for word in ((choice.name, option) for choice in choices for option in choice.options):
            if word not in self.rows:
                n = len(self.rows) + 1
                self.rows[word] = n if n < CAPACITY else 1 + crc32(repr(word).encode()) % (CAPACITY - 1)

    def row(self, name: str, option: Scalar) -> int:
        return self.rows.get((name, option), 0)

    def step(self, inputs: Floats, cell: Floats) -> tuple[Floats, Floats, Floats]:
        """(B, 2H + 1), (B, H) -> the gates (B, 4H), the next cell (B, H), and its tanh"""
        gates = inputs.dot(self.lstm)
        opened = gates[:, : 3 * self.hidden]
        opened *= 0.5
        np.tanh(gates, out=gates)
        opened *= 0.5  # 1 / (1 + exp(-x)) = 1/2 + 1/2 tanh(x / 2)
        opened += 0.5
        i, f, _, g = self.gates(gates)
        cell = f * cell + i * g
        return gates, cell, np.tanh(cell)

    def gates(self, gates: Floats) -> list[Floats]:
        """The input, forget and output gates and what is written, (..., 4H) -> (..., H) each."""
        return [gates[..., k * self.hidden : (k + 1) * self.hidden] for k in range(4)]


class RollOut:
    """A roll-out under way."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.inputs = np.zeros((1, 2 * policy.hidden + 1), np.float32)
        self.inputs[:, -1] = 1
        self.cell = np.zeros((1, policy.hidden), np.float32)
        self.word = 0

    def odds(self, name: str, options: Sequence[Scalar]) -> list[float]:
        """In proportion to which each option of the next fork is to be taken; `word` is the row of the last one."""
        policy, h = self.policy, self.policy.hidden
        self.inputs[:, :h] = policy.words[self.word, :-1]
        gates, self.cell, squashed = policy.step(self.inputs, self.cell)
        self.inputs[:, h:-1] = gates[:, 2 * h : 3 * h] * squashed
        words = policy.words.take([policy.row(name, option) for option in options], 0)
        logits: list[float] = words.dot(self.inputs[0, h:]).tolist()
        most = max(logits)
        return [exp(logit - most) for logit in logits]


class Replay:
    """B finished roll-outs of at most T decisions, N in all, with at most K options, as the policy of now sees them."""

    def __init__(self, policy: Policy, roll_outs: Sequence[Sequence[Choice]]) -> None:
        self.policy, h = policy, policy.hidden
        flat = [choice for choices in roll_outs for choice in choices]
        offered = [[policy.row(choice.name, option) for option in choice.options] for choice in flat]
        self.offered = np.array([*zip_longest(*offered, fillvalue=-1)]).T  # (N, K)
        self.taken = np.arange(len(flat)), np.array([choice.index for choice in flat])
        where = [(t, b) for b, choices in enumerate(roll_outs) for t in range(len(choices))]
        self.steps = tuple(np.array(where).T)  # of each decision, and its roll-out
        shape = max(map(len, roll_outs)) + 1, len(roll_outs)
        self.read = np.zeros(shape, np.intp)  # the word before each decision; after the last one it does not matter
        self.read[self.steps[0] + 1, self.steps[1]] = self.offered[self.taken]
        self.inputs = np.ones((*shape, 2 * h + 1), np.float32)
        self.inputs[..., :h] = policy.words[self.read, :-1]
        self.inputs[0, :, h:-1] = 0
        self.cells, self.squashed = np.zeros((2, *shape, h), np.float32)
        self.gates = np.zeros((*shape, 4 * h), np.float32)
        for t in range(len(self.read) - 1):
            self.gates[t], self.cells[t + 1], self.squashed[t] = policy.step(self.inputs[t], self.cells[t])
            self.inputs[t + 1, :, h:-1] = self.gates[t, :, 2 * h : 3 * h] * self.squashed[t]
        self.outputs = self.inputs[1:, :, h:][self.steps]  # (N, H + 1)
        self.at = self.taken[0][:, None], self.offered  # of the options in (N, V)
        logits = (self.outputs @ policy.words[: policy.size].T)[self.at]
        logits[self.offered < 0] = NEVER
        logits -= logits.max(1, keepdims=True)
        self.log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))

    def gradient(self, weights: Floats, bonuses: Floats) -> Floats:
        """Of -(weights log P(taken) + bonuses entropy), weights and bonuses (N,), by the live numbers of the policy."""
        chances = np.exp(self.log_probs)
        entropy = -(chances * self.log_probs).sum(1, keepdims=True)
        slopes = weights[:, None] * chances + bonuses[:, None] * chances * (self.log_probs + entropy)
        slopes[self.taken] -= weights
        return self._by_numbers(slopes)

    def _by_numbers(self, slopes: Floats) -> Floats:
        """Slopes by the logits, (N, K), to slopes by the live numbers."""
        policy, h = self.policy, self.policy.hidden
        gradient = np.zeros(policy.live, np.float32)
        by_lstm, by_words = policy.split(gradient)
        by_logits = np.zeros((len(slopes), policy.size), np.float32)
        np.add.at(by_logits, self.at, slopes)
        by_words += by_logits.T @ self.outputs
        by_outputs, by_inputs, by_gates = map(np.zeros_like, (self.cells, self.inputs, self.gates))
        by_outputs[self.steps] = by_logits @ policy.words[: policy.size, :-1]
        i, f, o, g = policy.gates(self.gates)
        through = o * (1 - self.squashed**2)
        local = np.concatenate(
            [g * i * (1 - i), self.cells * f * (1 - f), self.squashed * o * (1 - o), i * (1 - g**2)], -1
        )
        by_cell = np.zeros_like(self.cells[0])
        for t in reversed(range(len(self.read) - 1)):
            by_output = by_outputs[t] + by_inputs[t + 1, :, h:-1]
            by_cell = by_cell + by_output * through[t]
            by_gates[t] = local[t] * np.concatenate([by_cell, by_cell, by_output, by_cell], 1)
            by_inputs[t] = by_gates[t] @ policy.lstm.T
            by_cell = by_cell * f[t]
        by_lstm += np.tensordot(self.inputs, by_gates, ((0, 1), (0, 1)))
        np.add.at(by_words[:, :-1], self.read, by_inputs[..., :h])
        return gradient


class Adam:
    """Arxiv 1412.6980, algorithm 1; a gradient longer than `clip` is shortened to it."""

    def __init__(self, numbers: Floats, lr: float, clip: float) -> None:
        self.numbers, self.lr, self.clip = numbers, lr, clip
        self.mean, self.square = np.zeros((2, len(numbers)), np.float32)
        self.steps = 0

    def step(self, gradient: Floats) -> None:
        """Of the first numbers; those after them have never had one."""
        self.steps += 1
        live = slice(len(gradient))
        mean, square = self.mean[live], self.square[live]
        gradient *= min(1.0, self.clip / (float(np.linalg.norm(gradient)) or 1.0))
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        rate = self.lr * (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps)
        self.numbers[live] -= rate * mean / (np.sqrt(square) + 1e-8)
