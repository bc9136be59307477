"""Files that others wrote: found or refused by name, never unpickled."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nas.dataset import Array
from nas.ops import Shape

DAMAGE = (  # what reading a damaged file raises; a header that promises too much asks for too much memory
    *(ValueError, OSError, EOFError, SyntaxError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def folder(path: str, usage: str) -> Path:
    """The folder at `path`; `~` is the home. Raises `ValueError`, ending in `usage`, where there is none."""
    found = Path(path).expanduser()
    if not path or not found.is_dir():
        raise ValueError(f"there is no folder {path!r}; {usage}")
    return found


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def visible(parent: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without the hidden files that some systems strew about."""
    return sorted(entry for entry in parent.iterdir() if not entry.name.startswith("."))


def read_npy(path: Path) -> Array:
    """The array in a .npy file. Raises `ValueError` that names the file."""
    try:
        with path.open("rb") as file:
            array: Any = np.lib.format.read_array(file, allow_pickle=False)
            return np.asarray(array)
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged or not a NumPy array: {one_line(error)}") from None


def read_shape(file: BinaryIO) -> Shape:
    """The shape of the array in an open .npy file, its numbers unread. Raises one of `DAMAGE`."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return tuple(read(file)[0])
