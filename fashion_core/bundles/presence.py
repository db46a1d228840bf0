"""What a store has of a run that a bundle holds, whose name, notes and tags people may change."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from pydantic_core import from_json

from fashion_core.bundles import layout
from fashion_core.bundles.check import LONGEST_LINE, NO_ROW, Records
from fashion_core.bundles.read import Bundle
from fashion_core.errors import DamagedFileError, DiskError, RefusedFileError
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import FileInfo
from fashion_core.runs.store import RunStore

Presence = Literal["new", "there", "more", "other"]  # "more": the bundle has more of it than the store
_LOSSES: Final = ("loss", "accuracy", "train_loss")


class Beside(NamedTuple):
    presence: Presence
    why: str = ""


def beside(store: RunStore, bundle: Bundle, found: Records) -> Beside:
    """How a run of a bundle stands beside the one of the same id. Raises ``RefusedFileError``."""
    if not store.has(found.record.id):
        return Beside("new")
    run = store.at(found.record.id)
    try:
        if why := _difference(run, bundle, found):
            return Beside("other", why)
        here = {run.name_of(file): run.file_info(file) for file in run.saved_files()}
    except (DamagedFileError, DiskError) as error:
        return Beside("other", f"what is here can't be read: {error}".rstrip("."))
    more = [name for name, info in found.infos.items() if not _has(here, name, info)]
    return Beside("more", f"such as its {more[0]}") if more else Beside("there")


def _difference(run: Run, bundle: Bundle, found: Records) -> str:
    """In what they can't be the same run, at whatever epoch; empty if they can. Raises ``DamagedFileError``."""
    if run.record != found.record:
        return "it was asked for other settings"
    both = {name: info for name, info in found.infos.items() if run.info_path(run.path / name).exists()}
    for name, info in both.items():
        if name != layout.PARTIAL and run.file_info(run.path / name) != info:
            return f"its {name} is another one here"
    here = {row["epoch"]: _losses(row) for row in metrics.read_epochs(run.metrics_path)}
    saved = {layout.epoch_of(name) for name in both}
    for epoch, losses in _epochs(bundle, run.id):
        if epoch in saved and here.get(epoch) != losses:
            return f"its losses of epoch {epoch} are others here"
    return ""


def _has(here: Mapping[str, FileInfo | None], name: str, info: FileInfo) -> bool:
    """Whether what is here is as far as this file: a position inside an epoch is moved on, and goes with the epoch."""
    there = here.get(name)
    if name != layout.PARTIAL:
        return there is not None
    is_passed = any(epoch is not None and epoch >= info.epoch for epoch in map(layout.epoch_of, here))
    return is_passed or (there is not None and there.created >= info.created)


def _epochs(bundle: Bundle, run_id: str) -> Iterator[tuple[int, tuple[object, ...]]]:
    """The losses of each epoch that has ended there; what is no row, ``check`` refuses before anything is kept."""
    member, rest = bundle.members[run_id].get(layout.METRICS), b""
    for chunk in bundle.chunks(member) if member else ():
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise RefusedFileError(NO_ROW.format(run=run_id))
        for line in lines:
            if line.startswith(b'{"kind": "epoch"'):
                row = _row(line)
                if row and isinstance(row.get("epoch"), int):
                    yield row["epoch"], _losses(row)


def _row(line: bytes) -> metrics.Row | None:
    try:
        row = from_json(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _losses(row: metrics.Row) -> tuple[object, ...]:
    return tuple(row.get(name) for name in _LOSSES)
