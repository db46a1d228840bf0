"""``metrics.jsonl``: rows appended by the one writer, read by anyone at any time.

A batch row holds the losses of all batches since the last one, so that a few rows a second keep every batch:
``{"kind": "batch", "epoch", "batch", "losses": [...], "images_per_second", "time"}``, where ``batch`` is the last of
them. An epoch row ends an epoch:
``{"kind": "epoch", "epoch", "loss", "accuracy", "train_loss", "seconds", "samples_per_second", "time"}``.
Earlier versions ended each row with a checksum, ``crc32``, which is not compared: people may edit the file.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import from_json

from fashion_core import files
from fashion_core.cache import MOST_RUNS, Cache, stamp
from fashion_core.errors import DamagedFileError, counted

Row = dict[str, Any]
_PIECE: Final = 1 << 22  # bytes read at a time
_REMEMBERED: Final = 128  # bytes
_ROW_SKIPPED: Final = "{count:,} of its {rows:,} rows can't be read and is skipped"
_ROWS_SKIPPED: Final = "{count:,} of its {rows:,} rows can't be read and are skipped"
_BATCH_ROW: Final = b'{"kind": "batch"'
EPOCH_NUMBERS: Final = ("loss", "accuracy", "train_loss", "seconds", "samples_per_second")
_KEYS = {"batch": {"epoch", "batch", "losses"}, "epoch": {"epoch", *EPOCH_NUMBERS}}
_epochs: Cache[list[Row]] = Cache(MOST_RUNS)
_LATEST: Final = 4e9  # of a time in seconds since 1970
_Count = Annotated[int, Field(ge=0, lt=10**9)]
_Moment = Annotated[float, Field(ge=0, lt=_LATEST)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _WrittenRow(BaseModel):
    """A row as this app writes it: people, other programs and strangers may have written others."""

    model_config = ConfigDict(strict=True, extra="allow")

    epoch: _Count
    time: _Moment | None = None


class BatchRow(_WrittenRow):
    kind: Literal["batch"]
    batch: _Count
    losses: list[float]
    images_per_second: _Amount | None = None

    @model_validator(mode="after")
    def _check_first(self) -> Self:
        if len(self.losses) > self.batch + 1:
            raise ValueError("its losses begin before the epoch")
        return self


class EpochRow(_WrittenRow):
    kind: Literal["epoch"]
    loss: float | None
    accuracy: float | None
    train_loss: float | None
    seconds: _Amount | None
    samples_per_second: _Amount | None
    difference: float | None = None
    standard_error: float | None = None


_WRITTEN: Final = TypeAdapter[BatchRow | EpochRow](Annotated[BatchRow | EpochRow, Field(discriminator="kind")])


def as_written(row: Row | bytes) -> BatchRow | EpochRow | None:
    """A row, or the line of one; None for what this app would not have written there."""
    try:
        return _WRITTEN.validate_python(from_json(row) if isinstance(row, bytes) else row)
    except ValueError:  # of both
        return None


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    with files.disk_errors(path), path.open("ab") as file:
        file.write(_as_line(row))


def read_rows(path: Path) -> list[Row]:
    """All whole rows; a torn line is skipped, a missing file has none. Raises ``DiskError``."""
    return _parse_rows(_lines(_read(path)))


def check(path: Path, *, ended: bool) -> None:
    """Raise ``DamagedFileError`` if a line is not a whole row; a torn last one is damage once the run has ended."""
    text = _read(path)
    lines = _lines(text if ended else text[: text.rfind(b"\n") + 1])
    if damaged := len(lines) - len(_parse_rows(lines)):
        raise skipped(path, damaged, len(lines))


def skipped(path: Path, damaged: int, rows: int) -> DamagedFileError:
    return DamagedFileError(path, counted(damaged, _ROW_SKIPPED, _ROWS_SKIPPED, rows=rows))


def _read(path: Path) -> bytes:
    return files.read_bytes(path) if path.exists() else b""


def _lines(text: bytes) -> list[bytes]:
    return text.removesuffix(b"\n").split(b"\n") if text else []


def read_epochs(path: Path) -> list[Row]:
    """The rows of ended epochs alone, read again only when the file has changed. Raises ``DiskError``."""
    return _epochs.get(path, stamp(path), lambda: _parse_epochs(_read(path)))


def _parse_epochs(text: bytes) -> list[Row]:
    """Skip the rows of batches, a hundred times as many, without splitting them off, which takes twice as long."""
    begin, lines = 0, []
    while begin < len(text):
        end = text.find(b"\n", begin) + 1 or len(text)
        if not text.startswith(_BATCH_ROW, begin):
            lines.append(text[begin:end])
        begin = end
    return [row for row in _parse_rows(lines) if row["kind"] == "epoch"]


class Follower:
    """Read what was appended to one file since the last time; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarts = 0  # how often it had to begin again, because the file was replaced or cut
        self.damaged = 0  # lines that are no whole row and were skipped
        self.torn = False  # whether anything follows the last whole line: a row being written, or cut off by a kill
        self._inode, self._offset, self._end = 0, 0, b""

    def new_rows(self) -> Iterator[list[Row]]:
        """Whole rows since the last time (after a restart all); a torn one waits for its end. Raises ``DiskError``."""
        with files.disk_errors(self.path):
            try:
                file = files.open_to_read(self.path)
            except FileNotFoundError:
                self._begin(0)
                return
            with file:
                if not self._goes_on(file):
                    self._begin(os.fstat(file.fileno()).st_ino)
                file.seek(self._offset)
                while piece := file.read(_PIECE):
                    piece += b"" if piece.endswith(b"\n") else file.readline()
                    whole = piece[: piece.rfind(b"\n") + 1]
                    self._offset += len(whole)
                    self._end = (self._end + whole)[-_REMEMBERED:]
                    lines = whole.split(b"\n")[:-1]
                    rows = _parse_rows(lines)
                    self.damaged += len(lines) - len(rows)
                    yield rows
                    if len(whole) < len(piece):
                        break  # the rest of that line may be there by now, and is read from its beginning the next time
                self.torn = file.tell() > self._offset

    def _goes_on(self, file: BinaryIO) -> bool:
        """Whether the last bytes that were read, which hold a time, are still in place."""
        found = os.fstat(file.fileno())
        if found.st_ino != self._inode or found.st_size < self._offset:
            return False
        file.seek(self._offset - len(self._end))
        return file.read(len(self._end)) == self._end

    def _begin(self, inode: int) -> None:
        self.restarts += self._offset > 0
        self._inode, self._offset, self._end, self.damaged = inode, 0, b"", 0


