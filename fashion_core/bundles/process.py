"""Write and read bundles in processes of their own, where a large one, or one from anyone, can harm no visitor."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fashion_core import files
from fashion_core.bundles.unbundle import Found, Unbundled
from fashion_core.errors import WorkerError
from fashion_core.runs import processes
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore

PATIENCE: Final = 60.0  # seconds that one waits for those before it
_BUSY: Final = "Other bundles are being made here: try again in a minute."
_bundling = threading.Lock()


def bundle(store: RunStore, runs: Sequence[Run], name: str) -> bytes:
    """The bundle of these runs, as bytes to download, one at a time.

    Raises ``WorkerError`` with what the other process said, ``DiskError``.
    """
    if not _bundling.acquire(timeout=PATIENCE):
        raise WorkerError(_BUSY)
    try:
        with files.scratch_folder(store.root) as folder:
            processes.ask("bundle", *(run.id for run in runs), str(folder / name), root=store.root)
            return files.read_bytes(folder / name)
    finally:
        _bundling.release()


def preview(store: RunStore, path: Path) -> list[Found]:
    """What is in a bundle; nothing is kept. Raises ``WorkerError`` with what the other process said."""
    answer = processes.ask("unbundler", "--preview", str(path), root=store.root)
    return [Found(**found) for found in answer["runs"]]


def unbundle(store: RunStore, path: Path) -> Unbundled:
    """Keep its runs. Raises ``WorkerError`` with what the other process said."""
    answer = processes.ask("unbundler", str(path), root=store.root)
    return Unbundled(tuple(answer["made"]), tuple(answer["there"]), answer["more"])
