"""Large stores for benchmarks: runs that nobody trained, as their small JSON files and tiny checkpoints."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fashion_core.config import parse_config
from fashion_core.files import Digest
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, FileInfo, Labels, LoadCheck, Parent, Resumption, RunRecord, Status
from fashion_core.runs.store import RunStore

CONTENT = b"no checkpoint"
_DIGEST = Digest(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
BATCH_ROWS, LOSSES_A_ROW = 4, 94
Batches = Callable[[int, float], list[dict[str, Any]]]
"""The batch rows of an epoch with this loss."""
_ENVIRONMENT = Environment(python="3.11", torch="2.13", device="cpu", threads=2)
LOADED = LoadCheck(
    loss_last=0.5, loss_check=0.5, accuracy=0.8, standard_error=0.01, comparable=True, optimizer="loaded"
)
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_RESUMED_EVERY = 10
_AGE_SECONDS = 3600


def fill(store: RunStore, runs: int, epochs: int) -> None:
    """Finished runs a minute apart; every tenth was resumed from epoch 3 of the run before it.

    Nothing is flushed to the disk, and all files are an hour old.
    """
    for number in range(runs):
        parent = run_path(store, number - 1) if number % _RESUMED_EVERY == _RESUMED_EVERY - 1 else None
        write_run(run_path(store, number), number, epochs, parent.name if parent else None)
    store.root.mkdir(exist_ok=True)


def fill_with_links(store: RunStore, runs: int, epochs: int = 3) -> None:
    """Runs of one and the same files, which takes a tenth of the time: no list asks a record for its id."""
    write_run(run_path(store, 0), 0, epochs, None)
    first = run_path(store, 0)
    parts = [path.relative_to(first) for path in first.rglob("*")]
    for number in range(1, runs):
        folder = run_path(store, number)
        (folder / "model_save").mkdir(parents=True)
        for part in parts:
            if part.name != "model_save":
                (folder / part).hardlink_to(first / part)


def run_path(store: RunStore, number: int) -> Path:
    created = _FIRST + timedelta(minutes=number)
    return store.root / f"{created:%Y%m%d-%H%M%S}-000-{number:04x}"


def write_run(folder: Path, number: int, epochs: int, parent: str | None) -> None:
    run = Run(folder)
    run.checkpoint_folder.mkdir(parents=True)
    config = parse_config({"name": f"run {number}", "epochs": epochs + (4 if parent else 0)})
    record = RunRecord(
        id=run.id,
        created=_FIRST + timedelta(minutes=number),
        config=config,
        parent=Parent(run=parent, epoch=3) if parent else None,
        environment=_ENVIRONMENT,
        resumption=Resumption(parent_name="parent", changes={}, verdict="exact", reasons=()) if parent else None,
    )
    write(run.record_path, record)
    write(run.labels_path, Labels(name=f"run {number}"))
    write(run.status_path, Status(state="finished", queued_at=0, heartbeat=0, epoch=config.epochs))
    if parent:
        write(run.load_check_path, LOADED)
    losses = [(1.9 if parent else 2) / (epoch + 1) for epoch in range(record.first_epoch, config.epochs)]
    write_epochs(run, record.first_epoch, losses, LOADED.loss_last if parent else None, 0.005, even_batches)
    make_old(run.path)


def write_epochs(
    run: Run, first: int, losses: Sequence[float], loss_last: float | None, noise: float, batches: Batches
) -> None:
    """Metrics and file infos as training writes them; no checkpoint holds a model.

    With a ``loss_last`` each epoch says how far it is from that loss, and ``noise`` is the standard error of it.
    """
    rows = []
    for epoch, loss in enumerate(losses, first):
        measured = {"loss": loss, "accuracy": 0.8, "train_loss": loss, "seconds": 2.0, "samples_per_second": 3e4}
        paired = {} if loss_last is None else {"difference": loss - loss_last, "standard_error": noise}
        rows += [*batches(epoch, loss), {"kind": "epoch", "epoch": epoch, **measured, **paired, "time": 0.0}]
        path = run.checkpoint_path(epoch)
        path.write_bytes(CONTENT)
        write(run.info_path(path), info_of(epoch, loss))
    run.metrics_path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def batch_rows(epoch: int, losses: list[float], count: int) -> list[dict[str, Any]]:
    row = {"kind": "batch", "epoch": epoch, "losses": losses, "images_per_second": 3e4, "time": 0.0}
    return [{**row, "batch": len(losses) * (number + 1) - 1} for number in range(count)]


def even_batches(epoch: int, loss: float) -> list[dict[str, Any]]:
    """Short epochs, so that reading file infos is most of the work."""
    return batch_rows(epoch, [loss] * LOSSES_A_ROW, BATCH_ROWS)


def info_of(epoch: int = 0, loss: float = 0.5, digest: Digest = _DIGEST) -> FileInfo:
    measured: dict[str, Any] = {"epoch": epoch, "loss": loss, "accuracy": 0.8, "seconds": 0.1, "why": "epoch"}
    created = _FIRST + timedelta(seconds=epoch)
    return FileInfo(format="checkpoint", sha256=digest.sha256, bytes=digest.bytes, created=created, **measured)


def write(path: Path, value: BaseModel) -> None:
    path.write_text(value.model_dump_json(indent=2) + "\n")


def make_old(folder: Path) -> None:
    """As old as most of a store is: what has just been written is read again, whatever a cache holds."""
    before = datetime.now(UTC).timestamp() - _AGE_SECONDS
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (before, before))
