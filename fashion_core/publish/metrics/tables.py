"""The rows of runs as one CSV or one Parquet file, written piece by piece; times are in UTC."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from fashion_core import files
from fashion_core.publish.metrics.rows import COLUMNS, Row

_TIME: Final = COLUMNS.index("time")
_FROM_OTHERS: Final = tuple(map(COLUMNS.index, ("run", "name", "parent")))  # words, which strangers may have chosen
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PIECE: Final = 1 << 15  # rows in memory at a time


def write_csv(rows: Iterable[Row], out: Path) -> int:
    """Write the rows with a line of their names; return how many they are. Raises ``DiskError``.

    A word that a spreadsheet would take for a formula and run gets an apostrophe before it.
    """
    count = 0
    with files.creating(out) as file:
        file.write(_as_csv([COLUMNS]))
        for piece in _pieces(rows):
            file.write(_as_csv(map(_cells, piece)))
            count += len(piece)
    return count


def write_parquet(rows: Iterable[Row], out: Path) -> int:
    """Write the rows; return how many they are. Raises ``DiskError``."""
    import pyarrow as pa  # takes a while, and every command would wait for it
    import pyarrow.parquet as pq

    text, whole, real, time = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", "UTC")
    kinds = (text, text, text, whole, text, whole, whole, time, *[real] * 5)
    schema, count = pa.schema(zip(COLUMNS, kinds, strict=True)), 0
    with files.creating(out) as file, pq.ParquetWriter(_AsFile(file), schema) as writer:
        for piece in _pieces(rows):
            columns = dict(zip(COLUMNS, zip(*piece, strict=True), strict=True))
            columns["time"] = tuple(map(_utc, columns["time"]))
            writer.write_table(pa.table(columns, schema=schema))
            count += len(piece)
    return count


class _AsFile(io.RawIOBase):
    """What is being written, with what pyarrow asks of a file."""

    def __init__(self, writer: files.Writer) -> None:
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        return self._writer.write(data)


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while piece := list(islice(remaining, _PIECE)):
        yield piece


def _cells(row: Row) -> list[object]:
    cells: list[object] = [*row]
    cells[_TIME] = _utc(row.time).isoformat()
    for place in _FROM_OTHERS:
        if str(cells[place]).startswith(_FORMULA):
            cells[place] = f"'{cells[place]}"
    return cells


def _as_csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
