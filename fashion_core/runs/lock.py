"""One writer at a time: the lock of a run folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fashion_core import files
from fashion_core.errors import DiskError, RunNotFoundError, RunStateError


@contextmanager
def sole_writer(folder: Path, timeout: float) -> Iterator[None]:
    """Hold a run's lock, within ``timeout`` seconds. Raises ``RunStateError``, ``RunNotFoundError``, ``DiskError``."""
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
