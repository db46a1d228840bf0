"""``metrics.jsonl``: rows appended by the one writer, read by anyone at any time.

A batch row holds the losses of all batches since the last one, so that a few rows a second keep every batch:
``{"kind": "batch", "epoch", "batch", "losses": [...], "images_per_second", "time"}``, where ``batch`` is the last of
them. An epoch row ends an epoch:
``{"kind": "epoch", "epoch", "loss", "accuracy", "train_loss", "seconds", "samples_per_second", "time"}``.

Each row ends with a checksum of its line, which readers take away; a row that it does not fit is passed over.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from fashion_core import files
from fashion_core.errors import DamagedFileError

Row = dict[str, Any]
_PIECE: Final = 1 << 22  # bytes read at a time
_REMEMBERED: Final = 128  # bytes
_CHECKSUM: Final = b', "crc32": '
_BATCH_ROW: Final = b'{"kind": "batch"'
_KEYS = {
    "batch": {"epoch", "batch", "losses"},
    "epoch": {"epoch", "loss", "accuracy", "train_loss", "seconds", "samples_per_second"},
}


def append_row(path: Path, row: Mapping[str, Any], *, durable: bool = False) -> None:
    """Add one row. Raises ``DiskError``."""
    with files.disk_errors(path), path.open("ab") as file:
        file.write(_as_line(row))
        if durable:
            file.flush()
            os.fsync(file.fileno())


def read_rows(path: Path) -> list[Row]:
    """All whole rows; a torn line is passed over, a missing file has none. Raises ``DiskError``."""
    lines = _read(path).split(b"\n")
    return _parse_rows(lines if lines[-1] else lines[:-1])


def _read(path: Path) -> bytes:
    return files.read_bytes(path) if path.exists() else b""


def check(path: Path, *, ended: bool) -> None:
    """Raise ``DamagedFileError`` if a line is not a whole row; a torn last one is damage once nobody writes any more.

    Raises ``DiskError``.
    """
    *lines, torn = _read(path).split(b"\n")
    if ended and torn:
        lines.append(torn)
    damaged = len(lines) - len(_parse_rows(lines))
    if damaged:
        raise DamagedFileError(path, f"{damaged:,} of its {len(lines):,} rows can't be read and are passed over")


def read_epochs(path: Path) -> list[Row]:
    """The rows of ended epochs alone: a long run has a hundred times as many of batches. Raises ``DiskError``."""
    lines = list(_lines_without(_BATCH_ROW, _read(path)))
    return [row for row in _parse_rows(lines) if row["kind"] == "epoch"]


def _lines_without(beginning: bytes, text: bytes) -> Iterator[bytes]:
    """The lines that do not begin so; the others are only skipped: reading on through them takes twice as long."""
    begin = 0
    while begin < len(text):
        end = text.find(b"\n", begin) + 1 or len(text)
        if not text.startswith(beginning, begin):
            yield text[begin:end]
        begin = end


class Follower:
    """Reads what was appended to one file since the last time; one thread at a time.

    Attributes:
        restarts: how often it had to begin anew, for the file was another one or had gone back.
        damaged: lines that are no whole row, and were passed over.
        torn: whether something stands after the last whole line: the writer is at it, or was when it ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarts = self.damaged = 0
        self.torn = False
        self._inode, self._offset, self._end = 0, 0, b""

    def new_rows(self) -> Iterator[list[Row]]:
        """The whole rows since the last time, in lists of a few megabytes; a torn end waits for its rest.

        After a restart these are all rows. Raises ``DiskError``.
        """
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
        """Whether what was read still stands there: the last bytes of it, with their times, do."""
        found = os.fstat(file.fileno())
        if found.st_ino != self._inode or found.st_size < self._offset:
            return False
        file.seek(self._offset - len(self._end))
        return file.read(len(self._end)) == self._end

    def _begin(self, inode: int) -> None:
        self.restarts += self._offset > 0
        self._inode, self._offset, self._end, self.damaged = inode, 0, b"", 0


def _parse_rows(lines: Sequence[bytes]) -> list[Row]:
    """The whole rows of these, all at once; where one is torn, each by itself."""
    found = []
    with suppress(ValueError):
        found = from_json(b"[" + b",".join(lines) + b"]")
    if len(found) != len(lines):
        return [row for row in map(_parse_row, lines) if row is not None]
    return [row for row, line in zip(found, lines, strict=True) if _is_row(row, line)]


def _parse_row(line: bytes) -> Row | None:
    row = None
    with suppress(ValueError):
        row = from_json(line)
    return row if _is_row(row, line) else None


def _is_row(row: Any, line: bytes) -> bool:
    """Whether it is whole; its checksum is taken away. A row that people wrote by hand needs none."""
    keys = _KEYS.get(str(row.get("kind"))) if isinstance(row, dict) else None
    if keys is None or not keys <= row.keys():
        return False
    return "crc32" not in row or row.pop("crc32") == zlib.crc32(line.rpartition(_CHECKSUM)[0])


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
    return b"".join(map(_as_line, rows))


def _as_line(row: Mapping[str, Any]) -> bytes:
    text = json.dumps(row).encode().removesuffix(b"}")
    return b"%b%b%d}\n" % (text, _CHECKSUM, zlib.crc32(text))
