"""A recurrent controller trained by REINFORCE (Zoph & Le 2017, arXiv 1611.01578, section 3).

The controller is an LSTM (`strategies/_policy.py`) that answers the forks of a space one after another; what does not
fit the parameter budget is not offered to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.ops import Scalar
from nas.space import Candidate, SearchSpace, weighted
from nas.strategy import Strategy
from nas.trial import Trial
from strategies._options import at_least
from strategies._policy import Adam, Policy, Replay, RollOut, decisions

BEST = 8  # networks that the controller imitates
RATIO = 0.2  # by so much may an option's chance change, times itself, before a pass has nothing to gain by it
WIDEST = 4096  # state of the LSTM: some 130 million weights
MOST = 1_000_000  # of what is multiplied in 32 bits


class Reinforce(Strategy):
    """Policy gradient with a moving-average baseline, an entropy bonus and gradient clipping.

    A network that is known already counts as one standard deviation below the baseline, or the search would end in
    asking for it. `batch` roll-outs make one update; `decay` is that of the moving averages; `entropy` weighs the
    bonus. Several `passes` over a batch are PPO (arXiv 1707.06347); `imitation` weighs what the best networks so far
    would have the controller do (self-imitation, arXiv 1806.05635).
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
        at_least(batch=(batch, 1), passes=(passes, 1))
        for name, value in (("lr", lr), ("clip", clip)):
            if not 0 < value <= MOST:
                raise ValueError(f"{name} must be above 0 and at most {MOST:,}, got {value}")
        for name, value in (("entropy", entropy), ("imitation", imitation)):
            if not 0 <= value <= MOST:
                raise ValueError(f"{name} must be in 0..{MOST:,}, got {value}")
        if not 1 <= hidden <= WIDEST:
            raise ValueError(f"hidden must be in 1..{WIDEST}, got {hidden}")
        if not 0 <= init_seed < 2**64:
            raise ValueError(f"init_seed must be in 0..2**64 - 1, got {init_seed}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in 0..1, below 1, got {decay}")
        self.batch, self.entropy, self.decay = batch, entropy, decay
        self.passes, self.imitation = passes, imitation
        self.policy = Policy(hidden, np.random.default_rng(init_seed))
        self.optimizer = Adam(self.policy.numbers, lr, clip)
        self.roll_outs: list[Trial] = []
        self.best: list[Trial] = []  # the networks to imitate, the best first
        self.mean = self.variance = self.seen = 0.0
        self.lowest = np.inf

    def ahead(self) -> float:
        """A batch of roll-outs, which are of one policy."""
        return self.batch - len(self.roll_outs)

    def ask(self, rng: np.random.Generator, pending: Sequence[Candidate]) -> Candidate:
        roll_out = RollOut(self.policy)

        def answer(name: str, options: Sequence[Scalar], weights: Sequence[float]) -> int:
            if len(options) == 1:
                return 0
            index = weighted(roll_out.odds(name, options), rng)
            roll_out.word = self.policy.row(name, options[index])
            return index

        return self.space.draw(answer)

    def tell(self, trial: Trial) -> None:
        self.policy.learn_words(trial.candidate.choices)
        if trial.values and trial.copy_of is None:
            self.lowest = min(self.lowest, trial.value)
            self.best = sorted((*self.best, trial), key=lambda t: -t.value)[:BEST]
        self.roll_outs.append(trial)
        if len(self.roll_outs) == self.batch:
            self._update(self.roll_outs)
            self.roll_outs = []

    def _update(self, trials: list[Trial]) -> None:
        # a failed network is worth the worst seen, whatever the scale of the objective
        rewards = np.array([t.value if t.values else self.lowest for t in trials])
        if not np.isfinite(rewards).all():
            return
        advantages = np.where([t.copy_of is not None for t in trials], -1.0, self._advantages(rewards))
        best = self.best if self.imitation else []
        above = np.array([max(0.0, t.value - self.mean) for t in best]) / (self._spread or 1.0)
        roll_outs = [decisions(t.candidate.choices) for t in (*trials, *best)]
        if not any(roll_outs):  # nothing is left to decide
            return
        lengths = [len(choices) for choices in roll_outs]
        # 1/m sum_t grad log P(a_t) (R - b) (section 3.2), and self-imitation, (2): grad log P(a_t) (R - b)+
        weights = np.concatenate([advantages / self.batch, self.imitation * above / (len(best) or 1)]).repeat(lengths)
        bonuses = np.repeat([self.entropy / self.batch] * len(trials) + [0.0] * len(best), lengths)
        before = None
        for _ in range(self.passes):
            replay = Replay(self.policy, roll_outs)
            chosen = replay.log_probs[replay.taken]
            before = chosen if before is None else before
            ratio = np.exp(np.minimum(chosen - before, 10))  # no overflow: far beyond where passes may go
            ratio[sum(lengths[: len(trials)]) :] = 1  # imitation is not clipped
            far = np.where(weights > 0, ratio > 1 + RATIO, ratio < 1 - RATIO)  # PPO, (7)
            self.optimizer.step(replay.gradient(np.where(far, 0, ratio * weights), bonuses))

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
