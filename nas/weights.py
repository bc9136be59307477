"""Weights as files: where they lie, and how they are written and read."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from nas.dataset import Array

if TYPE_CHECKING:
    from torch import Tensor

    from nas.network import Network

DIGEST = "digest"  # its name in the file


def snapshot_file(weights: Path, name: str) -> Path:
    """Where a training leaves a snapshot beside its weights."""
    return weights.with_name(f"{weights.stem}-{name}{weights.suffix}")


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write safetensors at once or not at all, with their digest: a file whose numbers have changed is well-formed.

    Raises `OSError`: the disk's failure, not the network's.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    partial = path.with_suffix(".partial")
    arrays = {name: tensor.cpu().contiguous().numpy() for name, tensor in state.items()}
    try:
        save_file(arrays, partial, {DIGEST: _digest(arrays)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"the weights cannot be written to {path}: {error}") from None


def read_weights(path: Path) -> dict[str, Array] | None:
    """The arrays of a file; None where it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            digest = (file.metadata() or {}).get(DIGEST)
    except (OSError, SafetensorError):
        return None
    return arrays if digest in (None, _digest(arrays)) else None  # none: of an earlier version


def load_weights(network: Network, path: Path) -> bool:
    """Whether the network now has the weights of a file, which may be missing, damaged, or another network's."""
    import torch

    arrays = read_weights(path)
    try:
        return arrays is not None and bool(network.load_state_dict({n: torch.from_numpy(a) for n, a in arrays.items()}))
    except RuntimeError:
        return False


def _digest(arrays: Mapping[str, Array]) -> str:
    """Of names, shapes and numbers."""
    digest = blake2b(digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(repr((name, array.shape, array.dtype.str)).encode())
        digest.update(array.data)
    return digest.hexdigest()
