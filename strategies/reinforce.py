"""A recurrent controller trained by REINFORCE (Zoph & Le 2017, arXiv 1611.01578, section 3).

The controller is an LSTM that answers the forks of a space one after another. It embeds the words `name=option`, so any
number of options, and any order of forks, will do; what does not fit the parameter budget is not offered to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from nas.ops import Scalar
from nas.space import Candidate, SearchSpace
from nas.strategy import Strategy
from nas.trial import Trial

BEST = 8  # networks that the controller imitates
RATIO = 0.2  # by so much may an option's chance change, times itself, before a pass has nothing to gain by it
WIDEST = 4096  # state of the LSTM: some 130 million weights
CAPACITY = 1024  # words that have a row of their own; the rest share. Small, so that an update is one thread's work


class Reinforce(Strategy):
    """Policy gradient with a moving-average baseline, an entropy bonus and gradient clipping.

    `batch` roll-outs make one update; `decay` is that of the moving averages; `entropy` weighs the bonus. Several
    `passes` over a batch are PPO (arXiv 1707.06347); `imitation` weighs what the best networks so far would have the
    controller do (self-imitation, arXiv 1806.05635).
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        batch: int = 1,
        lr: float = 0.01,
        entropy: float = 0.05,
        decay: float = 0.9,
        clip: float = 1.0,
        hidden: int = 32,
        passes: int = 1,
        imitation: float = 0.0,
        init_seed: int = 0,
    ) -> None:
        super().__init__(space)
        whole = (("batch", batch, 1), ("hidden", hidden, 1), ("passes", passes, 1))
        for name, value, least in (*whole, ("lr", lr, 0), ("clip", clip, 0)):
            if not least <= value < np.inf or value == 0:
                meaning = f"at least {least}" if least else "above 0 and finite"
                raise ValueError(f"{name} must be {meaning}, got {value}")
        if hidden > WIDEST:
            raise ValueError(f"hidden must be in 1..{WIDEST}, got {hidden}")
        if not 0 <= init_seed < 2**64:
            raise ValueError(f"init_seed must be in 0..2**64 - 1, got {init_seed}")
        for name, value in (("entropy", entropy), ("imitation", imitation)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be at least 0, got {value}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in 0..1, below 1, got {decay}")
        self.batch, self.entropy, self.decay, self.clip = batch, entropy, decay, clip
        self.passes, self.imitation = passes, imitation
        self.policy = Policy(hidden, torch.Generator().manual_seed(init_seed))
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=lr)
        self.roll_outs: list[Trial] = []
        self.best: list[Trial] = []  # the networks to imitate, the best first
        self.mean = self.variance = self.seen = 0.0
        self.lowest = np.inf

    def ahead(self) -> float:
        """A batch of roll-outs, which are of one policy."""
        return self.batch - len(self.roll_outs)

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        state = self.policy.start()

        @torch.no_grad()
        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            if len(options) == 1:  # nothing to decide: read as the last word, at no cost
                state.word = self.policy.row(name, options[0])
                return 0
            log_probs = self.policy.step(state, name, options)
            chances = np.cumsum(np.exp(log_probs.double().numpy()))
            index = min(int(np.searchsorted(chances, rng.random() * chances[-1], side="right")), len(options) - 1)
            state.word = self.policy.row(name, options[index])
            return index

        return self.space.draw(answer)

    def tell(self, trial: Trial) -> None:
        for choice in trial.candidate.choices:
            self.policy.learn_words(choice.name, choice.options)
        if trial.values:
            self.lowest = min(self.lowest, trial.value)
            known = {t.candidate.key: t for t in (trial, *self.best)}
            self.best = sorted(known.values(), key=lambda t: -t.value)[:BEST]
        self.roll_outs.append(trial)
        if len(self.roll_outs) == self.batch:
            self._update(self.roll_outs)
            self.roll_outs = []

    def _update(self, trials: list[Trial]) -> None:
        # a failed network is worth the worst seen, whatever the scale of the objective
        rewards = [t.value if t.values else self.lowest for t in trials]
        if not all(np.isfinite(rewards)):
            return
        advantages = self._advantages(np.array(rewards))
        before: list[Tensor] = []
        for _ in range(self.passes):
            replayed = [self._replayed(trial) for trial in trials]
            before = before or [log_probs.detach() for log_probs, _ in replayed]
            loss = torch.zeros(())
            for (log_probs, entropy), old, advantage in zip(replayed, before, advantages, strict=True):
                ratio = (log_probs - old).exp()
                # PPO, (7); its gradient in the first pass is REINFORCE's (section 3.2), 1/m sum_t grad log P(a_t) A
                gain = torch.minimum(ratio * advantage, ratio.clamp(1 - RATIO, 1 + RATIO) * advantage)
                loss = loss - (gain.sum() + self.entropy * entropy) / self.batch
            if not loss.requires_grad:  # every fork is closed: nothing is left to learn
                return
            self._descend(loss + self._imitated())

    def _replayed(self, trial: Trial) -> tuple[Tensor, Tensor]:
        """Under the policy of now, the log-probabilities of what the roll-out chose, and its entropy."""
        state, chosen, entropy = self.policy.start(), [torch.zeros(())], torch.zeros(())
        for choice in trial.candidate.choices:
            word = self.policy.row(choice.name, choice.value)
            if len(choice.options) == 1:
                state.word = word
                continue
            log_probs, state.word = self.policy.step(state, choice.name, choice.options), word
            entropy = entropy - (log_probs.exp() * log_probs).sum()
            chosen.append(log_probs[choice.index])
        return torch.stack(chosen), entropy

    def _imitated(self) -> Tensor:
        """Self-imitation, (2): - log P(a) (R - b)+ of the best networks so far."""
        loss = torch.zeros(())
        for trial in self.best if self.imitation else ():
            above = max(0.0, trial.value - self.mean) / (self._spread or 1.0)
            loss = loss - self.imitation * above * self._replayed(trial)[0].sum() / len(self.best)
        return loss

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.clip)
        self.optimizer.step()

    def _advantages(self, rewards: np.ndarray) -> np.ndarray:
        """R_k - b in units of the reward's spread, so that neither lr nor entropy depends on the objective's scale."""
        if not self.seen:
            self.mean = float(rewards.mean())
        advantages = rewards - self.mean  # b: moving average of the rewards before these
        self.seen = self.decay * self.seen + (1 - self.decay)
        self.mean = self.decay * self.mean + (1 - self.decay) * float(rewards.mean())
        self.variance = self.decay * self.variance + (1 - self.decay) * float((advantages**2).mean())
        return advantages / (self._spread or 1.0)

    @property
    def _spread(self) -> float:
        """Of the rewards."""
        return float(np.sqrt(self.variance / self.seen)) if self.seen else 0.0


