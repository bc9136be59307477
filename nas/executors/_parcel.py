"""A job on its way to another machine. The files that it names go with it, and those that it writes come back.

Where the worker sees the same folders (the same machine, a shared file system) it reads and writes there, so that a
training can be watched and stopped while it runs. Elsewhere it has a folder of its own, and files travel as bytes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from nas.executors._reply import Held
from nas.weights import snapshot_file

Folders = Mapping[str, Mapping[str, bytes]]  # of a folder its files by name


@dataclass(frozen=True)
class Parcel:
    """A pickled job, and the files that it names."""

    data: bytes
    paths: frozenset[Path]

    @classmethod
    def of(cls, job: Any) -> Parcel:
        paths: set[Path] = set()
        written = io.BytesIO()
        _Pickler(written, paths).dump(job)
        return cls(written.getvalue(), frozenset(paths))

    @property
    def folders(self) -> dict[str, int | None]:
        """By which a machine can tell whether it sees the same folders: their inode; None where there is none yet."""
        return {str(folder): _inode(folder) for folder in {path.parent for path in self.paths}}

    def files(self, folders: Iterable[str]) -> dict[str, dict[str, bytes]]:
        """What is in those files, and in the snapshots beside them, that lie in some folders."""
        named = {folder: [path for path in self.paths if str(path.parent) == folder] for folder in folders}
        return {
            folder: {
                file.name: file.read_bytes()
                for path in paths
                for file in (path, *path.parent.glob(snapshot_file(path, "*").name))
                if file.is_file()
            }
            for folder, paths in named.items()
        }


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, paths: set[Path]) -> None:
        super().__init__(file)
        self._paths = paths

    def persistent_id(self, obj: Any) -> str | None:
        if not isinstance(obj, PurePath):
            return None
        path = Path(obj).absolute()  # a worker has a working directory of its own
        self._paths.add(path)
        return str(path)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, places: Mapping[str, Path]) -> None:
        super().__init__(io.BytesIO(data))
        self._places = places

    def persistent_load(self, pid: str) -> Path:
        path = Path(pid)
        folder = str(path.parent)
        return self._places[folder] / path.name if folder in self._places else path


def unseen(folders: Mapping[str, int | None]) -> list[str]:
    """Those that this machine does not see as the sender does."""
    return [folder for folder, inode in folders.items() if inode is None or _inode(Path(folder)) != inode]


def opened(held: Held, data: bytes, folders: Folders) -> Iterator[tuple[bytes, Folders]]:
    """The replies to the job in a parcel, each with the files that it has written until then.

    Those are in `folders`, which are not seen here.
    """
    with _unpacked(folders) as places:
        before = {file: _state(file) for file in _files(places)}
        for reply in held.answer(data, lambda job: _Unpickler(job, places).load(), partial(pickle.dumps, protocol=5)):
            now = {file: _state(file) for file in _files(places)}
            new = [file for file, state in now.items() if state != before.get(file)]
            written = {
                folder: {file.name: file.read_bytes() for file in new if file.parent == place}
                for folder, place in places.items()
            }
            before = now
            yield bytes(reply), written


def put_back(folders: Folders) -> None:
    """Write files where the job that has written them elsewhere was to. Raises `OSError`."""
    for folder, files in folders.items():
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            partial_file = path.with_suffix(".partial")
            partial_file.write_bytes(data)
            partial_file.replace(path)


@contextmanager
def _unpacked(folders: Folders) -> Iterator[dict[str, Path]]:
    """Where in this machine the folders are while a job runs."""
    if not folders:
        yield {}
        return
    with TemporaryDirectory(prefix="nas-") as root:
        places = {folder: Path(root) / str(number) for number, folder in enumerate(folders)}
        for folder, place in places.items():
            place.mkdir()
            for name, data in folders[folder].items():
                (place / name).write_bytes(data)
        yield places


def _files(places: Mapping[str, Path]) -> Iterator[Path]:
    return (file for place in places.values() for file in place.iterdir() if file.is_file())


def _state(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None
