"""Large stores for benchmarks: runs that nobody trained, as their small JSON files and tiny checkpoints."""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fashion_core.config import parse_config
from fashion_core.run_folders import Run
from fashion_core.runs import RunStore
from fashion_core.schema import (
    Environment,
    Facts,
    Labels,
    LoadCheck,
    Parent,
    Resumption,
    RunRecord,
    Source,
    Status,
)

CONTENT = b"no checkpoint"
_SHA256 = hashlib.sha256(CONTENT).hexdigest()
BATCH_ROWS, LOSSES_A_ROW = 4, 94
"""Batch rows of an epoch, and losses in each: short epochs, so that reading checkpoints' facts is most of the work."""
_ENVIRONMENT = Environment(python="3.11", torch="2.13", device="cpu", threads=2)
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
        write(run.load_check_path, _CHECK)
    write_epochs(run, range(record.first_epoch, config.epochs), paired=parent is not None)
    make_old(run.path)


_CHECK = LoadCheck(
    loss_last=0.5, loss_check=0.5, accuracy=0.8, standard_error=0.01, comparable=True, optimizer="loaded"
)


def write_epochs(run: Run, epochs: range, *, paired: bool) -> None:
    rows = []
    for epoch in epochs:
        path, loss = run.checkpoint_path(epoch), (1.9 if paired else 2) / (epoch + 1)
        path.write_bytes(CONTENT)
        write(run.facts_path(path), facts_of(epoch, loss, len(CONTENT)))
        measured = {"loss": loss, "accuracy": 0.8, "train_loss": loss, "seconds": 2.0, "samples_per_second": 3e4}
        pairs = {"difference": loss - 0.5, "standard_error": 0.005} if paired else {}
        rows += [*batch_rows(epoch, loss), {"kind": "epoch", "epoch": epoch, **measured, **pairs, "time": 0.0}]
    run.metrics_path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def batch_rows(epoch: int, loss: float) -> list[dict[str, Any]]:
    row = {"kind": "batch", "epoch": epoch, "losses": [loss] * LOSSES_A_ROW, "images_per_second": 3e4, "time": 0.0}
    return [{**row, "batch": LOSSES_A_ROW * (number + 1) - 1} for number in range(BATCH_ROWS)]


def facts_of(epoch: int, loss: float, size: int) -> Facts:
    return Facts(
        format="checkpoint",
        sha256=_SHA256,
        bytes=size,
        epoch=epoch,
        loss=loss,
        accuracy=0.8,
        seconds=0.1,
        created=_FIRST + timedelta(seconds=epoch),
        why="epoch",
    )


def write(path: Path, value: RunRecord | Labels | Status | Facts | LoadCheck | Source) -> None:
    path.write_text(value.model_dump_json(indent=2) + "\n")


def make_old(folder: Path) -> None:
    """As long ago as most of a store is: what has just been written is read again, whatever a cache holds."""
    before = datetime.now(UTC).timestamp() - _AGE_SECONDS
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (before, before))
