"""How the files of a run folder are read and guarded: JSON checked against its schema, and one writer at a time."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from fashion_core import files
from fashion_core.cache import MOST_RUNS, Cache, stamp
from fashion_core.config import explain
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError, RunStateError

Record = TypeVar("Record", bound=BaseModel)
_OLD_CHECKSUM = re.compile(rb',\s*"crc32":\s*"[0-9a-f]{8}"\s*}\s*$')
"""What earlier versions wrote at the end of each file. It is not compared: people may edit these files."""
_records: Cache[BaseModel] = Cache(5 * MOST_RUNS)


def read_record(path: Path | str, kind: type[Record]) -> Record:
    """Read a JSON file and check it against its schema. Raises ``DamagedFileError`` or ``DiskError``."""
    data = files.read_bytes(path)
    if b'"crc32"' in data:
        data = _OLD_CHECKSUM.sub(b"}", data)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        reason = "it is not JSON" if first["type"] == "json_invalid" else "it is not a JSON object"
        raise DamagedFileError(Path(path), explain(error).rstrip(".") if first["loc"] else reason) from error


def cached_record(path: Path, kind: type[Record]) -> Record:
    """Return what ``read_record`` does, read again only when the file has changed. Raises the same."""
    value = _records.get(path, stamp(path), lambda: read_record(path, kind))
    assert isinstance(value, kind)
    return value


@contextmanager
def sole_writer(folder: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of the run in ``folder``; wait for it for up to ``timeout`` seconds.

    Raises ``RunStateError`` if another process keeps it, ``RunNotFoundError`` if the run has been deleted,
    ``DiskError`` if there can be no lock.
    """
    path = folder / "lock"
    lock = FileLock(path, timeout=timeout)
    _check_exists(folder)
    try:
        with files.disk_errors(path):
            lock.acquire()
    except DiskError as error:
        if isinstance(error.__cause__, Timeout):  # an OSError too, but nothing is wrong with the disk
            raise RunStateError(f"Run {folder.name} is being worked on; stop it first or wait for it.") from error
        _check_exists(folder)
        raise
    try:
        _check_exists(folder)
        yield
    finally:
        lock.release()


def _check_exists(folder: Path) -> None:
    """Raise if the run was deleted meanwhile: waiting for the lock recreates its folder, with only the lock in it."""
    names: list[str] = []
    with files.disk_errors(folder), suppress(FileNotFoundError):
        names = [path.name for path in folder.iterdir()]
    if names in ([], ["lock"]):
        shutil.rmtree(folder, ignore_errors=True)
        raise RunNotFoundError(f"Run {folder.name} has been deleted.")
