"""In which order a training meets its samples, and how it augments them: alike in all trainings of one seed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor


class Order:
    """Two streams of chance: of permutations, on the CPU, and `chance`, of augmentation, on the samples' device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._permutations = Generator().manual_seed(seed)
        other = np.random.SeedSequence((seed, 1)).generate_state(1, np.uint64)
        self.chance = Generator(device).manual_seed(int(other[0]))

    def permutation(self, samples: int) -> Tensor:
        """Of an epoch, (samples,)."""
        return torch.randperm(samples, generator=self._permutations)

    @property
    def state(self) -> dict[str, Tensor]:
        """Where both stand."""
        return {"permutations": self._permutations.get_state(), "augmentation": self.chance.get_state()}

    @state.setter
    def state(self, state: dict[str, Tensor]) -> None:
        self._permutations.set_state(state["permutations"].cpu())
        self.chance.set_state(state["augmentation"].cpu())
