"""Resumed runs as tidy DataFrames: what the comparison and the curves beside it show."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

import pandas as pd

from fashion_core.errors import DiskError
from fashion_core.resume.comparison import NOISE, Compared, LossNow, relative_change
from fashion_core.resume.labels import SAME, cut_middle, percent, unique_labels
from fashion_core.runs import metrics
from fashion_core.runs.live import thin_out
from fashion_core.runs.schema import ACTIVE_STATES
from fashion_core.runs.store import RunStore

_Point = tuple[int, float]
Losses = Mapping[str, list[_Point]]
Sort = Literal["lineage", "change", "loss now", "newest"]
SORTS: Final[tuple[Sort, ...]] = ("lineage", "change", "loss now", "newest")

COMPARED_COLUMNS: Final = (
    "run", "name", "label", "changed", "parent", "parent_name", "epoch", "group", "gate", "low", "high", "loss_now",
    "now_epoch", "change", "percent", "answer", "state", "verdict", "parent_exists",
)  # fmt: skip
BRANCH_COLUMNS: Final = ("run", "name", "epoch", "loss", "role", "answer")

_NAME_LENGTH: Final = 22
_POINTS: Final = 1500  # of all resumed curves together, more than a chart has pixels for
_CURVE_POINTS: Final = 200
_FEWEST_POINTS: Final = 12
_ORDERS: Final[Mapping[Sort, tuple[list[str], bool]]] = {
    "lineage": (["parent", "epoch", "run"], True),
    "change": (["change", "run"], True),
    "loss now": (["loss_now", "run"], True),
    "newest": (["run"], False),
}


def compared_frame(rows: Sequence[Compared], latest: bool, sort: Sort) -> pd.DataFrame:
    """A row a resumed run that has ended an epoch: ``COMPARED_COLUMNS``.

    The rows of a checkpoint stay together, under its heading ``group``; checkpoints stand in the order of their first
    row. The ``label`` of a run that still trains ends in "…"; ``changed`` says all that its ``label`` may cut short.
    ``low`` and ``high`` are what the gate would be moved to by chance, twice the standard error of this run's own
    paired differences; ``change`` is a share of the gate, ``percent`` the same as text.
    """
    labels = unique_labels((row.run, (row.parent, row.epoch), row.changes) for row in rows)
    groups = _groups(rows)
    nows = [(row, now) for row in rows if (now := row.now(latest))]
    found = [_compared_row(row, now, labels[row.run], groups[row.parent, row.epoch]) for row, now in nows]
    return _sorted(pd.DataFrame(found, columns=list(COMPARED_COLUMNS)), sort)


def _compared_row(row: Compared, now: LossNow, label: str, group: str) -> dict[str, Any]:
    same = ("run", "name", "parent", "parent_name", "epoch", "gate", "state", "verdict", "parent_exists")
    noise, change = NOISE * now.standard_error, relative_change(row, now)
    return {
        **{name: getattr(row, name) for name in same},
        "label": f"{label} …" if row.state in ACTIVE_STATES else label,
        "changed": ", ".join(row.overrides) or SAME,
        "group": group,
        "low": row.gate - noise,
        "high": row.gate + noise,
        "loss_now": now.loss,
        "now_epoch": now.epoch,
        "change": change,
        "percent": percent(change),
        "answer": now.answer,
    }


def _sorted(frame: pd.DataFrame, sort: Sort) -> pd.DataFrame:
    by, ascending = _ORDERS[sort]
    ordered = frame.sort_values(by, ascending=ascending)
    rank = {group: index for index, group in enumerate(dict.fromkeys(ordered["group"]))}
    return ordered.sort_values("group", key=lambda groups: groups.map(rank), kind="stable", ignore_index=True)


def _parent_names(rows: Iterable[Compared]) -> dict[str, str]:
    """A short name a parent; parents of one name are told apart by the end of their ids."""
    names = {row.parent: cut_middle(row.parent_name, _NAME_LENGTH) for row in rows}
    often = Counter(names.values())
    return {run: name if often[name] == 1 else f"{name} {run[-4:]}" for run, name in names.items()}


def _groups(rows: Sequence[Compared]) -> dict[tuple[str, int], str]:
    """A heading a checkpoint."""
    names = _parent_names(rows)
    return {
        (row.parent, row.epoch): f"{names[row.parent]} · epoch {row.epoch}{'' if row.parent_exists else ' · deleted'}"
        for row in rows
    }


def losses_of(store: RunStore, rows: Sequence[Compared]) -> Losses:
    """The test loss of each epoch of these runs and of their parents; none where they can't be read."""
    return {run: _losses(store, run) for run in dict.fromkeys(run for row in rows for run in (row.parent, row.run))}


def branches_frame(rows: Sequence[Compared], losses: Losses, latest: bool = True) -> pd.DataFrame:
    """The losses of resumed runs and of their parents, a row an epoch: ``BRANCH_COLUMNS``.

    A resumed run's curve (role "resumed") begins with the gate, at its checkpoint's epoch; a parent's (role "parent")
    has no answer. A parent that was itself resumed has one curve, the resumed one; a deleted parent has none. Long
    curves are thinned to 200 points, those of very many resumed runs to fewer.
    """
    ended = {row.run: (row, now) for row in rows if (now := row.now(latest))}
    names = _parent_names(rows)
    points: list[tuple[Any, ...]] = []
    for run in dict.fromkeys(row.parent for row, _ in ended.values() if row.parent not in ended):
        points += [(run, names[run], *point, "parent", None) for point in _thinned(losses[run], _CURVE_POINTS)]
    most = max(_FEWEST_POINTS, min(_CURVE_POINTS, _POINTS // max(len(ended), 1)))
    for run, (row, now) in ended.items():
        curve = [(row.epoch, row.gate), *losses[run]]
        points += [(run, row.name, *point, "resumed", now.answer) for point in _thinned(curve, most)]
    return pd.DataFrame(points, columns=list(BRANCH_COLUMNS)).astype({"epoch": "int64", "loss": "float64"})


def _losses(store: RunStore, run: str) -> list[_Point]:
    with suppress(DiskError):
        return [(row["epoch"], row["loss"]) for row in metrics.read_epochs(store.at(run).metrics_path)]
    return []


def _thinned(points: list[_Point], most: int) -> list[_Point]:
    if len(points) <= most:
        return points
    frame = thin_out(pd.DataFrame(points, columns=["epoch", "loss"]), most, x="epoch")
    return list(frame.itertuples(index=False, name=None))
