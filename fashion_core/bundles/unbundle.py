"""Keep the runs of a bundle in a store: all that are not there yet, or none.

They are unpacked where nobody lists them, checked, made durable, and appear by one rename each, parents before those
resumed from them. An error takes all of that back. What a kill between two renames leaves is whole: each run that has
appeared, and its parent; the same bundle once more brings the others.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fashion_core import files
from fashion_core.bundles import check, layout, presence
from fashion_core.bundles.check import Records
from fashion_core.bundles.presence import Beside, Presence
from fashion_core.bundles.read import Bundle, opened
from fashion_core.data.description import images_here, images_label
from fashion_core.errors import DamagedFileError, DataError, DiskError, RefusedFileError, RunStateError, counted
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.store import UNBUNDLED, RunStore

Progress = Callable[[int, int], object]
_SYNCED_AT_ONCE: Final = 8  # a disk writes its journal once for several
_OTHER: Final = "Run {run} is in this store already and differs ({why}): nothing was kept. Delete one of the two first."
_OTHERS: Final = (
    "{count:,} runs are in this store already and differ, such as {run} ({why}): nothing was kept. Bundle without "
    "them, or delete those here first."
)


@dataclass(frozen=True)
class Found:
    """One run of a bundle, beside what the store has of it."""

    id: str
    name: str
    state: str
    model: str
    dataset: str  # what people call it
    has_dataset: bool  # whether the same images are here
    parent: str | None
    checkpoints: int
    bytes: int
    presence: Presence
    why: str = ""  # what differs from the run of the same id, or what that lacks


@dataclass(frozen=True)
class Unbundled:
    made: tuple[str, ...]
    there: tuple[str, ...]
    more: dict[str, str]  # those that were there with less than the bundle has, and what they lack


def preview(store: RunStore, path: Path) -> list[Found]:
    """What is in a bundle, by its records alone. Raises ``RefusedFileError``, ``DiskError``."""
    with opened(path) as bundle:
        return [_found(store, bundle, run_id, found) for run_id, found in _checked(store, bundle).items()]


def unbundle(store: RunStore, path: Path, progress: Progress = lambda done, total: None) -> Unbundled:
    """Keep all of its runs that are not there yet; those that are stay as they are, even where the bundle has more.

    Raises ``RefusedFileError``, ``RunStateError`` if a run of the same id has other content, ``DiskError``; then none
    is kept.
    """
    with opened(path) as bundle:
        found = _checked(store, bundle)
        besides = _compared(store, bundle, found)
        if fresh := _fresh(besides):
            _check_space(store, sum(_bytes(bundle, run_id) for run_id in fresh))
            with _folder(store) as folder:
                _unpack(bundle, folder, fresh, progress)
                for run_id in fresh:
                    check.check_files(Run(folder / run_id), found[run_id])
                _make_durable(folder)
                with queue.hold(store):
                    changed = {run_id: one for run_id, one in found.items() if store.has(run_id) == (run_id in fresh)}
                    besides |= _compared(store, bundle, changed)
                    fresh = _still_fresh(store, found, besides, fresh)
                    _place(store, folder, fresh, found)
    more = {run_id: one.why for run_id, one in besides.items() if one.presence == "more"}
    return Unbundled(tuple(fresh), tuple(run_id for run_id in found if run_id not in {*fresh, *more}), more)


def _compared(store: RunStore, bundle: Bundle, found: Mapping[str, Records]) -> dict[str, Beside]:
    """Raises ``RunStateError`` if runs of the same ids have other content."""
    besides = {run_id: presence.beside(store, bundle, one) for run_id, one in found.items()}
    others = {run_id: one.why for run_id, one in besides.items() if one.presence == "other"}
    for run_id, why in others.items():
        raise RunStateError(counted(len(others), _OTHER, _OTHERS, run=run_id, why=why))
    return besides


def _checked(store: RunStore, bundle: Bundle) -> dict[str, Records]:
    """The records of all its runs, each after its parent. Raises ``RefusedFileError``."""
    found: dict[str, Records] = {}
    for run_id in bundle.manifest.runs:
        found[run_id] = check.records(bundle, run_id)
        parent = found[run_id].record.parent
        if parent and parent.run not in found and not (parent.run in bundle.manifest.gone or store.has(parent.run)):
            raise RefusedFileError(f"run {run_id} in it was resumed from {parent.run}, which is not before it")
    _check_lineage(store, found)
    return found


def _check_lineage(store: RunStore, found: Mapping[str, Records]) -> None:
    """Raise ``RefusedFileError`` if, with the runs of the store, one would go back to itself."""
    clear = set[str]()
    for run_id in found:
        line, at = set[str](), run_id
        while at and at not in clear:
            if at in line:
                raise RefusedFileError(f"run {run_id} in it would go back to itself")
            line.add(at)
            at = _parent(store, found, at)
        clear |= line


def _parent(store: RunStore, found: Mapping[str, Records], run_id: str) -> str:
    """The run that one of the bundle or of the store was resumed from; empty if nobody knows."""
    parent = found[run_id].record.parent if run_id in found else None
    if run_id not in found and store.has(run_id):
        with suppress(DamagedFileError, DiskError):
            parent = store.at(run_id).record.parent
    return parent.run if parent else ""


def _fresh(besides: Mapping[str, Beside]) -> list[str]:
    return [run_id for run_id, one in besides.items() if one.presence == "new"]


def _still_fresh(
    store: RunStore, found: Mapping[str, Records], besides: Mapping[str, Beside], unpacked: Sequence[str]
) -> list[str]:
    """Those that nobody has brought meanwhile. Raises ``RunStateError`` if one that was there has been deleted."""
    _check_lineage(store, found)
    fresh = _fresh(besides)
    for run_id in (run_id for run_id in fresh if run_id not in unpacked):
        raise RunStateError(f"Run {run_id} has been deleted meanwhile, and nothing was kept: try again.")
    return fresh


def _found(store: RunStore, bundle: Bundle, run_id: str, found: Records) -> Found:
    record, there = found.record, presence.beside(store, bundle, found)
    return Found(
        id=run_id,
        name=found.labels.name,
        state=found.status.state,
        model=record.config.model,
        dataset=images_label(record.images),
        has_dataset=_has_images(record.config.dataset, record.images),
        parent=record.parent.run if record.parent else None,
        checkpoints=sum(layout.epoch_of(name) is not None for name in found.infos),
        bytes=_bytes(bundle, run_id),
        presence=there.presence,
        why=there.why,
    )


def _has_images(dataset: str, images: str) -> bool:
    try:
        return images_here(dataset) == images
    except (DataError, DamagedFileError, DiskError):
        return False


def _bytes(bundle: Bundle, run_id: str) -> int:
    return sum(member.bytes for member in bundle.members[run_id].values())


def _check_space(store: RunStore, needed: int) -> None:
    place = next(path for path in (store.root, *store.root.parents) if path.is_dir())
    with files.disk_errors(store.root):
        if shutil.disk_usage(place).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _folder(store: RunStore) -> Iterator[Path]:
    """A folder on the store's disk, gone after the block; a killed one ``RunStore.remove_leftovers`` removes."""
    folder = store.root / f"{files.TEMPORARY_PREFIX}{UNBUNDLED}-{secrets.token_hex(8)}"
    with files.disk_errors(store.root):
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _unpack(bundle: Bundle, folder: Path, run_ids: Sequence[str], progress: Progress) -> None:
    done, total = 0, sum(_bytes(bundle, run_id) for run_id in run_ids)
    for run_id in run_ids:
        run = Run(folder / run_id)
        run.checkpoint_folder.mkdir(parents=True)
        for name, member in bundle.members[run_id].items():
            with (run.path / name).open("xb") as file:
                for chunk in bundle.chunks(member):
                    file.write(chunk)
            done += member.bytes
            progress(done, total)
            os.utime(folder)  # or it would be old before a large bundle is unpacked


def _make_durable(folder: Path) -> None:
    """Whatever has its name after the renames survives a power cut."""
    every = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
        for _ in pool.map(files.sync_file, every):
            pass
    for path in (path for path in folder.rglob("*") if path.is_dir()):
        files.sync_folder(path)


def _place(store: RunStore, folder: Path, run_ids: Sequence[str], found: Mapping[str, Records]) -> None:
    """Let the runs appear; all disappear again if one can't. Only the holder of the queue's lock may."""
    placed, unsynced = list[str](), set[str]()
    try:
        for run_id in run_ids:
            parent = found[run_id].record.parent
            if parent and parent.run in unsynced:
                files.sync_folder(store.root)
                unsynced.clear()
            (folder / run_id).rename(store.root / run_id)
            placed.append(run_id)
            unsynced.add(run_id)
        files.sync_folder(store.root)
    except BaseException:
        for run_id in reversed(placed):
            (store.root / run_id).rename(folder / run_id)
        raise