def _parse_rows(lines: Sequence[bytes]) -> list[Row]:
    """Parse all lines at once, which is faster; if one of them is no plain row, each by itself."""
    found: list[Any] = []
    joined = b"\n,".join(lines)
    if _is_object_a_line(joined, len(lines)):
        with suppress(ValueError):
            found = from_json(b"[" + joined + b"]")
    if len(found) != len(lines):
        found = []
        for line in lines:
            with suppress(ValueError):
                found.append(from_json(line))
    typed = ((row, _KEYS.get(str(row.get("kind")))) for row in found if isinstance(row, dict))
    return [row for row, needed in typed if needed and needed <= row.keys()]


def _is_object_a_line(joined: bytes, count: int) -> bool:
    """Whether each line begins and ends an object and has no other brace: together they are as many objects, or no
    JSON. Lines that are none by themselves could else be taken for rows that nobody has checked.
    """
    is_framed = joined.startswith(b"{") and joined.endswith(b"}") and joined.count(b"}\n,{") == count - 1
    return is_framed and joined.count(b"{") == joined.count(b"}") == count


def rewind(path: Path, epoch: int, batch: int) -> None:
    """Drop what was written at or after this position, so that training from it leaves each batch once."""
    kept = []
    for row in read_rows(path):
        row.pop("crc32", None)
        if row["kind"] == "batch" and row["epoch"] == epoch:
            first = row["batch"] - len(row["losses"]) + 1
            row["losses"] = row["losses"][: max(0, batch - first)]
            row["batch"] = first + len(row["losses"]) - 1
            keep = bool(row["losses"])
        else:
            keep = row["epoch"] < epoch
        if keep:
            kept.append(_as_line(row))
    files.write_bytes(path, b"".join(kept))


def _as_line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"
