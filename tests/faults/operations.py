"""The operations of this process on the files below one folder, one at a time: recorded, refused, or its last.

The operations are real. Only the way from Python to the system is watched: ``io``, ``os`` and files written through
them; a write goes in two halves, so that there is a moment at which it is torn.
"""

import builtins
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from fashion_core.files import TEMPORARY_PREFIX

Kind = Literal["open", "create", "write", "truncate", "sync", "rename", "unlink", "mkdir", "rmdir", "ask"]
_FOLDERS = {"model_save": "checkpoint folder", "": "folder"}
_ENDING = re.compile(r"-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Operation:
    """``data`` is what a write adds; ``target`` the new name of a rename; ``ask`` looks for a stop file."""

    kind: Kind
    path: Path
    data: bytes = b""
    target: Path | None = None

    def label(self, folder: Path) -> str:
        name = self.path.name if self.path != folder else ""
        made = _ENDING.sub("", name).removeprefix(TEMPORARY_PREFIX)
        kind_of_file = _FOLDERS.get(made) or re.sub(r"^\d+(?=\.|$)", "checkpoint", made)
        return f"{self.kind} {'new ' if made != name else ''}{kind_of_file}"


Perform = Callable[[], Any]
Witness = Callable[[Operation, Perform], Any]
"""Called for each operation; performs it or not."""


@contextmanager
def watched(folder: Path, witness: Witness) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        watcher = _Watcher(folder, witness)
        for name in ("open", "fsync", "replace", "rename", "stat"):
            patch.setattr(os, name, getattr(watcher, name))
        for kind in ("unlink", "mkdir", "rmdir"):
            patch.setattr(os, kind, partial(watcher.change_folder, kind))
        patch.setattr(io, "open", watcher.open_file)
        patch.setattr(builtins, "open", watcher.open_file)
        yield


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


class _WatchedFile(io.FileIO):
    def __init__(self, path: Path, mode: str, witness: Witness) -> None:
        super().__init__(path, mode)
        self._path, self._witness = path, witness

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        half = len(view) // 2
        written = self._write(view[:half]) if half else 0
        return written + self._write(view[half:]) if written == half else written

    def _write(self, piece: memoryview) -> int:
        real = super().write
        written: int = self._witness(Operation("write", self._path, bytes(piece)), lambda: real(piece))
        return written

    def truncate(self, size: int | None = None) -> int:
        real = super().truncate
        length: int = self._witness(Operation("truncate", self._path), lambda: real(size))
        return length


class _Watcher:
    def __init__(self, folder: Path, witness: Witness) -> None:
        self.folder, self.witness = folder, witness
        names = ("open", "fsync", "replace", "unlink", "mkdir", "rmdir", "stat")
        self.os: dict[str, Any] = {name: getattr(os, name) for name in names}
        self.io_open = io.open

    def _inside(self, path: Any, dir_fd: int | None = None) -> Path | None:
        if not isinstance(path, str | os.PathLike):
            return None
        full = (_path_of(dir_fd) if dir_fd is not None else Path.cwd()) / path
        return full if full.is_relative_to(self.folder) else None

    def _let(self, kind: Kind, path: Any, real: Perform, dir_fd: int | None = None, target: Path | None = None) -> Any:
        inside = self._inside(path, dir_fd)
        return self.witness(Operation(kind, inside, target=target), real) if inside else real()

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Any:
        kind: Kind = "create" if flags & os.O_CREAT and not Path(path).exists() else "open"
        return self._let(kind, path, lambda: self.os["open"](path, flags, mode, dir_fd=dir_fd), dir_fd)

    def open_file(self, file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        path = self._inside(file)
        if path is None or not set(mode) & set("wxa+"):
            return self._let("open", file, lambda: self.io_open(file, mode, *rest, **named))
        assert "b" in mode, "text is written to no file of a run"
        kind: Kind = "create" if "r" not in mode and not path.exists() else "open"
        raw = self.witness(Operation(kind, path), lambda: _WatchedFile(path, mode, self.witness))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def fsync(self, descriptor: int) -> None:
        self._let("sync", _path_of(descriptor), lambda: self.os["fsync"](descriptor))

    def replace(self, source: Any, target: Any) -> None:
        self._let("rename", source, lambda: self.os["replace"](source, target), target=Path(target))

    rename = replace

    def change_folder(self, kind: Kind, path: Any, *mode: int, dir_fd: int | None = None) -> None:
        self._let(kind, path, lambda: self.os[kind](path, *mode, dir_fd=dir_fd), dir_fd)

    def stat(self, path: Any, **named: Any) -> Any:
        real = partial(self.os["stat"], path, **named)
        return self._let("ask", path, real) if str(path).endswith("/stop") else real()
