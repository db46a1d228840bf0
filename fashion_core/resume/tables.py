"""Resumed runs as tidy DataFrames: what the comparison and the curves beside it show."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple

import pandas as pd

from fashion_core.cache import MOST_RUNS, Cache, stamp
from fashion_core.config import TrainConfig
from fashion_core.data.description import images_label
from fashion_core.errors import DamagedFileError, DiskError, cut_middle
from fashion_core.resume import texts
from fashion_core.resume.comparison import NOISE, Compared, LossNow, relative_change
from fashion_core.resume.labels import loss_text, percent, unique_labels
from fashion_core.resume.repeats import over_seeds, runs_beside, seeds_text
from fashion_core.runs import metrics
from fashion_core.runs.loss_curve import RunMetrics, thin_out
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.schema import ACTIVE_STATES, Change
from fashion_core.runs.store import RunStore

_Point = tuple[int, float]
Losses = Mapping[str, list[_Point]]
Sort = Literal["lineage", "change", "loss now", "newest"]

COMPARED_COLUMNS: Final = (
    "run", "name", "label", "changed", "parent", "parent_name", "epoch", "group", "loss_last", "low", "high",
    "loss_now", "now_epoch", "change", "percent", "answer", "state", "verdict", "parent_exists",
)  # fmt: skip
BRANCH_COLUMNS: Final = ("run", "name", "parent", "epoch", "loss", "role", "answer")

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
    """One row per resumed run of one dataset that has ended an epoch: ``COMPARED_COLUMNS``.

    The rows of a checkpoint stay together, under its heading ``group``; checkpoints stand in the order of their first
    row. Runs of other images, pixels or another model than their checkpoint have a heading of their own, because
    their ``loss_last`` is another. The ``label`` of a run that still trains ends in "…"; ``changed`` gives in full
    what its ``label`` may cut. ``low`` and ``high`` bound the noise around ``loss_last``: twice the standard error of
    this run's own paired differences; ``change`` is a share of ``loss_last``, ``percent`` the same as text;
    ``answer`` says of a run on another dataset or model than its checkpoint that it is not counted.
    """
    labels = unique_labels((row.run, (row.parent, row.epoch), row.changes) for row in rows)
    names = _parent_names(rows)
    nows = [(row, now) for row in rows if (now := row.now(latest))]
    found = [_compared_row(row, now, labels[row.run], names[row.parent]) for row, now in nows]
    by, ascending = _ORDERS[sort]
    ordered = pd.DataFrame(found, columns=list(COMPARED_COLUMNS)).sort_values(by, ascending=ascending)
    return ordered.sort_values("group", key=lambda groups: pd.factorize(groups)[0], kind="stable", ignore_index=True)


def _compared_row(row: Compared, now: LossNow, label: str, parent: str) -> dict[str, Any]:
    same = ("run", "name", "parent", "parent_name", "epoch", "loss_last", "state", "verdict", "parent_exists")
    noise, change = NOISE * now.standard_error, relative_change(row, now)
    return {
        **{name: getattr(row, name) for name in same},
        "label": f"{label} …" if row.state in ACTIVE_STATES else label,
        "changed": ", ".join(row.overrides) or texts.SAME_SETTINGS,
        "group": _heading(row, parent),
        "low": row.loss_last - noise,
        "high": row.loss_last + noise,
        "loss_now": now.loss,
        "now_epoch": now.epoch,
        "change": change,
        "percent": percent(change),
        "answer": row.said(now),
    }


def _heading(row: Compared, parent: str) -> str:
    parts = [parent, texts.EPOCH.format(epoch=row.epoch)]
    if dataset := row.changes.get("dataset"):
        parts.append(texts.FROM.format(origin=images_label(str(dataset.before))))
    if model := row.changes.get("model"):
        parts.append(texts.FROM.format(origin=model.before))
    if row.transferred and not (dataset or model):
        parts.append(texts.OTHER_SOURCE)
    if pixels := row.changes.get("pixels"):
        parts.append(texts.PIXELS.format(pixels=pixels.after))
    return " · ".join(parts if row.parent_exists else [*parts, texts.DELETED])


def _parent_names(rows: Iterable[Compared]) -> dict[str, str]:
    """One short name per parent; parents with the same name get the end of their ids."""
    names = {row.parent: cut_middle(row.parent_name, _NAME_LENGTH) for row in rows}
    often = Counter(names.values())
    return {run: name if often[name] == 1 else f"{name} {run[-4:]}" for run, name in names.items()}


def losses_of(store: RunStore, rows: Sequence[Compared]) -> Losses:
    """The test loss of each epoch of these runs and of their parents; none where they can't be read."""
    losses: dict[str, list[_Point]] = {run: [] for row in rows for run in (row.parent, row.run)}
    for run, points in losses.items():
        with suppress(DiskError):
            points += [(row["epoch"], row["loss"]) for row in metrics.read_epochs(store.at(run).metrics_path)]
    return losses


