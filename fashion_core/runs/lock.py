"""One writer at a time: the lock of a run folder, and whether the store's file system lets such promises hold."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from fashion_core import files
from fashion_core.errors import DiskError, RunNotFoundError, RunStateError

CLOCK_SECONDS: Final = 2.0  # no more than a coarse file system rounds its times
LOCAL_LOCKS: Final = frozenset({"nolock", "local_lock=all", "local_lock=flock", "localflock"})  # of NFS and Lustre
_NOT_EXCLUSIVE = "a lock that is held was given to another as well"
_NOT_REPLACED = "the old file is still there"
_NO_LOCKS = (
    "Locks don't work in {root} ({reason}), so two processes may write one run at once: put the runs on a disk with "
    "working locks, or mount this one with them."
)
_ON_ONE_HOST = (
    "{root} is mounted with {option}, so locks hold on each host alone: mount it without that before several hosts use "
    "the store."
)
_NO_REPLACE = (
    "Files in {root} can't be replaced in one step ({reason}), so a crash may leave half of one: put the runs on "
    "another disk."
)
_NO_SYNC = (
    "What is written to {root} can't be made safe against a power cut ({reason}): put the runs on another disk, or "
    "expect to lose the newest checkpoints."
)
_CLOCK = (
    "The clock of this machine and that of the disk with {root} are {seconds:,.0f} s apart, so a change may be missed: "
    "let NTP set both."
)


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


def store_problems(root: Path) -> list[str]:
    """What runs rely on and the file system of this store does not do, in a sentence each; it takes milliseconds."""
    place = next(path for path in (root, *root.parents) if path.is_dir())  # the store is made with its first run
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{files.TEMPORARY_PREFIX}scratch-", dir=place))
    except OSError as error:
        return [str(files.disk_error(error, root))]
    checks = {_NO_LOCKS: _try_locks, _NO_REPLACE: _try_to_replace, _NO_SYNC: _try_to_sync}
    try:
        reasons = {said: _reason(check, folder) for said, check in checks.items()}
        apart = abs(files.now() - folder.stat().st_mtime)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = [said.format(root=root, reason=reason) for said, reason in reasons.items() if reason]
    found += [_ON_ONE_HOST.format(root=root, option=option) for option in _mounted_with(place) & LOCAL_LOCKS]
    return [*found, _CLOCK.format(root=root, seconds=apart)] if apart > CLOCK_SECONDS else found


def _reason(check: Callable[[Path], str | None], folder: Path) -> str | None:
    try:
        return check(folder)
    except OSError as error:
        return error.strerror or str(error)


def _try_locks(folder: Path) -> str | None:
    path = folder / "lock"
    with FileLock(path, timeout=0), suppress(Timeout), FileLock(path, timeout=0):
        return _NOT_EXCLUSIVE
    return None


def _try_to_replace(folder: Path) -> str | None:
    old, new = folder / "old", folder / "new"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    new.replace(old)
    return None if old.read_bytes() == b"new" and not new.exists() else _NOT_REPLACED


def _try_to_sync(folder: Path) -> None:
    with (folder / "synced").open("wb") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
    files.sync_folder(folder)


def _mounted_with(place: Path) -> set[str]:
    """The options of the mount that holds a folder; none where the system does not tell.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    device, found = place.stat().st_dev, set[str]()
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[2] == f"{os.major(device)}:{os.minor(device)}":
                found |= {*before.split()[5].split(","), *after.split()[-1].split(",")}
    return found
