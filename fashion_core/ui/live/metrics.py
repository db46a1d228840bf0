"""The metrics on the page of a run, as HTML: in a page's style, without a run of its script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from fashion_core.resume.comparison import Compared, LossNow, relative_change
from fashion_core.runs import tables
from fashion_core.runs.live import LatestMetrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import State, Status
from fashion_core.ui import common

Meaning = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Metric:
    """One number, what it gained, and what to make of it."""

    label: str
    value: str
    change: str = ""
    meaning: Meaning = "plain"
    note: str = ""

    def html(self) -> str:
        """A group of a description list."""
        change = f'<dd class="change {self.meaning}">{escape(self.change)}</dd>' if self.change else ""
        note = f'<dd class="note">{escape(self.note)}</dd>' if self.note else ""
        return f"<div><dt>{escape(self.label)}</dt><dd>{escape(self.value)}</dd>{change}{note}</div>"


def run_metrics(run: Run, status: Status, state: State, found: LatestMetrics) -> list[Metric]:
    """Loss and accuracy now, each with its change since the epoch before; speed and time."""
    accuracy, rate, gained = found.accuracy, status.images_per_second, found.accuracy_change
    points = None if gained is None else gained * 100
    return [
        Metric("Training loss, smoothed", common.loss_text(found.smoothed)),
        Metric("Test loss", common.loss_text(found.loss), *_change(found.loss_change, "{:.4f}", less_is_better=True)),
        Metric("Test accuracy", "–" if accuracy is None else f"{accuracy:.2%}", *_change(points, "{:.2f} points")),
        Metric("Images per second", "–" if rate is None else f"{rate:,.0f}"),
        _time(run, status, state, found.seconds),
    ]


def _change(change: float | None, text: str, *, less_is_better: bool = False) -> tuple[str, Meaning]:
    """A change in words, and whether it is good."""
    if change is None:
        return "", "plain"
    said = _arrow(change) + text.format(abs(change))
    if change == 0:
        return said, "plain"
    return said, "good" if (change < 0) == less_is_better else "bad"


def _arrow(change: float) -> str:
    return "↑ " if change > 0 else "↓ " if change < 0 else ""


def _time(run: Run, status: Status, state: State, trained: float) -> Metric:
    if state == "running":
        left = tables.progress(run.record.config, status, run.record.first_epoch).seconds_left
        return Metric("Time left", common.duration(left))
    return Metric("Time trained", common.duration(trained))


def three_losses(row: Compared) -> list[Metric]:
    """``loss_last``, the loss right after loading, ``loss_now``."""
    check = row.check
    same = "equal" if check.loss_check == check.loss_last else "other images"
    note = "loss_last again, measured: the load is right."
    if not check.comparable:
        note = "loss_last was measured on other images, or elsewhere: loss_now is set beside this one."
    return [
        Metric("loss_last, stored", common.loss_text(check.loss_last)),
        Metric("right after loading", common.loss_text(check.loss_check), same, note=note),
        _loss_now("loss_now, first epoch", row, row.first),
        _loss_now("loss_now, latest", row, row.latest),
    ]


def _loss_now(label: str, row: Compared, now: LossNow | None) -> Metric:
    if now is None:
        return Metric(label, common.loss_text(None))
    change = relative_change(row, now)
    meaning: dict[str, Meaning] = {"lower": "good", "higher": "bad", "within noise": "plain"}
    return Metric(
        label, common.loss_text(now.loss), f"{_arrow(change)}{abs(change):.1%}, {now.answer}", meaning[now.answer]
    )


def progress_and_metrics(words: str, share: float, rows: Sequence[Sequence[Metric]]) -> str:
    """How far something is, as a bar of this share with these words below it, and the numbers in rows."""
    bar = f'<progress value="{share:.4f}" aria-label="{escape(words)}"></progress><p>{escape(words)}</p>'
    return bar + "".join(f"<dl>{''.join(metric.html() for metric in row)}</dl>" for row in rows)
