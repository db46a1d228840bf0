"""Parquet files as Hugging Face writes image sets: a column of pictures and one of labels, read some rows at a time.

Format of the metadata: ``datasets.Features.to_dict`` in https://github.com/huggingface/datasets
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_core import files
from fashion_core.data.image_files import MOST_BYTES
from fashion_core.data.report import Finding
from fashion_core.data.sources.base import HALF_OF_NAME, SAMPLED, VALIDATION, Half, Item, Numbers, Source, spread
from fashion_core.data.sources.classes import check_images, numbered
from fashion_core.errors import DataError, ImageError, printable

_MOST_ROWS: Final = 32  # at once: each may be a large photo
_MOST_BYTES_AT_ONCE: Final = 512 << 20
_BUFFER_BYTES: Final = 1 << 20  # of a file that are read at once: not all of a row group
_MOST_ROW_GROUP_BYTES: Final = 2 << 30
_LABELS: Final = ("label", "labels", "fine_label", "class", "target")
_HALF = re.compile(rf"(^|[-_./])({'|'.join(HALF_OF_NAME)})(?=[-_./])", re.IGNORECASE)
_LEFT_OUT = Finding(kind="left out", text="The validation images are left out: only training and test images are used.")
_NO_PICTURE: Final = "It holds no picture, only perhaps a path to one."
_FORM: Final = "a column of pictures (bytes, or a struct with bytes and path) and a column of labels (whole numbers)"


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    names: tuple[str, ...]  # of the classes, by their labels


@dataclass(frozen=True)
class _Part:
    name: str
    half: Half | None
    file: Any
    columns: _Columns
    labels: Numbers


@contextmanager
def opened(where: Path, paths: Sequence[str]) -> Iterator[Source]:
    """The source in these files of the folder ``where``. Raises ``DataError`` or ``DiskError``."""
    halves, left_out = _halves(paths)
    with ExitStack() as stack:
        parts = [_part(stack, where / path, path, half) for path, half in halves.items()]
        check_images(sum(len(part.labels) for part in parts))
        if len({part.columns.names for part in parts}) > 1:
            raise DataError(f"The Parquet files in {where} have different class names: give those of one set.")
        classes, values = numbered((part.labels for part in parts), parts[0].columns.names)

        def items() -> Iterator[Item]:
            for part in parts:
                yield from _items(part, values, list(range(part.file.num_row_groups)))

        def sample() -> Iterator[Item]:
            for part in parts[:: max(1, len(parts) // 10)]:
                yield from _sampled(part, values, max(1, SAMPLED // min(10, len(parts))))

        name = paths[0] if len(paths) == 1 else where.name
        count = sum(len(part.labels) for part in parts)
        yield Source(f"Parquet, {name}", classes, count, items, sample, left_out)


def _halves(paths: Sequence[str]) -> tuple[dict[str, Half | None], tuple[Finding, ...]]:
    """The side of each file, by its name or that of a folder, where there are both; else None, to split by bytes."""
    words = {path: ([match[2].lower() for match in _HALF.finditer(path)] or [""])[-1] for path in paths}
    halves = {path: HALF_OF_NAME.get(word) for path, word in words.items()}
    if set(halves.values()) == {None, "train", "test"}:
        unclear = next(path for path, half in halves.items() if half is None)
        raise DataError(f"{printable(unclear)} should have train or test in its name, as the files beside it do.")
    if set(halves.values()) != {"train", "test"}:
        return dict.fromkeys(paths), ()
    if any(half == "test" and words[path] not in VALIDATION for path, half in halves.items()):
        used = {path: half for path, half in halves.items() if words[path] not in VALIDATION}
        return used, (_LEFT_OUT,) if len(used) < len(paths) else ()
    return halves, ()


def _part(stack: ExitStack, path: Path, name: str, half: Half | None) -> _Part:
    with files.disk_errors(path):
        handle = stack.enter_context(files.open_to_read(path))
    with _damage(name):
        file = pq.ParquetFile(handle, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        _check_sizes(name, file)
        columns = _columns(name, file.schema_arrow)
        found = file.read(columns=[columns.label]).column(0)
        if found.null_count:
            raise DataError(f"{name} has images without a label: leave them out.")
    return _Part(name, half, file, columns, found.to_numpy().astype(np.int64))


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """Turn what pyarrow raises about a file into a ``DataError``."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        first = printable(str(error).partition("\n")[0].rstrip("."))
        raise DataError(f"{name} is damaged or no Parquet file ({first}): make or fetch it again.") from error


def _check_sizes(name: str, file: Any) -> None:
    check_images(file.metadata.num_rows)
    groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
    if any(group.total_byte_size > _MOST_ROW_GROUP_BYTES for group in groups):
        raise DataError(f"{name} has row groups of more than 2 GiB: write it with smaller ones.")


def _columns(name: str, schema: Any) -> _Columns:
    features = _features(schema)
    images = [field.name for field in schema if _holds_pictures(field.type)]
    images = [key for key in images if _kind(features, key) == "Image"] or images
    labels = [field.name for field in schema if pa.types.is_integer(field.type)]
    labels = [key for key in labels if _kind(features, key) == "ClassLabel"] or labels
    labels = [key for key in _LABELS if key in labels] or labels
    if not images or not labels:
        raise DataError(f"{name} should have {_FORM}; it has {printable(', '.join(schema.names))}.")
    names = features.get(labels[0], {}).get("names") or ()
    return _Columns(images[0], labels[0], tuple(map(str, names)) if isinstance(names, list) else ())


def _holds_pictures(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face says about each column; nothing where it says nothing that can be read."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {str(key): value for key, value in found.items() if isinstance(value, dict)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _kind(features: dict[str, Any], key: str) -> object:
    return features.get(key, {}).get("_type")


def _items(part: _Part, values: Numbers, groups: list[int]) -> Iterator[Item]:
    starts = np.cumsum(
        [0, *(part.file.metadata.row_group(group).num_rows for group in range(part.file.num_row_groups))]
    )
    for group in groups:
        first, end = starts[group : group + 2].tolist()
        labels = np.searchsorted(values, part.labels[first:end]).tolist()
        with _damage(part.name):
            for row, (label, picture) in enumerate(zip(labels, _pictures(part, group), strict=True), first):
                yield Item(f"{part.name} row {row}", part.half, label, picture)


def _pictures(part: _Part, group: int) -> Iterator[bytes | ImageError]:
    rows, columns = _rows_at_once(part, group), [part.columns.image]
    for batch in part.file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
        column = batch.column(0)
        cells = column.field("bytes") if pa.types.is_struct(column.type) else column
        for cell in cells:
            data = cell.as_buffer()
            yield ImageError(_NO_PICTURE) if data is None else data[: MOST_BYTES + 1].to_pybytes()


def _rows_at_once(part: _Part, group: int) -> int:
    """So few that they fit if each is all of its row group: many rows may share one large value."""
    size: int = part.file.metadata.row_group(group).total_byte_size
    return max(1, min(_MOST_ROWS, _MOST_BYTES_AT_ONCE // max(1, size)))


def _sampled(part: _Part, values: Numbers, count: int) -> Iterator[Item]:
    """The first images of row groups all over the file."""
    groups = spread(part.file.num_row_groups, 10)
    for group in groups:
        found = _items(part, values, [group])
        for _, item in zip(range(max(1, count // len(groups))), found, strict=False):
            yield item
