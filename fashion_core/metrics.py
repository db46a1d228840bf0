"""``metrics.jsonl``: rows appended by the one writer, read by anyone at any time.

A batch row holds the losses of all batches since the last one, so that a few rows a second keep every batch:
``{"kind": "batch", "epoch", "batch", "losses": [...], "images_per_second", "time"}``, where ``batch`` is the last of
them. An epoch row ends an epoch:
``{"kind": "epoch", "epoch", "loss", "accuracy", "train_loss", "seconds", "samples_per_second", "time"}``.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from fashion_core import files

Row = dict[str, Any]
_KEYS = {
    "batch": {"epoch", "batch", "losses"},
    "epoch": {"epoch", "loss", "accuracy", "train_loss", "seconds", "samples_per_second"},
}


def append_row(path: Path, row: Mapping[str, Any], *, durable: bool = False) -> None:
    """Add one row. Raises ``DiskError``."""
    with files.disk_errors(path), path.open("ab") as file:
        file.write(json.dumps(row).encode() + b"\n")
        if durable:
            file.flush()
            os.fsync(file.fileno())


def read_rows(path: Path) -> list[Row]:
    """All whole rows; a torn line is passed over, a missing file has none. Raises ``DiskError``."""
    with files.disk_errors(path):
        lines = path.read_bytes().splitlines() if path.exists() else []
    return [row for row in map(_parse_row, lines) if row is not None]


def read_epochs(path: Path) -> list[Row]:
    """The rows of ended epochs alone: a long run has a hundred times as many of batches. Raises ``DiskError``."""
    with files.disk_errors(path):
        lines = path.read_bytes().splitlines() if path.exists() else []
    rows = map(_parse_row, (line for line in lines if b'"losses"' not in line))
    return [row for row in rows if row is not None and row["kind"] == "epoch"]


def _parse_row(line: bytes) -> Row | None:
    try:
        row = from_json(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and _KEYS.get(str(row.get("kind")), {""}) <= row.keys() else None


def rewind(path: Path, epoch: int, batch: int) -> None:
    """Drop what was written at or after this position, so that training again from it leaves each batch once.

    Raises ``DiskError``.
    """
    rows = [kept for row in read_rows(path) if (kept := _before(row, epoch, batch)) is not None]
    files.write_bytes(path, _as_lines(rows))


def _before(row: Row, epoch: int, batch: int) -> Row | None:
    if row["epoch"] != epoch:
        return row if row["epoch"] < epoch else None
    if row["kind"] == "epoch":
        return None
    first = row["batch"] - len(row["losses"]) + 1
    losses = row["losses"][: max(0, batch - first)]
    return {**row, "losses": losses, "batch": first + len(losses) - 1} if losses else None


def _as_lines(rows: Iterable[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
