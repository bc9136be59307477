"""Weights as files: where they lie, and how they are written and read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.network import Network


def snapshot_file(weights: Path, name: str) -> Path:
    """Where a training leaves a snapshot beside its weights."""
    return weights.with_name(f"{weights.stem}-{name}{weights.suffix}")


def save_weights(state: dict[str, Any], path: Path) -> None:
    """Write safetensors at once or not at all. Raises `OSError`: the disk's failure, not the network's."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = path.with_suffix(".partial")
    try:
        save_file({name: tensor.cpu().contiguous() for name, tensor in state.items()}, partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"the weights cannot be written to {path}: {error}") from None


def intact(path: Path) -> bool:
    """Whether a file of weights is there, and whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            return True
    except (OSError, SafetensorError):
        return False


def load_weights(network: Network, path: Path) -> bool:
    """Whether the network now has the weights of a file, which may be missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        return False
    return True
