"""The store of runs: one folder a run."""

import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path

from fashion_core import __version__, files
from fashion_core.cache import MOST_RUNS
from fashion_core.config import COMMAND, TrainConfig
from fashion_core.data.description import BUILT_IN, Description, describe, resolved
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError, RunStateError
from fashion_core.runs import team_models
from fashion_core.runs.index.index import AT_ONCE, ID_PATTERN, Index, index_of
from fashion_core.runs.launchers import engines
from fashion_core.runs.run import Run
from fashion_core.runs.schema import (
    ACTIVE_STATES,
    Environment,
    Labels,
    Parent,
    Repeat,
    Resumption,
    RunRecord,
    Source,
    State,
    Status,
)

LEFTOVER_SECONDS = 3600.0  # how old a half-made or half-deleted folder is before it is removed
APP = "fashion-core"  # what the packages of a run call this app
UNBUNDLED = "unbundled"  # in the name of the folder that the runs of a bundle are unpacked in
# The folders that this app names itself: half-made and half-deleted runs, uploads, bundles, scratch folders.
_LEFTOVER = re.compile(
    rf"{re.escape(files.TEMPORARY_PREFIX)}"
    rf"({ID_PATTERN}(-[0-9a-f]{{8}})?|(upload|{UNBUNDLED})-[0-9a-f]{{16}}|{files.SCRATCH})"
)
_SHORT_ID = "No run in {root} has the id {run_id!r}; several ids begin like that: give more characters."
_UNKNOWN_ID = f"No run in {{root}} has the id {{run_id!r}}; look for it on the Overview page, or with `{COMMAND} runs`."


@lru_cache(maxsize=MOST_RUNS)
def _run_at(path: Path) -> Run:
    """Cached, because building a run's paths takes as long as reading one of its files."""
    return Run(path)


