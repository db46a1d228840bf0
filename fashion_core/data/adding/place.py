"""Where datasets are made, kept and removed: beside each other under ``FASHION_DATA``, each whole or not there.

A dataset is made in a folder that nobody lists, and gets its name by one rename at the end. What a killed process
leaves there nobody holds a lock on, and the next one that adds or removes takes it away.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from fashion_core import files
from fashion_core.data import fashion_mnist
from fashion_core.data.description import BUILT_IN, folder_of, names
from fashion_core.data.request import check_name
from fashion_core.errors import DataError, printable

_PREFIX: Final = f"{files.TEMPORARY_PREFIX}dataset-"
_LOCK: Final = ".datasets.lock"  # held for moments: while folders are made, renamed and swept
_IN_USE: Final = "in-use.lock"  # in each folder, held for as long as somebody works in it
MADE: Final = "dataset"  # what becomes the dataset


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder to make a dataset in, gone after the block. Raises ``DiskError``."""
    root = fashion_mnist.root()
    folder = root / f"{_PREFIX}{secrets.token_hex(8)}"
    lock = FileLock(folder / _IN_USE)
    with files.disk_errors(folder):
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / _LOCK):
            _sweep(root)
            (folder / MADE).mkdir(parents=True)
            lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Delete the folders that nobody works in any more."""
    for folder in root.glob(f"{_PREFIX}*"):
        with suppress(Timeout, OSError):  # in use, or another user's
            if not folder.is_symlink():
                with FileLock(folder / _IN_USE, blocking=False):
                    shutil.rmtree(folder, ignore_errors=True)


def keep(folder: Path, name: str) -> None:
    """Give what was made in this workshop its name, once all of it is safe on the disk.

    Raises ``DataError``, ``DiskError``.
    """
    root, made = fashion_mnist.root(), folder / MADE
    with files.disk_errors(made):
        for path in made.iterdir():
            files.sync_file(path)
    with files.disk_errors(folder_of(name)), FileLock(root / _LOCK):
        check_name(name)
        files.sync_folder(made)
        made.rename(folder_of(name))
        files.sync_folder(root)


def remove(name: str) -> None:
    """Remove a dataset that was added, at once for all who look. Raises ``DataError``, ``DiskError``."""
    if name in BUILT_IN:
        raise DataError(f"{name} comes with the app and can't be removed; name one that was added.")
    root = fashion_mnist.root()
    if name not in names() or folder_of(name).is_symlink():
        raise DataError(f"There is no dataset {printable(name)} that was added: `data list` shows those that are here.")
    with workshop() as folder, files.disk_errors(folder_of(name)):
        folder_of(name).rename(folder / MADE / name)
        files.sync_folder(root)
