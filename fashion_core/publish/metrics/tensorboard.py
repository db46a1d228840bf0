"""The curves of runs as TensorBoard reads them: a folder for each run, with its settings as hyperparameters."""

import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fashion_core import files
from fashion_core.errors import ConfigError, DiskError
from fashion_core.publish.metrics import rows, texts
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore

INSTALL: Final = "pip install 'tensorboardX>=2.6,<3'"
_NAMED: Final = 40  # characters of a run's name in that of its folder
RESULTS: Final = ("epoch/test_loss", "epoch/accuracy")  # what the page of hyperparameters compares


def write(store: RunStore, runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write a folder for each run into this one; return them. None is there before all are written, and each is whole.

    Raises ``ConfigError`` if tensorboardX is missing, ``DiskError``, also if a run is in that folder already: its
    curves would be there twice.
    """
    try:
        import tensorboardX
    except ImportError as error:
        raise ConfigError(texts.NO_TENSORBOARDX.format(command=INSTALL)) from error
    finished = [folder / _folder_name(run) for run in runs]
    with files.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for run in runs:
            if any(entry.name.startswith(run.id) for entry in folder.iterdir()):
                raise DiskError(folder, texts.RUN_EXISTS.format(folder=folder, run=run.id))
        drafts = folder / f"{files.TEMPORARY_PREFIX}{secrets.token_hex(4)}"
        try:
            for run, path in zip(runs, finished, strict=True):
                _write_run(tensorboardX, store, run, drafts / path.name)
            for path in finished:
                (drafts / path.name).rename(path)
        finally:
            shutil.rmtree(drafts, ignore_errors=True)
    return finished


def _folder_name(run: Run) -> str:
    """The id first, so that runs stand in the order in which they began."""
    name = re.sub(r"[^\w.+-]+", "-", run.title)[:_NAMED].strip("-.")
    return run.id if name in ("", run.id) else f"{run.id} {name}"


def _write_run(library: Any, store: RunStore, run: Run, folder: Path) -> None:
    with library.SummaryWriter(str(folder), flush_secs=600) as writer:
        for summary in library.summary.hparams(rows.hyperparameters(run), dict.fromkeys(RESULTS)):
            writer.file_writer.add_summary(summary, walltime=run.record.created.timestamp())
        for point in rows.points(rows.read(store, run)):
            writer.add_scalar(point.tag, point.value, point.step, walltime=point.time)
