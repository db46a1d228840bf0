"""The files of a run folder: checked JSON records, the listing of saved files, and the lock of its one writer."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from fashion_core import files
from fashion_core.cache import MOST_RUNS, FileCache
from fashion_core.config import explain
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError, RunStateError

Record = TypeVar("Record", bound=BaseModel)
_records: FileCache[BaseModel] = FileCache(5 * MOST_RUNS)


def read_record(path: Path | str, kind: type[Record]) -> Record:
    """Read and check at once, which takes half the time; what that does not take is read step by step to say why.

    Raises ``DamagedFileError`` or ``DiskError``.
    """
    data = files.without_checksum(path, files.read_bytes(path))
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return _read_slowly(Path(path), data, kind)


def _read_slowly(path: Path, data: bytes, kind: type[Record]) -> Record:
    try:
        return kind.model_validate(files.as_json(path, data))
    except ValidationError as error:
        raise DamagedFileError(path, explain(error).rstrip(".")) from error


def kept_record(path: Path, kind: type[Record]) -> Record:
    """What ``read_record`` gives, read again only when the file has changed. Raises the same."""
    value = _records.get(path, (path,), lambda: read_record(path, kind))
    assert isinstance(value, kind)
    return value


class Listed(NamedTuple):
    """A file that has facts, as a look at its folder found it.

    Attributes:
        name: its path below the run folder, such as ``model_save/3``.
        epoch: the one whose checkpoint it is; None for the other files.
        bytes: its size, None if only the facts are there.
    """

    name: str
    epoch: int | None
    bytes: int | None


def listed_in(folder: Path) -> Iterator[tuple[int, "os.DirEntry[str] | None"]]:
    """The epochs that have facts, and their checkpoint if it is there; none behind a symbolic link.

    Raises ``DiskError``.
    """
    entries: dict[str, os.DirEntry[str]] = {}
    if folder.is_symlink():
        return
    with files.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        entries = {entry.name: entry for entry in os.scandir(folder) if not entry.is_symlink()}
    for name in entries:
        epoch = name.removesuffix(".json")
        if epoch != name and epoch.isdecimal() and str(int(epoch)) == epoch:
            yield int(epoch), entries.get(epoch)


def size_of(file: "str | os.PathLike[str]") -> int | None:
    """Bytes of a file; None if there is none. Raises ``OSError``."""
    try:
        return os.stat(file).st_size  # noqa: PTH116 -- half the time of Path.stat, for all files
    except FileNotFoundError:
        return None


@contextmanager
def sole_writer(folder: Path, timeout: float) -> Iterator[None]:
    """Be the one writer of the run in ``folder`` while inside; wait up to ``timeout`` seconds for another one to end.

    Raises ``RunStateError`` if it does not, ``RunNotFoundError`` if the run has been deleted, ``DiskError`` if there
    can be no lock.
    """
    path = folder / "lock"
    lock = FileLock(path, timeout=timeout)
    _check_exists(folder)
    try:
        with files.disk_errors(path):
            _acquire(lock, folder.name)
    except DiskError:
        _check_exists(folder)
        raise
    try:
        _check_exists(folder)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, run_id: str) -> None:
    try:
        lock.acquire()
    except Timeout as error:  # an OSError too, but nothing is wrong with the disk
        raise RunStateError(f"Run {run_id} is being worked on; stop it first or wait for it.") from error


def _check_exists(folder: Path) -> None:
    """A folder with a lock alone is what waiting for the lock makes of one that is deleted meanwhile."""
    names: list[str] = []
    with files.disk_errors(folder), suppress(FileNotFoundError):
        names = [path.name for path in folder.iterdir()]
    if names in ([], ["lock"]):
        shutil.rmtree(folder, ignore_errors=True)
        raise RunNotFoundError(f"Run {folder.name} has been deleted.")
