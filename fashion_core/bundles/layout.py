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
ARCHIVE: Final = Kind("this app", "any bundle", "", MAX_MEMBERS, directory_bytes=16 << 20)

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


def epoch_of(name: str) -> int | None:
    """The epoch whose checkpoint a file is, by its path below the run folder."""
    found = _EPOCH.fullmatch(name)
    return int(found[1]) if found else None


def is_saved_file(name: str) -> bool:
    return name in FORMATS or epoch_of(name) is not None


def is_info(name: str) -> bool:
    return name.endswith(".json") and is_saved_file(name.removesuffix(".json"))


def most_bytes(name: str) -> int | None:
    """How large a file of a run may be; 0 if no run has one of that name, None for a model of any size."""
    if is_saved_file(name):
        return None
    if name in RECORDS or is_info(name):
        return MAX_RECORD_BYTES
    return MAX_TEXT_BYTES if name in _TEXTS else 0
