"""The small JSON files of a run, checked against their schema."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fashion_core import files
from fashion_core.cache import MOST_RUNS, FileCache
from fashion_core.config import explain
from fashion_core.errors import DamagedFileError

Record = TypeVar("Record", bound=BaseModel)
_records: FileCache[BaseModel] = FileCache(5 * MOST_RUNS)


def read_record(path: Path | str, kind: type[Record]) -> Record:
    """Read and check at once, which takes half the time; what that does not take is read step by step to say why.

    Raises ``DamagedFileError`` or ``DiskError``.
    """
    data = files.without_checksum(path, files.read_bytes(path))
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return _read_slowly(Path(path), data, kind)


def _read_slowly(path: Path, data: bytes, kind: type[Record]) -> Record:
    try:
        return kind.model_validate(files.as_json(path, data))
    except ValidationError as error:
        raise DamagedFileError(path, explain(error).rstrip(".")) from error


def kept_record(path: Path, kind: type[Record]) -> Record:
    """What ``read_record`` gives, read again only when the file has changed. Raises the same."""
    value = _records.get(path, (path,), lambda: read_record(path, kind))
    assert isinstance(value, kind)
    return value
