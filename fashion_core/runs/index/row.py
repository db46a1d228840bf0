"""One run as lists show it, read from its folder."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.runs import metrics
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.schema import RunRecord, epoch_text

IMPORTED = "imported"  # in ``epochs``
DAMAGED = "damaged"  # in ``state``
_CURVE_POINTS = 30  # as many as can be told apart in a cell
_NOT_ASKED = {"name"}  # of the settings: it decides no bit


class Row(NamedTuple):
    """The columns of ``tables.runs_frame``, and by what else a run is looked up; each is text, a number or None."""

    id: str
    name: str
    state: str  # as ``status.json`` says: "running" may mean lost
    error: str | None = None
    dataset: str | None = None
    model: str | None = None
    epochs: str | None = None
    last_epoch: int | None = None
    last_loss: float | None = None
    best_loss: float | None = None
    accuracy: float | None = None
    created: int | None = None  # microseconds since 1970
    parent: str | None = None
    parent_epoch: int | None = None
    tags: list[str] | None = None
    notes: str | None = None
    curve: list[float] | None = None
    repeat: str | None = None
    started: int | None = None
    group: str | None = None  # of runs that were resumed together
    asked: str | None = None  # equal for runs that were asked for the same
    ended: list[float | None] | None = None  # loss and accuracy after the last epoch, of an import too


FIELDS: Final = tuple(Row.__annotations__)


def read_row(run: Run) -> Row:
    """What its files say now; of a damaged run what is wrong with it."""
    try:
        return _read_row(run)
    except (DamagedFileError, DiskError) as error:
        return Row(run.id, run.id, DAMAGED, str(error))


def _read_row(run: Run) -> Row:
    record, labels, status = run.record, run.labels, run.status
    epochs = [] if record.source else metrics.read_epochs(run.metrics_path)
    ended: Sequence[Mapping[str, Any]] = epoch_records(run) if record.source else epochs
    last = epochs[-1] if epochs else {"epoch": None, "loss": None}
    parent, repeat, resumption = record.parent, record.repeat, record.resumption
    return Row(
        id=run.id,
        name=labels.name,
        state=status.state,
        error=status.error,
        dataset=record.images,
        model=record.config.model,
        epochs=IMPORTED if record.source else epoch_text(last["epoch"], record.span),
        last_epoch=last["epoch"],
        last_loss=last["loss"],
        **_best(ended if "dataset" in record.trained_on else ()),
        created=round(record.created.timestamp() * 1e6),
        parent=parent.run if parent else None,
        parent_epoch=parent.epoch if parent else None,
        tags=list(labels.tags),
        notes=labels.notes,
        curve=_curve(epochs),
        repeat=repeat.group if repeat else None,
        started=repeat.seeds if repeat else None,
        group=resumption.group if resumption else None,
        asked=_asked(record),
        ended=[ended[-1]["loss"], ended[-1]["accuracy"]] if ended else None,
    )


def _best(epochs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    measured = [epoch for epoch in epochs if epoch["loss"] is not None]
    best: Mapping[str, Any] = min(measured, key=lambda epoch: float(epoch["loss"]), default={})
    return {"best_loss": best.get("loss"), "accuracy": best.get("accuracy")}


def _curve(epochs: Sequence[Mapping[str, Any]]) -> list[float] | None:
    losses = [loss for epoch in epochs if (loss := epoch["loss"]) is not None and math.isfinite(loss)]
    return [*losses[: -1 : -(-len(losses) // _CURVE_POINTS)], losses[-1]] if len(losses) > 1 else None


def _asked(record: RunRecord) -> str:
    """A digest of all that decides the bits of a run."""
    decides = record.parent, record.environment, record.images, record.config.model_dump(exclude=_NOT_ASKED)
    others = "".join(repr(one) for one in (record.frozen, record.model_sha256) if one)  # earlier versions had neither
    return hashlib.sha256(f"{decides!r}{others}".encode()).hexdigest()[:16]
