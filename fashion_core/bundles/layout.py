"""Which files of a run folder go into a bundle, and how large each may be; nothing else is ever read from one."""

import re
from pathlib import Path
from typing import Final

from fashion_core.formats.untrusted.zip_archive import Kind
from fashion_core.runs.index.index import ID_PATTERN
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill, Labels, LoadCheck, RunRecord, Status

FORMAT: Final = "fashion-core bundle"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
MAX_MEMBERS: Final = 50_000
MANIFEST_BYTES: Final = 400  # at most, for each member
MAX_RECORD_BYTES: Final = 1 << 20
MAX_TEXT_BYTES: Final = 256 << 20  # of a log, or of the losses of a run's batches
MAX_VALUES: Final = 20_000  # of a record, in its lists and objects
MAX_ALL_VALUES: Final = 2_000_000  # of all records of a bundle, which are held in memory together
MAX_ALL_BYTES: Final = 128 << 20
ARCHIVE: Final = Kind(
    writer="this app", what="any bundle", advice_before="", members=MAX_MEMBERS, directory_bytes=16 << 20
)

_RUN = Run(Path("run"))
ID: Final = re.compile(ID_PATTERN, re.ASCII)
_EPOCH: Final = re.compile(rf"{_RUN.checkpoint_folder.name}/(0|[1-9][0-9]{{0,8}})")
RECORD, LABELS, STATUS = _RUN.record_path.name, _RUN.labels_path.name, _RUN.status_path.name
LOADED, DRILL = _RUN.load_check_path.name, _RUN.drill_path.name
METRICS, LOG, SOURCE = _RUN.metrics_path.name, _RUN.log_path.name, _RUN.model_source_path.name
LOSSES: Final = _RUN.load_losses_path.name
PARTIAL: Final = _RUN.name_of(_RUN.partial_path)
RECORDS: Final = {RECORD: RunRecord, LABELS: Labels, STATUS: Status, LOADED: LoadCheck, DRILL: Drill}
NEEDED: Final = (RECORD, LABELS, STATUS)
_TEXTS: Final = (METRICS, LOG, SOURCE, LOSSES)
FORMATS: Final = {
    PARTIAL: "partial",
    _RUN.name_of(_RUN.weights_path): "weights",
    _RUN.name_of(_RUN.model_path): "model",
    _RUN.name_of(_RUN.original_path): None,
}
"""The saved files beside checkpoints, and what each is; the file that a run was imported from may be any."""


class Budget:
    """What the records of one bundle take together, once they are read."""

    def __init__(self) -> None:
        self._values, self._bytes = 0, 0

    def take(self, record: bytes) -> bool:
        """Whether this one fits too; told before it is parsed, which may take a hundred times its bytes."""
        values = sum(map(record.count, (b",", b"[", b"{")))
        self._values, self._bytes = self._values + values, self._bytes + len(record)
        return values <= MAX_VALUES and self._values <= MAX_ALL_VALUES and self._bytes <= MAX_ALL_BYTES


def epoch_of(name: str) -> int | None:
    """The epoch whose checkpoint a file is, by its path below the run folder."""
    found = _EPOCH.fullmatch(name)
    return int(found[1]) if found else None


def is_saved_file(name: str) -> bool:
    return name in FORMATS or epoch_of(name) is not None


def is_info(name: str) -> bool:
    return name.endswith(".json") and is_saved_file(name.removesuffix(".json"))


def is_record(name: str) -> bool:
    return name in RECORDS or is_info(name)


def belongs(name: str) -> bool:
    """Whether a run folder may hold a file of that name, and a bundle carries it."""
    return is_saved_file(name) or is_record(name) or name in _TEXTS


def is_too_large(name: str, size: int) -> bool:
    """Models may be of any size: no more than one piece of one is ever in memory."""
    return not is_saved_file(name) and size > most_bytes(name)


def most_bytes(name: str) -> int:
    return MAX_RECORD_BYTES if is_record(name) else MAX_TEXT_BYTES
