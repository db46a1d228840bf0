"""Resumed runs as tidy DataFrames: what the comparison and the curves beside it show."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Final, Literal

import pandas as pd

from fashion_core.cache import MOST_RUNS, Cache, stamp
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.resume.comparison import NOISE, Compared, LossNow, relative_change
from fashion_core.resume.labels import SAME, cut_middle, loss_text, percent, unique_labels
from fashion_core.runs import metrics
from fashion_core.runs.live import thin_out
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, RunRecord
from fashion_core.runs.store import RunStore, epoch_records

_Point = tuple[int, float]
Losses = Mapping[str, list[_Point]]
Sort = Literal["lineage", "change", "loss now", "newest"]
SORTS: Final[tuple[Sort, ...]] = ("lineage", "change", "loss now", "newest")

COMPARED_COLUMNS: Final = (
    "run", "name", "label", "changed", "parent", "parent_name", "epoch", "group", "loss_last", "low", "high",
    "loss_now", "now_epoch", "change", "percent", "answer", "state", "verdict", "parent_exists",
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
    ``low`` and ``high`` are where chance alone would move ``loss_last`` to, twice the standard error of this run's own
    paired differences; ``change`` is a share of ``loss_last``, ``percent`` the same as text.
    """
    labels = unique_labels((row.run, (row.parent, row.epoch), row.changes) for row in rows)
    groups = _groups(rows)
    nows = [(row, now) for row in rows if (now := row.now(latest))]
    found = [_compared_row(row, now, labels[row.run], groups[row.parent, row.epoch]) for row, now in nows]
    return _sorted(pd.DataFrame(found, columns=list(COMPARED_COLUMNS)), sort)