def branches_frame(rows: Sequence[Compared], losses: Losses, latest: bool = True) -> pd.DataFrame:
    """The losses of resumed runs of one dataset and of their parents on it, one row per epoch: ``BRANCH_COLUMNS``.

    A resumed run's curve (role "resumed") begins with ``loss_last``, at its checkpoint's epoch; a parent's curve
    (role "parent") has neither an answer nor a ``parent``. A parent that was itself resumed has one curve, the resumed
    one; a deleted parent has none. Long curves are thinned to 200 points, those of very many resumed runs to fewer.
    """
    ended = {row.run: (row, now) for row in rows if (now := row.now(latest))}
    names = _parent_names(rows)
    points: list[tuple[Any, ...]] = []
    same = (row.parent for row, _ in ended.values() if not row.transferred)
    for run in dict.fromkeys(parent for parent in same if parent not in ended):
        points += [(run, names[run], None, *point, "parent", None) for point in _thinned(losses[run], _CURVE_POINTS)]
    most = max(_FEWEST_POINTS, min(_CURVE_POINTS, _POINTS // max(len(ended), 1)))
    for run, (row, now) in ended.items():
        curve = [(row.epoch, row.loss_last), *losses[run]]
        points += [(run, row.name, row.parent, *point, "resumed", row.said(now)) for point in _thinned(curve, most)]
    return pd.DataFrame(points, columns=list(BRANCH_COLUMNS)).astype({"epoch": "int64", "loss": "float64"})


def _thinned(points: list[_Point], most: int) -> list[_Point]:
    if len(points) <= most:
        return points
    frame = thin_out(pd.DataFrame(points, columns=["epoch", "loss"]), most, x="epoch")
    return list(frame.itertuples(index=False, name=None))


DOT_COLUMNS: Final = ("run", "name", "dataset", "epoch", "loss", "saved", "best", "lane", "tree", "heading", "label")
LINK_COLUMNS: Final = ("run", "epoch", "lane", "next_epoch", "next_lane", "tree")
MOST_DOTS: Final = 100  # of one lane: more can't be distinguished on a wide screen
MOST_LANES: Final = 100  # of one page: they fill two or three screens
_HEADING_LENGTH: Final = 40


class _Dot(NamedTuple):
    epoch: int
    loss: float
    saved: bool


@dataclass(frozen=True)
class Lane:
    run: str
    name: str
    dataset: str
    parent: str | None
    branched: int  # the epoch that it was resumed from; −1 if it was not resumed
    changes: Mapping[str, Change] | None
    is_transfer: bool
    dots: tuple[_Dot, ...]
    lowest: _Dot | None  # of the saved ones, if their dataset is known


Tree = list[Lane]  # from the top down
_lanes: Cache[Lane | None] = Cache(MOST_RUNS)


def lineage_parts(store: RunStore, runs: Sequence[Run] | None = None) -> list[list[Tree]]:
    """These ``runs``, else the ``newest``, that have ended an epoch and those they came from, divided between trees: a
    part has at most ``MOST_LANES`` of them, or one tree.

    Below a run come those resumed from it, from later epochs first, so that no link crosses another. A run that was
    not resumed, was imported or has lost its parent begins a tree, the newest first. Damaged runs are skipped.
    Raises ``DiskError``.
    """
    lanes: dict[str, Lane | None] = {}
    for run_id in (waiting := [run.id for run in (store.newest() if runs is None else runs)]):
        if run_id not in lanes:
            lanes[run_id] = lane = _lane(store.at(run_id))
            waiting += [lane.parent] if lane and lane.parent else []
    parts: list[list[Tree]] = []
    for tree in _trees([lane for _, lane in sorted(lanes.items(), reverse=True) if lane]):
        if not parts or sum(map(len, parts[-1])) + len(tree) > MOST_LANES:
            parts.append([])
        parts[-1].append(tree)
    return parts


def _lane(run: Run) -> Lane | None:
    read_from = stamp(run.record_path, run.labels_path, run.metrics_path, run.checkpoint_folder)
    return _lanes.get(run.path, read_from, partial(_read, run))


def _read(run: Run) -> Lane | None:
    with suppress(DamagedFileError, DiskError):
        record = run.record
        dots = tuple(
            _Dot(row["epoch"], math.nan if row["loss"] is None else row["loss"], row["checkpoint"] is not None)
            for row in epoch_records(run)
        )
        known = (dot for dot in dots if dot.saved and math.isfinite(dot.loss))
        lowest = min(known, key=lambda dot: dot.loss, default=None)
        if dots:
            parent = record.parent.run if record.parent else None
            changes = record.resumption.changes if record.resumption else None
            dataset = images_label(record.images)
            if "dataset" not in record.trained_on:
                dataset, lowest = texts.ASSUMED_DATASET.format(dataset=dataset), None
            branched, is_transfer = record.first_epoch - 1, record.is_transfer
            return Lane(run.id, run.title, dataset, parent, branched, changes, is_transfer, dots, lowest)
    return None


def _trees(lanes: Sequence[Lane]) -> Iterator[Tree]:
    """Place runs, the newest first, from the top down: the newest root, the latest epoch, its first resumed run."""
    known = {lane.run for lane in lanes}
    children: dict[str | None, list[Lane]] = defaultdict(list)
    for lane in lanes:
        children[lane.parent if lane.parent in known else None].append(lane)
    for root in children[None]:
        tree: Tree = []
        waiting = [root]  # a stack
        while waiting:
            tree.append(waiting.pop())
            waiting += sorted(children[tree[-1].run], key=lambda lane: lane.branched)
        yield tree


def part_frames(parts: Sequence[Sequence[Tree]], number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of one part: ``DOT_COLUMNS``, one row per epoch, and ``LINK_COLUMNS``, one per resumed run.

    A ``tree`` has a ``heading`` at its first dot, every run a ``label`` at its last. ``saved`` is False once the
    checkpoint was deleted, ``best`` marks the lowest loss on each ``dataset`` of those that are saved, in all parts.
    Of a long run ``MOST_DOTS`` are drawn, with its best and all that were resumed.
    """
    trees, lanes = list(chain.from_iterable(parts)), list(chain.from_iterable(parts[number]))
    best = _best_runs(chain.from_iterable(trees))
    resumed = ((lane.run, (lane.parent, lane.branched), lane.changes) for lane in lanes if lane.changes is not None)
    labels = unique_labels(resumed)
    branched = defaultdict(set)
    for lane in lanes:
        branched[lane.parent].add(lane.branched)
    tree_of = {lane.run: place for place, tree in enumerate(trees) for lane in tree}
    places = {run: (number, tree) for number, (run, tree) in enumerate(tree_of.items())}  # lane and tree, from the top
    dots: list[tuple[Any, ...]] = []
    for lane in lanes:
        change = labels.get(lane.run, "")
        change = texts.TRANSFER.format(change=change) if lane.is_transfer else change
        is_root, is_best = lane.parent not in places, lane.run in best
        dots += _dots(lane, places[lane.run], is_root, change, branched[lane.run], is_best)
    links = [
        (lane.run, lane.branched, places[lane.parent][0], lane.dots[0].epoch, *places[lane.run])
        for lane in lanes
        if lane.parent in places
    ]
    return pd.DataFrame(dots, columns=list(DOT_COLUMNS)), pd.DataFrame(links, columns=list(LINK_COLUMNS))


def _best_runs(lanes: Iterable[Lane]) -> set[str]:
    """The run with the lowest loss on each dataset."""
    lowest = ((lane.lowest.loss, lane) for lane in lanes if lane.lowest)
    return set({lane.dataset: lane.run for _, lane in sorted(lowest, key=itemgetter(0), reverse=True)}.values())


def _dots(
    lane: Lane, place: tuple[int, int], is_root: bool, change: str, branched: set[int], is_best: bool
) -> Iterator[tuple[Any, ...]]:
    step, ends = -(-len(lane.dots) // MOST_DOTS), (lane.dots[-1], lane.lowest)
    shown = [dot for n, dot in enumerate(lane.dots) if n % step == 0 or dot in ends or dot.epoch in branched]
    name, last = cut_middle(lane.name, _HEADING_LENGTH), lane.dots[-1].loss
    heading = " · ".join([name, lane.dataset, *([texts.PARENT_DELETED] if lane.parent else [])])
    label = f"{change} {loss_text(last) if math.isfinite(last) else ''}".strip()
    for dot in shown:
        at_first = heading if is_root and dot is shown[0] else ""
        at_last = label if dot is shown[-1] else ""
        yield lane.run, lane.name, lane.dataset, *dot, is_best and dot == lane.lowest, *place, at_first, at_last


SEED_COLUMNS: Final = (
    "epoch", "step", "seeds", "loss", "loss_interval", "loss_luck", "accuracy", "accuracy_interval",
)  # fmt: skip


def seeds_frame(runs: Sequence[Sequence[metrics.Row]], config: TrainConfig, first_epoch: int) -> pd.DataFrame:
    """What the runs of one group say together, one row per epoch that at least two seeds have ended: ``SEED_COLUMNS``.

    ``runs`` has the rows of the ended epochs of each. ``step`` is where the epoch ends, as in ``epochs_frame``. The
    means ``loss`` and ``accuracy`` have half of their 95 % intervals and the luck of the seed as in ``OverSeeds``.
    """
    by_epoch: dict[int, list[metrics.Row]] = defaultdict(list)
    for row in chain.from_iterable(runs):
        by_epoch[row["epoch"]].append(row)
    found = []
    for epoch, rows in sorted(by_epoch.items()):
        loss, accuracy = (over_seeds([row[number] for row in rows]) for number in ("loss", "accuracy"))
        if loss and accuracy:
            step = (epoch + 1 - first_epoch) * config.batches_per_epoch
            means = (loss.mean, loss.interval, loss.luck, accuracy.mean, accuracy.interval)
            found.append((epoch, step, loss.seeds, *means))
    return pd.DataFrame(found, columns=list(SEED_COLUMNS))


def seeds_beside(store: RunStore, run: Run, found: RunMetrics) -> pd.DataFrame | None:
    """``seeds_frame`` of a run and those beside it; None of a run that was not repeated. Raises ``DiskError``."""
    beside = runs_beside(store, run)
    ended = [found.ended if one.id == run.id else metrics.read_epochs(one.metrics_path) for one in beside]
    return seeds_frame(ended, run.record.config, run.record.first_epoch) if beside else None


def last_losses_over_seeds(runs: pd.DataFrame) -> "pd.Series[str]":
    """The mean of the ``last_loss`` of each group of ``runs_frame`` and its 95 % interval, as text in the row of each
    run of it; none where fewer than two have finished, and none of runs on different datasets. The lowest loss of each
    would be lower by the luck of choosing it on the test images.
    """
    repeated = runs[runs["repeat"].notna()]
    groups = repeated.groupby(["repeat", "dataset"]) if len(repeated) else ()  # a thousand runs may have none
    means = {key: _mean_text(group) for key, group in groups}
    keys = zip(repeated["repeat"], repeated["dataset"], strict=True)
    told = pd.Series([means.get(key, "") for key in keys], index=repeated.index, dtype="str")
    return told.reindex(runs.index, fill_value="")


def _mean_text(group: pd.DataFrame) -> str:
    finished = group["state"] == "finished"
    loss = over_seeds(list(group.loc[finished, "last_loss"]))
    if loss is None:
        return ""
    seeds = seeds_text(loss.seeds, int(group["started"].iloc[0]), group.loc[~finished, "state"])
    return texts.MEAN_OVER_SEEDS.format(mean=loss_text(loss.mean, 4), interval=loss.interval, seeds=seeds)
