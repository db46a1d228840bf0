"""Atomic and durable file access (temporary file, fsync, rename, fsync of the folder), where folders are, the time."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from fashion_core.config import variable
from fashion_core.errors import ConfigError, DiskError, FashionError, WorkerError

TEMPORARY_PREFIX = ".tmp-"
_NAMED = 48  # characters of a file's name in that of its temporary file: four bytes each, and still a name
_TEMPORARY = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}.{{1,{_NAMED}}}-[0-9a-f]{{8}}", re.DOTALL)
SCRATCH = r"scratch-[a-z0-9_]{8}"  # what follows the prefix in the name of a ``scratch_folder``
_PIECE = 1 << 18
_FRESH_SECONDS = 60.0
# Follow no symbolic link and wait for no pipe. Windows has only the last of these flags and needs no other.
_READ: int = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

NO_MORE = "this user may run no more of them; end some, or raise `ulimit -u`, and try again"
_ADVICE = {
    errno.ENOENT: "it or its folder does not exist; check whether somebody has moved or deleted it",
    errno.ENOSPC: "the disk is full; free some space there and try again",
    errno.EDQUOT: "your disk quota is used up; free some space there and try again",
    errno.EACCES: "this user has no permission there; change its permissions or choose another place",
    errno.EPERM: "this user has no permission there; change its permissions or choose another place",
    errno.EROFS: "it is on a read-only disk; choose another folder, or make that disk writable and try again",
    errno.EFBIG: "the disk or this user's limit allows no file that large; choose another disk or raise `ulimit -f`",
    errno.EIO: "the disk failed; check that it is healthy and connected, then try again",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another folder",
    errno.EISDIR: "it is a folder; name a file in it",
    errno.ELOOP: "it is a symbolic link, which may point anywhere; replace it with its target",
    errno.EEXIST: "there is a file where a folder is needed; move it away or choose another folder",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
    errno.EMFILE: "this process has too many files open; raise `ulimit -n` and try again",
    errno.ENFILE: "all programs here together have too many files open; close some and try again",
    errno.ENOMEM: "there is not enough memory; end other programs and try again",
}


@dataclass(frozen=True)
class Digest:
    """What a file should be: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    bytes: int


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` about ``path`` into a ``DiskError`` with one sentence."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path | None = None) -> DiskError:
    """What the system refused, as one sentence; about the path that it names itself if none is given."""
    named = path or (Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None)
    reason = _ADVICE.get(error.errno or 0, error.strerror or str(error).rstrip("."))
    what = f"{named} can't be used" if named else "The system refuses this"
    return DiskError(named or Path(), f"{what}: {reason}.")


REFUSALS: Final = (FashionError, OSError, MemoryError, RuntimeError)  # all that ``refusal`` may find an error in


def refusal(error: Exception) -> FashionError | None:
    """The error to show, also for what the system refused; None if it is of another kind: a bug."""
    if isinstance(error, FashionError):
        return error
    if isinstance(error, OSError):
        return disk_error(error)
    if isinstance(error, MemoryError):
        return WorkerError(f"The system refuses this: {_ADVICE[errno.ENOMEM]}.")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):  # Python has no error of its own for it
        return WorkerError(f"No thread can be started: {NO_MORE}.")
    return None


def path_of(name: str, default: str) -> Path:
    """What the variable ``name`` names, or ``default`` in the working folder. Raises ``ConfigError``."""
    return full_path(name, variable(name) or default)


def full_path(name: str, named: str) -> Path:
    """What the variable ``name`` means by this, from the working folder; ``~`` is the home folder.

    Raises ``ConfigError``.
    """
    if not variable("HOME"):
        os.environ.pop("HOME", None)  # empty is not set: the system knows the home folder too
    try:
        path = Path(named).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{name} is {named}, and there is no such home folder: set it to a full path.") from error
    return path if path.is_absolute() else working_folder() / path


def working_folder() -> Path:
    """Where this process was started. Raises ``ConfigError`` if it has been deleted or closed since."""
    try:
        return Path.cwd()
    except OSError as error:
        advice = "it may have been deleted; change to another folder and start again"
        raise ConfigError(f"The working folder can't be used: {advice}.") from error


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder for temporary files, gone after the block: in ``beside`` where the system has no place for them.

    Raises ``DiskError``.
    """
    try:
        place = tempfile.gettempdir()
    except FileNotFoundError:  # none of the usual places can be written: from now on, libraries use this one too
        place = tempfile.tempdir = str(beside)
    with disk_errors(Path(place)):
        folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}scratch-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def digest_of(path: Path) -> Digest:
    """Hash a file, piece by piece. Raises ``DiskError``."""
    with disk_errors(path), path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Digest(sha256, file.tell())


class Writer:
    """A file being written, which hashes and counts its bytes on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sha256, self._bytes = file, hashlib.sha256(), 0
        self.error: OSError | None = None  # of a ``write``, which torch hides behind an error of its own

    def write(self, data: bytes | memoryview) -> int:
        try:
            size = self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self._sha256.update(data)
        self._bytes += size
        return size

    def flush(self) -> None:
        """Do nothing: ``writing`` flushes once all is written."""

    @property
    def digest(self) -> Digest:
        return Digest(self._sha256.hexdigest(), self._bytes)


@contextmanager
def writing(
    path: Path, *, durable: bool = True, before_replacing: Callable[[], object] = lambda: None
) -> Iterator[Writer]:
    """Replace ``path`` by what the block writes, whole or not at all; durable writes also survive a power cut.

    ``before_replacing`` is called once all of it is safe on the disk, while the old file still has its name.
    Raises ``DiskError``; then, and when the block raises, the old file is untouched and nothing else is left behind.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name[:_NAMED]}-{secrets.token_hex(4)}")
    with disk_errors(path):
        try:
            with temporary.open("xb") as file:
                writer = Writer(file)
                try:
                    yield writer
                finally:  # even if the block hides it
                    if writer.error:
                        raise writer.error
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            before_replacing()
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(path.parent)


@contextmanager
def creating(path: Path) -> Iterator[Writer]:
    """Write a file that is not there yet, as ``writing`` does, and not over one that somebody makes meanwhile.

    Raises ``DiskError``, before the block and after it.
    """
    check_free(path)
    with writing(path, before_replacing=lambda: check_free(path)) as file:
        yield file


def check_free(path: Path) -> None:
    """Raise ``DiskError`` if there is something of that name already, even a link that leads nowhere."""
    if os.path.lexists(path):
        raise DiskError(path, f"{path} exists already; choose another name.")


def write_bytes(path: Path, data: bytes | memoryview, *, durable: bool = True) -> Digest:
    """Replace ``path`` by ``data``, as ``writing`` does. Raises ``DiskError``."""
    with writing(path, durable=durable) as file:
        file.write(data)
    return file.digest


def sync_file(path: Path) -> None:
    """Make what has been written to a file survive a power cut. Raises ``DiskError``."""
    with disk_errors(path), path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace ``path`` by ``value`` as JSON. Raises ``DiskError``."""
    write_bytes(path, as_json(value), durable=durable)


def as_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def open_to_read(path: Path) -> BinaryIO:
    """Open a file of a run, as ``read_bytes`` does. Raises ``OSError``, for a symbolic link too."""
    return open(path, "rb", opener=lambda name, _: os.open(name, _READ))


def read_bytes(path: Path | str) -> bytes:
    """Read a file, a small one in a third of the time of ``Path.read_bytes``. Raises ``DiskError``, for a link too."""
    try:
        descriptor = os.open(path, _READ)
        try:
            pieces = [os.read(descriptor, _PIECE)]
            while len(pieces[-1]) == _PIECE:
                pieces.append(os.read(descriptor, _PIECE))
            return b"".join(pieces)
        finally:
            os.close(descriptor)
    except OSError:
        with disk_errors(Path(path)):
            raise


def remove_temporaries(folder: Path, of_others: Sequence[str] = ()) -> None:
    """Delete what interrupted writes left; only for the folder's one writer. Fresh ones ``of_others`` stay."""
    for entry in os.scandir(folder):
        if not _TEMPORARY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            continue  # somebody else's
        is_of_others = entry.name.startswith(tuple(f"{TEMPORARY_PREFIX}{name}-" for name in of_others))
        with suppress(FileNotFoundError):  # its writer has just finished
            if not is_of_others or abs(time.time() - entry.stat().st_mtime) >= _FRESH_SECONDS:
                Path(entry).unlink()


def now() -> float:
    """Seconds since 1970, as the records of a run hold them."""
    return time.time()
