"""A file from outside, kept under a name of ours until it is imported or put away."""

import secrets
import shutil
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, BinaryIO

from fashion_core import files
from fashion_core.runs.store import RunStore

_NAME = "file"
_HELD = "spooled upload"


def spool(store: RunStore, source: BinaryIO) -> Path:
    """Copy what was uploaded to the store's disk, piece by piece, into a folder of its own. Raises ``DiskError``.

    ``RunStore.remove_leftovers`` clears away the folder of a page that nobody looks at any more.
    """
    folder = store.root / f"{files.TEMPORARY_PREFIX}upload-{secrets.token_hex(8)}"
    path = folder / _NAME
    with files.disk_errors(store.root):
        folder.mkdir(parents=True)
        try:
            source.seek(0)
            with path.open("xb") as copy:
                shutil.copyfileobj(source, copy)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return path


def keep(store: RunStore, held: MutableMapping[Any, Any], upload: str, source: BinaryIO) -> Path:
    """The spooled copy of the upload with this id, made once; that of another upload is removed. Raises ``DiskError``.

    ``held`` is what the viewer's session remembers.
    """
    if _HELD in held:
        known, path = held[_HELD]
        if known == upload and path.exists():
            return Path(path)
    forget(held)
    path = spool(store, source)
    held[_HELD] = (upload, path)
    return path


def forget(held: MutableMapping[Any, Any]) -> None:
    """Remove the spooled copy that the session holds, if there is one."""
    if _HELD in held:
        _, path = held.pop(_HELD)
        shutil.rmtree(path.parent, ignore_errors=True)