@dataclass
class State:
    """Where a roll-out stands: the LSTM's state and the row of the last word."""

    hidden: Tensor
    cell: Tensor
    word: int = 0


class Policy(torch.nn.Module):
    """LSTM over the words chosen so far; the logit of an option is its bias plus its embedding times the state."""

    def __init__(self, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.words: dict[str, int] = {}  # row 0 stands for the start and for every word not met yet
        self.embedding = torch.nn.Parameter(torch.empty(CAPACITY, hidden))
        self.bias = torch.nn.Parameter(torch.zeros(CAPACITY))
        self.lstm = torch.nn.LSTMCell(hidden, hidden)
        for parameter in self.parameters():
            if parameter is not self.bias:
                torch.nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)

    def start(self) -> State:
        size = self.lstm.hidden_size
        return State(torch.zeros(1, size), torch.zeros(1, size))

    def row(self, name: str, option: Scalar) -> int:
        return self.words.get(f"{name}={option}", 0)

    def learn_words(self, name: str, options: Sequence[Scalar]) -> None:
        for word in (f"{name}={option}" for option in options):
            if word not in self.words:
                n = len(self.words) + 1
                self.words[word] = n if n < CAPACITY else 1 + crc32(word.encode()) % (CAPACITY - 1)

    def step(self, state: State, name: str, options: Sequence[Scalar]) -> Tensor:
        """Log-probabilities of the options, (options,); moves `state` past the last word."""
        word = self.embedding[state.word].unsqueeze(0)  # (1, hidden)
        state.hidden, state.cell = self.lstm(word, (state.hidden, state.cell))
        rows = torch.tensor([self.row(name, option) for option in options])
        return log_softmax(self.embedding[rows] @ state.hidden[0] + self.bias[rows], dim=0)