def _compared_row(row: Compared, now: LossNow, label: str, group: str) -> dict[str, Any]:
    same = ("run", "name", "parent", "parent_name", "epoch", "loss_last", "state", "verdict", "parent_exists")
    noise, change = NOISE * now.standard_error, relative_change(row, now)
    return {
        **{name: getattr(row, name) for name in same},
        "label": f"{label} …" if row.state in ACTIVE_STATES else label,
        "changed": ", ".join(row.overrides) or SAME,
        "group": group,
        "low": row.loss_last - noise,
        "high": row.loss_last + noise,
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
    """A short name a parent; parents with the same name get the end of their ids."""
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

    A resumed run's curve (role "resumed") begins with ``loss_last``, at its checkpoint's epoch; a parent's curve
    (role "parent") has no answer. A parent that was itself resumed has one curve, the resumed one; a deleted parent
    has none. Long curves are thinned to 200 points, those of very many resumed runs to fewer.
    """
    ended = {row.run: (row, now) for row in rows if (now := row.now(latest))}
    names = _parent_names(rows)
    points: list[tuple[Any, ...]] = []
    for run in dict.fromkeys(row.parent for row, _ in ended.values() if row.parent not in ended):
        points += [(run, names[run], *point, "parent", None) for point in _thinned(losses[run], _CURVE_POINTS)]
    most = max(_FEWEST_POINTS, min(_CURVE_POINTS, _POINTS // max(len(ended), 1)))
    for run, (row, now) in ended.items():
        curve = [(row.epoch, row.loss_last), *losses[run]]
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


DOT_COLUMNS: Final = ("run", "name", "epoch", "loss", "saved", "best", "lane", "tree", "heading", "label")
LINK_COLUMNS: Final = ("run", "epoch", "lane", "next_epoch", "next_lane", "tree")
MOST_DOTS: Final = 100
"""The most dots of one lane that can be distinguished on a wide screen."""

MOST_LANES: Final = 100
"""That many fill two or three screens."""

_HEADING_LENGTH: Final = 40


@dataclass(frozen=True)
class _Dot:
    epoch: int
    loss: float
    saved: bool


@dataclass(frozen=True)
class _Lane:
    run: str
    name: str
    record: RunRecord
    dots: tuple[_Dot, ...]

    @property
    def parent(self) -> str | None:
        return self.record.parent.run if self.record.parent else None

    @cached_property
    def lowest(self) -> _Dot | None:
        """The saved checkpoint with the lowest loss."""
        known = (dot for dot in self.dots if dot.saved and math.isfinite(dot.loss))
        return min(known, key=lambda dot: dot.loss, default=None)

    @property
    def branched(self) -> int:
        """The epoch that it was resumed from; −1 if it was not resumed."""
        return self.record.first_epoch - 1


@dataclass(frozen=True)
class Placed:
    """A run in the tree: its lane from the top, its tree, and whether it begins that."""

    lane: _Lane
    number: int
    tree: int
    root: bool


_lanes: Cache[_Lane | None] = Cache(MOST_RUNS)


def lineage_frame(store: RunStore) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every run that has ended an epoch: ``DOT_COLUMNS``, a row an epoch, and ``LINK_COLUMNS``, a row a resumed run.

    Below a run come those resumed from it, from later epochs first, so that no link crosses another. A run that was
    not resumed, was imported or has lost its parent begins a ``tree``, the newest first; it has a ``heading`` at its
    first dot. Every run has a ``label`` at its last. ``saved`` is False once the checkpoint was deleted, ``best`` marks
    the lowest loss of those that are saved. Of a long run ``MOST_DOTS`` are drawn, with its best and all that were
    resumed. Damaged runs are skipped. Raises ``DiskError``.
    """
    lanes = list(_placed(_lanes_of(store)))
    return _frames(lanes, lanes)


def lineage_parts(store: RunStore) -> list[list[Placed]]:
    """The lanes of ``lineage_frame``, divided between trees so that a part has at most ``MOST_LANES``, or one tree.

    Raises ``DiskError``.
    """
    parts: list[list[Placed]] = []
    for _, tree in groupby(_placed(_lanes_of(store)), key=lambda place: place.tree):
        lanes = list(tree)
        if not parts or len(parts[-1]) + len(lanes) > MOST_LANES:
            parts.append([])
        parts[-1] += lanes
    return parts


def part_frames(parts: Sequence[Sequence[Placed]], number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What ``lineage_frame`` gives, of one part alone."""
    return _frames(parts[number], [place for part in parts for place in part])


def _lanes_of(store: RunStore) -> list[_Lane]:
    return [lane for run in store.runs() if (lane := _lane_of(run))]


def _frames(shown: Sequence[Placed], placed: Sequence[Placed]) -> tuple[pd.DataFrame, pd.DataFrame]:
    labels = unique_labels(_changed(place.lane for place in shown))
    branched = defaultdict(set)
    for place in shown:
        branched[place.lane.parent].add(place.lane.branched)
    lowest = ((place.lane.run, dot) for place in placed if (dot := place.lane.lowest))
    best = min(lowest, key=lambda found: found[1].loss, default=None)
    dots = [dot for place in shown for dot in _dots(place, labels, branched[place.lane.run], best)]
    return pd.DataFrame(dots, columns=list(DOT_COLUMNS)), pd.DataFrame(_links(shown), columns=list(LINK_COLUMNS))


def _lane_of(run: Run) -> _Lane | None:
    read_from = (run.record_path, run.labels_path, run.metrics_path, run.checkpoint_folder)
    return _lanes.get(run.path, stamp(*read_from), lambda: _read(run))


def _read(run: Run) -> _Lane | None:
    with suppress(DamagedFileError, DiskError):
        dots = tuple(_dot(record) for record in epoch_records(run))
        return _Lane(run.id, run.title, run.record, dots) if dots else None
    return None


def _dot(record: dict[str, Any]) -> _Dot:
    loss = math.nan if record["loss"] is None else record["loss"]
    return _Dot(record["epoch"], loss, record["checkpoint"] is not None)


def _placed(lanes: Sequence[_Lane]) -> Iterator[Placed]:
    """From the top down. What waits is taken from its end: the newest root, the latest epoch, its first resumed run."""
    known = {lane.run for lane in lanes}
    children: dict[str | None, list[_Lane]] = defaultdict(list)
    for lane in lanes:
        children[lane.parent if lane.parent in known else None].append(lane)
    waiting = [(lane, True) for lane in sorted(children[None], key=lambda lane: lane.run)]
    number, tree = 0, -1
    while waiting:
        lane, root = waiting.pop()
        tree += root
        yield Placed(lane, number, tree, root)
        number += 1
        by_age = sorted(children[lane.run], key=lambda lane: lane.run, reverse=True)
        waiting += [(child, False) for child in sorted(by_age, key=lambda lane: lane.branched)]


def _changed(lanes: Iterable[_Lane]) -> Iterator[tuple[str, Any, Any]]:
    for lane in lanes:
        if lane.record.resumption:
            yield lane.run, (lane.parent, lane.branched), lane.record.resumption.changes


def _dots(
    place: Placed, labels: dict[str, str], branched: set[int], best: tuple[str, _Dot] | None
) -> Iterator[tuple[Any, ...]]:
    lane = place.lane
    shown = _shown(lane, branched)
    for index, dot in enumerate(shown):
        heading = _heading(place) if index == 0 and place.root else ""
        label = _label(labels.get(lane.run, ""), dot.loss) if index == len(shown) - 1 else ""
        is_best = (lane.run, dot) == best
        yield lane.run, lane.name, dot.epoch, dot.loss, dot.saved, is_best, place.number, place.tree, heading, label


def _heading(place: Placed) -> str:
    name = cut_middle(place.lane.name, _HEADING_LENGTH)
    return f"{name} · its parent was deleted" if place.lane.parent else name


def _label(change: str, loss: float) -> str:
    return f"{change} {loss_text(loss)}".strip() if math.isfinite(loss) else change


def _shown(lane: _Lane, branched: set[int]) -> list[_Dot]:
    dots = lane.dots
    step = -(-len(dots) // MOST_DOTS)
    ends = (dots[-1], lane.lowest)
    return [dot for index, dot in enumerate(dots) if index % step == 0 or dot in ends or dot.epoch in branched]


def _links(placed: Sequence[Placed]) -> Iterator[tuple[Any, ...]]:
    lanes = {place.lane.run: place.number for place in placed}
    for place in placed:
        if not place.root:
            lane = place.lane
            yield lane.run, lane.branched, lanes[str(lane.parent)], lane.dots[0].epoch, place.number, place.tree
