"""A training in segments: what one leaves on disk, from which the next goes on as if nothing had been between them.

A file is the digest of what follows, and a mapping as `torch.save` writes it, read with `weights_only=True`: tensors
and plain values, never code. The digest is there because torch does not notice a tensor whose bytes have changed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

SIZE = 32  # bytes of the digest

State = dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """A segment of a training whose schedule spans `horizon` epochs.

    It goes on from the file `before`, where there is one, and leaves `after`, where it is given. What a file says is
    taken only where its `of` is the same: all that two trainings must have in common for one to continue the other.
    """

    horizon: int
    before: Path | None = None
    after: Path | None = None

    @property
    def linked(self) -> bool:
        """Whether it may be one of several."""
        return self.before is not None or self.after is not None

    def found(self, of: State, epochs: int, device: torch.device) -> State | None:
        """What `before` says; None where it is missing, damaged, of another training, or past `epochs`."""
        state = None if self.before is None else read(self.before, device)
        fits = state is not None and state.get("of") == of and len(state["curve"]) <= epochs
        return state if fits else None

    def leave(self, of: State, state: Callable[[], State]) -> None:
        """Write `after`; on a full disk it is left out, which costs the next segment its time and nothing more."""
        if self.after is not None:
            with suppress(OSError):
                write(self.after, {"of": of, **state()})


def write(path: Path, state: State) -> None:
    """At once or not at all. Raises `OSError`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(blake2b(buffer.getbuffer(), digest_size=SIZE).digest())
            file.write(buffer.getbuffer())
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def read(path: Path, device: torch.device) -> State | None:
    """What `write` wrote; None where the file is missing or damaged."""
    try:
        content = memoryview(path.read_bytes())
        digest, body = content[:SIZE], content[SIZE:]
        if blake2b(body, digest_size=SIZE).digest() != digest:
            return None
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError):
        return None
    return _placed(state, device) if isinstance(state, dict) else None


def _placed(state: Any, device: torch.device) -> Any:
    """With its tensors on the device, but for single numbers: torch's optimizers ask for these at every step."""
    if isinstance(state, dict):
        return {key: _placed(value, device) for key, value in state.items()}
    if isinstance(state, list):
        return [_placed(value, device) for value in state]
    return state.to(device) if isinstance(state, torch.Tensor) and state.ndim else state
