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
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest

from fashion_core.files import TEMPORARY_PREFIX

Kind = Literal["open", "create", "write", "truncate", "sync", "rename", "unlink", "mkdir", "rmdir", "ask"]
Result = TypeVar("Result")
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
        """What is done to which kind of file, such as ``write new checkpoint``, whatever its epoch."""
        name = self.path.name if self.path != folder else ""
        made = _ENDING.sub("", name).removeprefix(TEMPORARY_PREFIX)
        kind_of_file = _FOLDERS.get(made) or re.sub(r"^\d+(?=\.|$)", "checkpoint", made)
        return f"{self.kind} {'new ' if made != name else ''}{kind_of_file}"


class Witness:
    """Called for each operation; performs it or not."""

    def __call__(self, operation: Operation, perform: Callable[[], Result]) -> Result:
        return perform()


@contextmanager
def watched(folder: Path, witness: Witness) -> Iterator[None]:
    """Let ``witness`` decide about each operation of this process on files in ``folder`` or below it."""
    with pytest.MonkeyPatch.context() as patch:
        watcher = _Watcher(folder, witness)
        for name in ("open", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "stat"):
            patch.setattr(os, name, getattr(watcher, name))
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
        return self._witness(Operation("write", self._path, bytes(piece)), lambda: real(piece))

    def truncate(self, size: int | None = None) -> int:
        real = super().truncate
        return self._witness(Operation("truncate", self._path), lambda: real(size))


class _Watcher:
    """The same functions as in ``os`` and ``io``, with the witness before them."""

    def __init__(self, folder: Path, witness: Witness) -> None:
        self.folder, self.witness = folder, witness
        names = ("open", "fsync", "replace", "unlink", "mkdir", "rmdir", "stat")
        self.os: dict[str, Any] = {name: getattr(os, name) for name in names}
        self.io_open = io.open

    def _inside(self, path: Any, dir_fd: int | None = None) -> Path | None:
        if not isinstance(path, str | os.PathLike):
            return None
        base = _path_of(dir_fd) if dir_fd is not None else Path.cwd()
        full = base / path
        return full if full.is_relative_to(self.folder) else None

    def _let(self, kind: Kind, path: Any, real: Callable[[], Any], **details: Any) -> Any:
        inside = self._inside(path, details.pop("dir_fd", None))
        return self.witness(Operation(kind, inside, **details), real) if inside else real()

    def _is_there(self, path: Any) -> bool:
        try:
            self.os["stat"](path)
        except FileNotFoundError:
            return False
        return True

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        creates = flags & os.O_CREAT and not self._is_there(path)
        kind: Kind = "create" if creates else "open"
        descriptor: int = self._let(
            kind, path, lambda: self.os["open"](path, flags, mode, dir_fd=dir_fd), dir_fd=dir_fd
        )
        return descriptor

    def open_file(self, file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        path = self._inside(file)
        if path is None:
            return self.io_open(file, mode, *rest, **named)
        if not set(mode) & set("wxa+"):
            return self.witness(Operation("open", path), lambda: self.io_open(file, mode, *rest, **named))
        assert "b" in mode, "text is written to no file of a run"
        creates = "r" not in mode and not self._is_there(path)
        raw = self.witness(
            Operation("create" if creates else "open", path), lambda: _WatchedFile(path, mode, self.witness)
        )
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def fsync(self, descriptor: int) -> None:
        self._let("sync", _path_of(descriptor), lambda: self.os["fsync"](descriptor))

    def replace(self, source: Any, target: Any) -> None:
        self._let("rename", source, lambda: self.os["replace"](source, target), target=Path(target))

    rename = replace

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._let("unlink", path, lambda: self.os["unlink"](path, dir_fd=dir_fd), dir_fd=dir_fd)

    def mkdir(self, path: Any, mode: int = 0o777) -> None:
        self._let("mkdir", path, lambda: self.os["mkdir"](path, mode))

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._let("rmdir", path, lambda: self.os["rmdir"](path, dir_fd=dir_fd), dir_fd=dir_fd)

    def stat(self, path: Any, **named: Any) -> os.stat_result:
        if not str(path).endswith("/stop"):
            return self.os["stat"](path, **named)  # type: ignore[no-any-return]
        return self._let("ask", path, lambda: self.os["stat"](path, **named))  # type: ignore[no-any-return]
