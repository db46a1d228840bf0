"""One writer a run: the lock in its folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fashion_core import files
from fashion_core.errors import DiskError, RunNotFoundError, RunStateError


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
