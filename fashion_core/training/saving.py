"""How a run in training saves: checkpoints in the background, each file whole before it is listed."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from fashion_core import files
from fashion_core.formats import save
from fashion_core.runs.run import Run
from fashion_core.runs.schema import FileInfo
from fashion_core.runs.store import RunStore

Measured = tuple[float | None, float | None]
"""Test loss and accuracy, as far as they are known."""


class Saver(AbstractContextManager["Saver"]):
    """Saves checkpoints in a background thread; leaving the context waits for that thread.

    Call ``wait`` before making the copy to save, so that there is never more than one. What goes wrong in the thread
    is raised where training asks: by ``wait``, by ``check``, and on leaving unless something else is wrong.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saver")
        self._saving: Future[None] | None = None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._executor.shutdown()
        if kind is None:
            self.wait()

    def begin(self, save: Callable[[], None]) -> None:
        """Run ``save`` in the background, after the previous save has succeeded."""
        self.wait()
        self._saving = self._executor.submit(save)

    def wait(self) -> None:
        if self._saving:
            self._saving.result()

    def check(self) -> None:
        """Raise the error of a save that has already failed."""
        if self._saving and self._saving.done():
            self._saving.result()


class RunFiles:
    """What is saved of one run while it trains."""

    def __init__(self, run: Run) -> None:
        self._run, self._config = run, run.record.config

    def save_epoch(self, epoch: int, checkpoint: save.Checkpoint, measured: Measured) -> None:
        """Make the epoch's row and its checkpoint durable, and only then delete what they replace."""
        files.sync_file(self._run.metrics_path)
        path = self._run.checkpoint_path(epoch)
        self._save(path, checkpoint, measured, format="checkpoint", epoch=epoch, why="epoch")
        self._tidy()

    def save_partial(self, epoch: int, checkpoint: save.Checkpoint) -> None:
        """Save the exact position inside this epoch; what is measured is of the one before."""
        self._save(self._run.partial_path, checkpoint, (None, None), format="partial", epoch=epoch, why="stop")

    def save_final(self, model: nn.Module, measured: Measured, whole: bool) -> None:
        """Save the weights alone, and the ``whole`` model where torch can pickle that. Raises ``DiskError``."""
        self._tidy()  # a kill may have come between the last checkpoint and this
        last = self._config.epochs - 1
        self._save(self._run.weights_path, model.state_dict(), measured, format="weights", epoch=last, why="end")
        if whole:
            self._save(self._run.model_path, model, measured, format="model", epoch=last, why="end")

    def _save(self, path: Path, content: save.Checkpoint | nn.Module, measured: Measured, **about: Any) -> None:
        """Write the file first and its info last, so that every listed file is whole."""
        began, (loss, accuracy) = time.perf_counter(), measured
        digest = save.save(path, content, before_replacing=lambda: self._run.unlist(path))
        about |= {"seconds": time.perf_counter() - began, "loss": loss, "accuracy": accuracy}
        self._run.write_info(path, FileInfo(**asdict(digest), created=datetime.now(UTC), **about))

    def _tidy(self) -> None:
        """Delete the position inside a saved epoch, and checkpoints that neither the settings nor resumed runs keep."""
        self._run.remove_saved(self._run.partial_path)
        if self._config.keep == "all":
            return
        store = RunStore(self._run.path.parent)
        for epoch in store.expendable(self._run, last=1, best=self._config.keep == "best and last"):
            store.remove_unless_resumed(self._run, epoch)
