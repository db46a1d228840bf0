"""Did resuming help: each resumed run's loss beside the loss of the checkpoint that it came from.

Losses of different datasets can't be compared: ``by_dataset`` comes before anything is counted, ranked or drawn.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from fashion_core.cache import MOST_RUNS, Cache, identity, stamp
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.resume import reasons, texts
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import (
    UNDER_WAY_STATES,
    Change,
    LoadCheck,
    Repeat,
    State,
    VerdictKind,
)
from fashion_core.runs.store import RunStore

Answer = Literal["lower", "same as the parent", "within noise", "higher"]
Outline = tuple[tuple[str, str, State, str, bool, int | None], ...]  # what ``outline`` looks at
NOISE = 2.0  # standard errors of the paired differences that count as noise: about a 95 % interval


@dataclass(frozen=True)
class LossNow:
    """A resumed run's loss after one of its epochs."""

    epoch: int
    loss: float
    difference: float  # the mean change of the loss over the test images since right after loading
    standard_error: float  # of that mean: the images are the same, so their differences are paired
    overridden: bool = True  # whether the run was resumed with other settings

    @property
    def answer(self) -> Answer:
        """Whether the change is larger than twice its standard error."""
        if abs(self.difference) <= NOISE * self.standard_error:
            return "within noise" if self.overridden or self.difference else "same as the parent"
        return "lower" if self.difference < 0 else "higher"


def loss_last_of(check: LoadCheck) -> float:
    """The stored loss of the checkpoint, or that measured after loading if the stored one means other images."""
    return check.loss_last if check.comparable and check.loss_last is not None else check.loss_check


@dataclass(frozen=True)
class Compared:
    """One resumed run; ``first`` and ``latest`` are None until its first epoch has ended."""

    run: str
    name: str
    state: State
    dataset: str  # ``RunRecord.images``
    parent: str
    parent_name: str  # as it is now; of a deleted parent, as it was when the run was resumed
    parent_exists: bool
    epoch: int
    check: LoadCheck
    first: LossNow | None
    latest: LossNow | None
    verdict: VerdictKind
    overrides: tuple[str, ...]  # ``changes`` as phrases
    changes: Mapping[str, Change]
    repeat: Repeat | None = None

    def now(self, latest: bool) -> LossNow | None:
        return self.latest if latest else self.first

    @property
    def loss_last(self) -> float:
        return loss_last_of(self.check)

    @property
    def seed_group(self) -> str | None:
        return self.repeat.group if self.repeat else None

    @property
    def changed_dataset(self) -> bool:
        """Whether its checkpoint was trained on other images: a lower loss says that these became known to it."""
        return "dataset" in self.changes

    @property
    def transferred(self) -> bool:
        """Whether its checkpoint is one of another dataset, model or source: their losses can't be compared."""
        return self.changed_dataset or "model" in self.changes or self.verdict == "transfer"

    def said(self, now: LossNow) -> str:
        """The answer as people read it, beside which stands whether it counts."""
        return now.answer + (texts.NOT_COUNTED if self.transferred else "")


_rows: Cache[Compared | None] = Cache(MOST_RUNS)
_outlines: Cache[Outline] = Cache(8)


def compare(store: RunStore) -> list[Compared]:
    """Those of the ``newest`` runs that were resumed and whose checkpoint was loaded, by parent, epoch and age.

    No twins. Raises ``DiskError``.
    """
    ids, found = {*store.ids()}, []
    for run in store.newest():
        with suppress(DamagedFileError, DiskError):  # the list of runs says what is wrong with it
            if run.record.twin_of is None and (row := _compare_one(run)):
                found.append(_beside_parent(store, row, row.parent in ids))
    return sorted(found, key=lambda row: (row.parent, row.epoch, row.run))


def by_dataset(rows: Sequence[Compared]) -> dict[str, list[Compared]]:
    """The rows of each dataset, by its images."""
    return {name: [row for row in rows if row.dataset == name] for name in sorted({row.dataset for row in rows})}


def compare_run(store: RunStore, run: Run, epochs: Sequence[metrics.Row] | None = None) -> Compared | None:
    """The row of one run, if it was resumed and its checkpoint was loaded.

    Pass the rows of its ended ``epochs`` if they have been read. Raises ``DamagedFileError`` or ``DiskError``.
    """
    row = _compare_one(run) if epochs is None else _row(run, epochs)
    return row and _beside_parent(store, row, store.has(row.parent))


