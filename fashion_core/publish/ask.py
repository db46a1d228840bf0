"""Ask for a report from a process of its own, one at a time, so that the server stays as small and quick as it is."""

import threading
from collections.abc import Sequence
from typing import Final

from fashion_core import files
from fashion_core.errors import WorkerError
from fashion_core.publish import texts
from fashion_core.runs import processes
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore

MOST_RUNS: Final = 50  # of one report: each takes half a second and 150 KB
PATIENCE: Final = 60.0  # seconds that one waits for those before it
_making = threading.Lock()


def report(store: RunStore, runs: Sequence[Run]) -> bytes:
    """The report on these runs, as bytes to download. Raises ``WorkerError``, ``DiskError``."""
    if not _making.acquire(timeout=PATIENCE):
        raise WorkerError(texts.BUSY)
    try:
        with files.scratch_folder(store.root) as folder:
            out = folder / "report.html"
            processes.ask("report", *(run.id for run in runs), str(out), root=store.root)
            return files.read_bytes(out)
    finally:
        _making.release()