@cache
def packages_here() -> dict[str, str]:
    """The versions of this app and of the packages that a run computes with, without those that tell none."""
    found = {APP: __version__}
    for name in ("torch", "torchvision", "numpy", "pillow", "safetensors"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def epoch_number(text: str) -> int | None:
    """The epoch that an address or a command line names; None if it is no epoch."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


class RunStore:
    def __init__(self, root: Path | None = None) -> None:
        self.root = root.absolute() if root else files.path_of("FASHION_RUNS", "runs")

    def create(
        self,
        config: TrainConfig,
        environment: Environment,
        parent: Parent | None = None,
        source: Source | None = None,
        resumption: Resumption | None = None,
        repeat: Repeat | None = None,
        labels: Labels | None = None,
        twin_of: str | None = None,
        state: State = "queued",
        fill: Callable[[Run], None] = lambda draft: None,
        dataset: Description | None = None,
        frozen: tuple[str, ...] = (),
    ) -> Run:
        """Make a run folder with its first status and what ``fill`` adds.

        Its dataset is the one of that name here, unless it is described. Raises ``DiskError``, ``DataError``,
        ``ConfigError``, ``ModelError``.
        """
        if dataset is None:
            config, dataset = resolved(config), describe(config.dataset)
        team_models.check(config.model, dataset.shape)
        created = datetime.now(UTC)
        run_id = f"{created:%Y%m%d-%H%M%S}-{created.microsecond // 1000:03d}-{secrets.token_hex(2)}"
        record = RunRecord(
            id=run_id,
            created=created,
            config=config,
            parent=parent,
            environment=environment,
            packages={} if source else packages_here(),
            source=source,
            resumption=resumption,
            repeat=repeat,
            twin_of=twin_of,
            frozen=frozen,
            dataset_sha256=None if source else dataset.sha256,
            model_sha256=team_models.sha256_of(config.model, dataset.shape),
            described=None if dataset.name in BUILT_IN else dataset,
        )
        with self._drafting(run_id) as draft:
            draft.write_record(record)
            if record.model_sha256:
                files.write_bytes(
                    draft.model_source_path, team_models.source_text(config.model, dataset.shape).encode()
                )
            draft.write_labels(labels or Labels(name=config.title))
            now, launcher = files.now(), engines.launcher()
            status = Status(state=state, queued_at=now, heartbeat=now, epoch=record.first_epoch, launcher=launcher)
            draft.write_status(status)
            fill(draft)
        return Run(self.root / run_id)

    @contextmanager
    def _drafting(self, run_id: str) -> Iterator[Run]:
        """Yield a run folder that gets its name once the block has filled it, and is removed if that raises."""
        draft = Run(self.root / f"{files.TEMPORARY_PREFIX}{run_id}")
        with files.disk_errors(self.root):
            try:
                draft.checkpoint_folder.mkdir(parents=True)
                yield draft
                files.sync_folder(draft.path)
                draft.path.rename(self.root / run_id)
                files.sync_folder(self.root)
            except BaseException:
                shutil.rmtree(draft.path, ignore_errors=True)
                raise

    @property
    def index(self) -> Index:
        """What lists show of its runs, as of the last ``refresh``."""
        return index_of(self.root)

    def ids(self) -> list[str]:
        """The ids of all runs, the newest first. Raises ``DiskError``."""
        return self.index.all_ids()

    def runs(self) -> list[Run]:
        """All runs, the newest first; damaged ones too. Raises ``DiskError``."""
        return [self.at(run_id) for run_id in self.ids()]

    def newest(self) -> list[Run]:
        """As many of the newest runs as a page shows: ``AT_ONCE``. Raises ``DiskError``."""
        return [self.at(run_id) for run_id in self.ids()[:AT_ONCE]]

    def remove_leftovers(self) -> None:
        """Remove what a killed ``create`` or ``delete`` left, once it is old; never what this app has not made."""
        for path in (self.root / name for name in self.index.other_folders() if _LEFTOVER.fullmatch(name)):
            with suppress(FileNotFoundError):
                if files.now() - path.stat(follow_symlinks=False).st_mtime > LEFTOVER_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def count_on(self, dataset: str) -> int:
        """How many runs were trained on images of this name, also on those that it stood for before."""
        images = re.compile(rf"{re.escape(dataset)}(-[0-9a-f]*)?")
        self.index.refresh(whole=True, every=True)
        rows = filter(None, map(self.index.row, self.index.ids))
        return sum(bool(row.dataset and images.fullmatch(row.dataset)) for row in rows)

    def has(self, run_id: str) -> bool:
        path = self.root / run_id
        return re.fullmatch(ID_PATTERN, run_id) is not None and path.is_dir() and not path.is_symlink()

    def at(self, run_id: str) -> Run:
        """The folder of this run, whether it is there or not."""
        return _run_at(self.root / run_id)

    def get(self, run_id: str) -> Run:
        """The run with this id or unique id prefix. Raises ``RunNotFoundError``, ``DiskError``."""
        if self.has(run_id):
            run = self.at(run_id)
            run.refuse_links()
            return run
        matches = [found for found in self.ids() if run_id and found.startswith(run_id)]
        if len(matches) == 1:
            return self.get(matches[0])
        raise RunNotFoundError((_SHORT_ID if matches else _UNKNOWN_ID).format(root=self.root, run_id=run_id))

    def runs_with(self, saved: Callable[[Run], object]) -> list[Run]:
        """The ``newest`` runs with such saved files, without those whose folder can't be read."""
        found = []
        for run in self.newest():
            with suppress(DiskError):
                if saved(run):
                    found.append(run)
        return found

    def children(self, run: Run, file: Path | None = None) -> list[Run]:
        """The runs that were resumed from this run, or from one saved file of it; damaged records are passed over."""
        self.index.refresh(whole=True, statuses=True)
        epoch = run.epoch_of(file) if file else None
        return [child for child, at in self._resumed_from(run.id) if not file or at.epoch == epoch]

    def _resumed_from(self, run_id: str) -> list[tuple[Run, Parent]]:
        """By the index as it is, and with what the records of the runs say themselves."""
        parents = ((child, _parent_of(child)) for child in map(self.at, self.index.found_by(run_id)))
        return [(child, at) for child, at in parents if at and at.run == run_id]

    def resumed_from_any(self, runs: Sequence[Run]) -> list[Run]:
        """The other runs that were resumed from any of these; damaged records are passed over."""
        ids = {run.id for run in runs}
        found = {child.id: child for run in runs for child in self.children(run)}
        return [found[run_id] for run_id in sorted(found.keys() - ids, reverse=True)]

    def ancestors(self, run: Run) -> list[Parent]:
        """The checkpoints that this run goes back to, its parent's first, up to a run that is gone or damaged."""
        found: dict[str, Parent] = {}
        begun = run.id
        while (parent := _parent_of(run)) and parent.run not in (begun, *found) and self.has(parent.run):
            found[parent.run] = parent
            run = self.at(parent.run)
        return list(found.values())

    def with_ancestors(self, runs: Sequence[Run]) -> list[Run]:
        """These runs and all that they go back to, each once, parents before those resumed from them."""
        found: dict[str, Run] = {}
        for run in runs:
            above = (self.at(parent.run) for parent in reversed(self.ancestors(run)))
            found |= {one.id: one for one in (*above, run) if one.id not in found}
        return list(found.values())

    def descendants(self, run: Run) -> list[Run]:
        """The runs that were resumed from this run, then those resumed from them; damaged records are passed over."""
        self.index.refresh(whole=True, statuses=True)
        found = {run.id: run}
        for run_id in (waiting := [run.id]):
            fresh = {child.id: child for child, _ in reversed(self._resumed_from(run_id)) if child.id not in found}
            found |= fresh
            waiting += fresh
        return list(found.values())[1:]

    def expendable(self, run: Run, last: int, best: bool) -> list[int]:
        """The epochs whose checkpoints may be deleted: all but the ``last`` ones, the best one if ``best``, and those
        that other runs were resumed from. Damaged ones are neither counted nor deleted. Raises ``DiskError``.
        """
        saved = run.whole_epochs()
        kept = {*saved[max(0, len(saved) - last) :], *([run.best_epoch()] if best else []), *self._resumed_epochs(run)}
        return [epoch for epoch in saved if epoch not in kept]

    def _resumed_epochs(self, run: Run) -> set[int]:
        """The epochs that other runs were resumed from; every saved epoch if the record of any run can't be read."""
        self.index.refresh(whole=True, statuses=True)
        found = {at.epoch for _, at in self._resumed_from(run.id)}
        for other in map(self.at, self.index.damaged()):
            try:
                parent = other.record.parent
            except (DamagedFileError, DiskError) as error:
                if isinstance(error, DamagedFileError) or isinstance(error.__cause__, FileNotFoundError):
                    continue  # no run can be trained from such a record
                return set(run.epochs_saved())
            if parent and parent.run == run.id:
                found.add(parent.epoch)
        return found

    def remove_unless_resumed(self, run: Run, epoch: int) -> None:
        """Delete a checkpoint, unless a run had resumed from it before it was unlisted."""
        file = run.checkpoint_path(epoch)
        info = run.file_info(file)
        run.unlist(file)
        if info and self.children(run, file):
            run.write_info(file, info)
        else:
            run.remove_saved(file)

    def delete(self, run: Run, file: Path | None = None, *, force: bool = False) -> None:
        """Delete a run, or one saved file of it; with ``force`` even one resumed from. Raises ``RunStateError``."""
        if file and not run.info_path(file).exists():
            raise RunNotFoundError(f"Run {run.id} has no saved file {run.name_of(file)}.")
        names = ", ".join(child.id for child in self.children(run, file))
        if names and not force:
            raise RunStateError(f"{names} resumed from it; confirm the deletion (--force on the command line).")
        with run.writing(timeout=0):
            with suppress(DiskError):
                if run.state() in ACTIVE_STATES:
                    raise RunStateError(f"Run {run.id} is running; stop it first.")
            if file:
                run.remove_saved(file)
                return
            hidden = self.root / f"{files.TEMPORARY_PREFIX}{run.id}-{secrets.token_hex(4)}"
            with files.disk_errors(run.path):  # hide it for good, under a name that nothing else uses; then delete it
                run.path.rename(hidden)
                files.sync_folder(self.root)
                shutil.rmtree(hidden)


def _parent_of(run: Run) -> Parent | None:
    with suppress(DamagedFileError, DiskError):
        return run.record.parent
    return None