def _beside_parent(store: RunStore, row: Compared, parent_exists: bool) -> Compared:
    """The row with the parent's current name; that of a deleted parent stays as it was when the run was resumed."""
    if not parent_exists:
        return replace(row, parent_exists=False)
    name = store.at(row.parent).title
    return row if row.parent_name == name else replace(row, parent_name=name)


def _compare_one(run: Run) -> Compared | None:
    if run.record.parent is None:
        return None
    read_from = (run.load_check_path, run.record_path, run.labels_path, run.metrics_path)
    row = _rows.get(run.path, stamp(*read_from), lambda: _row(run, metrics.read_epochs(run.metrics_path)))
    state = run.state()
    return row if row is None or row.state == state else replace(row, state=state)


def _row(run: Run, epochs: Sequence[metrics.Row]) -> Compared | None:
    """The row of a run, as if its parent were still there under its old name."""
    parent, resumption = run.record.parent, run.record.resumption
    if parent is None or resumption is None or (check := run.load_check) is None:
        return None
    overrides = tuple(reasons.describe(name, change) for name, change in resumption.changes.items())
    measured = [
        LossNow(row["epoch"], row["loss"], row["difference"], row["standard_error"], bool(overrides))
        for row in epochs
        if "difference" in row
    ]
    return Compared(
        run=run.id,
        name=run.labels.name,
        state=run.state(),
        dataset=run.record.images,
        parent=parent.run,
        parent_name=resumption.parent_name,
        parent_exists=True,
        epoch=parent.epoch,
        check=check,
        first=measured[0] if measured else None,
        latest=measured[-1] if measured else None,
        verdict=resumption.verdict,
        overrides=overrides,
        changes=resumption.changes,
        repeat=run.record.repeat,
    )


def outline(rows: Sequence[Compared]) -> Outline:
    """A comparable key that changes whenever the rows do; without losses, because a NaN does not equal itself."""
    return tuple(
        (row.run, row.name, row.state, row.parent_name, row.parent_exists, row.latest.epoch if row.latest else None)
        for row in rows
    )


def current_outline(store: RunStore) -> Outline:
    """The outline of ``compare``, which is asked again only once a run has moved on. Raises ``DiskError``."""
    return _outlines.get(store.root, list(_progress(store)), lambda: outline(compare(store)))


def _progress(store: RunStore) -> Iterator[tuple[object, ...]]:
    """Equal for as long as the rows are: a run that has ended writes losses again only after another status."""
    for run in store.newest():
        with suppress(DamagedFileError, DiskError):
            state = run.state()
            written = (run.load_check_path, run.metrics_path) if state in UNDER_WAY_STATES else (run.status_path,)
            yield run.id, state, *map(identity, (run.labels_path, *written))


_RECORDED = (
    "run", "name", "state", "dataset", "changed_dataset", "transferred", "parent", "parent_name", "parent_exists",
    "epoch",
)  # fmt: skip


def as_record(row: Compared) -> dict[str, object]:
    """The row as ``compare --json`` prints it; ``standard_error`` is that of the latest paired difference."""
    latest = row.latest
    return {
        **{name: getattr(row, name) for name in _RECORDED},
        "loss_last": row.check.loss_last,
        "loss_check": row.check.loss_check,
        "loss_check_standard_error": row.check.standard_error,
        "loss_now_first": row.first and row.first.loss,
        "loss_now_latest": latest and latest.loss,
        "latest_epoch": latest and latest.epoch,
        "difference": latest and latest.difference,
        "standard_error": latest and latest.standard_error,
        "answer": latest and row.said(latest),
        "verdict": row.verdict,
        "overrides": list(row.overrides),
        "repeat": row.repeat and row.repeat.model_dump(),
    }


def relative_change(row: Compared, now: LossNow) -> float:
    """The change of the loss as a share of ``loss_last``; infinite from a loss of 0 to any other."""
    if row.loss_last == 0:
        return math.inf if now.loss else 0.0
    return now.loss / row.loss_last - 1
