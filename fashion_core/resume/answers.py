"""Did resuming help, in sentences; runs that differ in nothing but the seed answer together, by their mean.

Losses of different datasets can't be compared: ``comparison.by_dataset`` comes before.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from fashion_core.errors import counted, printable
from fashion_core.resume import reasons, texts
from fashion_core.resume.comparison import Answer, Compared, relative_change
from fashion_core.resume.labels import interval_text, percent, points
from fashion_core.resume.repeats import OverSeeds, over_seeds, seeds_text
from fashion_core.runs.schema import ACTIVE_STATES, UNDER_WAY_STATES, State


@dataclass(frozen=True)
class Answered:
    """What one resume says: its run, or those of its seeds that have ended the newest epoch of their group."""

    row: Compared  # the first of them
    loss: float  # loss_now, or its mean
    change: float  # of that loss as a share of ``loss_last``
    answer: Answer
    over_seeds: OverSeeds | None = None  # the change; None of fewer than two seeds
    others: tuple[State, ...] = ()  # the seeds that have not ended that epoch

    @property
    def seeds(self) -> str:
        """How many seeds it is the mean of, as text."""
        count = self.over_seeds.seeds if self.over_seeds else 1
        return seeds_text(count, self.row.repeat.seeds if self.row.repeat else count, self.others)


def answered(rows: Sequence[Compared], latest: bool = True) -> list[Answered]:
    """The answer of each resume that has ended an epoch; runs that changed dataset have none."""
    groups: dict[tuple[str | int, str], list[Compared]] = defaultdict(list)
    for number, row in enumerate(rows):
        if not row.transferred:
            groups[row.seed_group or number, row.dataset].append(row)
    return [found for group in groups.values() if (found := _answered(group, latest))]


def _answered(group: Sequence[Compared], latest: bool) -> Answered | None:
    nows = {row.run: (row, now) for row in group if (now := row.now(latest))}
    newest = max((now.epoch for _, now in nows.values()), default=None)
    ended = {run: pair for run, pair in nows.items() if pair[1].epoch == newest}
    if not ended:
        return None
    row, now = next(iter(ended.values()))
    change = over_seeds([relative_change(*pair) for pair in ended.values()]) if row.loss_last else None
    if change is None:
        return Answered(row, now.loss, relative_change(row, now), now.answer)
    others = tuple(one.state for one in group if one.run not in ended)
    return Answered(row, fmean(now.loss for _, now in ended.values()), change.mean, _answer(change), change, others)


def _answer(change: OverSeeds) -> Answer:
    if abs(change.mean) <= change.interval:
        return "within noise"
    return "lower" if change.mean < 0 else "higher"


def sentence(rows: Sequence[Compared], latest: bool = True) -> str:
    """The answer to "did resuming help?" on one dataset in a few sentences; runs that changed theirs do not count."""
    same, found = [row for row in rows if not row.transferred], answered(rows, latest)
    parts = [_answers(found)] if found else [texts.NO_EPOCH_ENDED] if same else []
    if any(one.over_seeds for one in found):
        parts.append(texts.SEEDS_COUNT_ONCE)
    if alone := sum(not one.over_seeds and one.answer in ("lower", "higher") for one in found):
        parts.append(counted(alone, texts.ONE_SEED_ONE, texts.ONE_SEED_MANY))
    if here := sum(not one.row.check.comparable for one in found):
        parts.append(counted(here, texts.MEASURED_HERE_ONE, texts.MEASURED_HERE_MANY))
    if apart := len(rows) - len(same):
        parts.append(counted(apart, texts.OTHER_DATASET_ONE, texts.OTHER_DATASET_MANY))
    if ended := sum(row.latest is None and row.state not in UNDER_WAY_STATES for row in rows):
        parts.append(texts.ENDED_WITHOUT_EPOCH.format(count=ended))
    if training := sum(row.state in ACTIVE_STATES for row in rows):
        parts.append(texts.STILL_TRAINING.format(count=training))
    return " ".join(parts)


def _answers(found: Sequence[Answered]) -> str:
    lower, higher = (sum(one.answer == answer for one in found) for answer in ("lower", "higher"))
    best = min(found, key=lambda one: one.loss)
    name = texts.MEAN_OF.format(seeds=best.seeds, changes=_changes(best.row)) if best.over_seeds else best.row.name
    return counted(
        len(found),
        texts.ANSWERS_ONE,
        texts.ANSWERS_MANY,
        lower=lower,
        noise=len(found) - lower - higher,
        higher=higher,
        change=percent(median(one.change for one in found)),
        loss=best.loss,
        name=printable(name),
        parent=printable(best.row.parent_name),
        epoch=best.row.epoch,
    )


def answers_over_seeds(rows: Sequence[Compared], latest: bool = True) -> list[str]:
    """The answer of each repeated resume in a sentence, which says where one seed could not have given it."""
    return [_answer_over_seeds(one, one.over_seeds) for one in answered(rows, latest) if one.over_seeds]


def _answer_over_seeds(found: Answered, change: OverSeeds) -> str:
    told: texts.Told = "beyond luck"
    if found.answer == "within noise":
        told = "too few"
    elif abs(change.mean) <= change.luck:
        told = "within luck"
    return texts.OVER_SEEDS[told].format(
        parent=printable(found.row.parent_name),
        epoch=found.row.epoch,
        changes=_changes(found.row),
        mean=percent(change.mean),
        interval=interval_text(change.mean, change.interval),
        luck=points(change.luck),
        seeds=found.seeds,
    )


def _changes(row: Compared) -> str:
    """What its seeds have changed alike."""
    others = [reasons.describe(name, one) for name, one in row.changes.items() if name != "seed"]
    return ", ".join(others) or texts.SAME_SETTINGS
