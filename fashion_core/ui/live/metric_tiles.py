"""The metrics on the page of a run, as HTML, so that they change without running the page's script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import pandas as pd

from fashion_core.resume.comparison import Compared, LossNow, relative_change
from fashion_core.resume.labels import loss_text, percent, points
from fashion_core.resume.repeats import OverSeeds
from fashion_core.runs import tables
from fashion_core.runs.loss_curve import LatestMetrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import State, Status
from fashion_core.ui import common

Meaning = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Metric:
    label: str
    value: str
    change: str = ""
    meaning: Meaning = "plain"
    note: str = ""

    def html(self) -> str:
        change = f'<dd class="change {self.meaning}">{escape(self.change)}</dd>' if self.change else ""
        note = f'<dd class="note">{escape(self.note)}</dd>' if self.note else ""
        return f"<div><dt>{escape(self.label)}</dt><dd>{escape(self.value)}</dd>{change}{note}</div>"


def run_metrics(run: Run, status: Status, state: State, found: LatestMetrics) -> list[Metric]:
    accuracy, rate, gained = found.accuracy, status.images_per_second, found.accuracy_change
    points = None if gained is None else gained * 100
    left = tables.progress(run.record.config, status, run.record.first_epoch).seconds_left
    label, seconds = ("Time left", left) if state == "running" else ("Time trained", found.seconds)
    return [
        Metric("Training loss, smoothed", loss_text(found.smoothed, 4)),
        Metric("Test loss", loss_text(found.loss, 4), *_change(found.loss_change, "{:.4f}", less_is_better=True)),
        Metric("Test accuracy", "–" if accuracy is None else f"{accuracy:.2%}", *_change(points, "{:.2f} points")),
        Metric("Images per second", "–" if rate is None else f"{rate:,.0f}"),
        Metric(label, common.duration(seconds)),
    ]


def _change(change: float | None, text: str, *, less_is_better: bool = False) -> tuple[str, Meaning]:
    if change is None:
        return "", "plain"
    meaning: Meaning = "plain" if change == 0 else "good" if (change < 0) == less_is_better else "bad"
    return _arrow(change) + text.format(abs(change)), meaning


def _arrow(change: float) -> str:
    return "↑ " if change > 0 else "↓ " if change < 0 else ""


def three_losses(row: Compared) -> list[Metric]:
    check = row.check
    same = "equal" if check.loss_check == check.loss_last else "other images"
    note = "loss_last measured again: the checkpoint was loaded correctly."
    if not check.comparable:
        note = "loss_last was measured on other images or by other software, so loss_now is compared with this loss."
    return [
        Metric("loss_last, stored", loss_text(check.loss_last, 4)),
        Metric("right after loading", loss_text(check.loss_check, 4), same, note=note),
        _loss_now("loss_now, first epoch", row, row.first),
        _loss_now("loss_now, latest", row, row.latest),
    ]


def _loss_now(label: str, row: Compared, now: LossNow | None) -> Metric:
    if now is None:
        return Metric(label, loss_text(None, 4))
    change = relative_change(row, now)
    meaning: Meaning = "good" if now.answer == "lower" else "bad" if now.answer == "higher" else "plain"
    words = f"{_arrow(change)}{percent(abs(change)).lstrip('+')}, {now.answer}"
    return Metric(label, loss_text(now.loss, 4), words, meaning)


def over_seeds(seeds: pd.DataFrame, started: int, change: OverSeeds | None) -> list[Metric]:
    """The means over the ``started`` seeds, from ``resume.tables.seeds_frame``, and that of a resume's ``change``."""
    if seeds.empty:
        note = "The mean is known once two seeds have ended an epoch."
        return [Metric(f"Test loss, mean of {started} seeds", "–", note=note)]
    last = seeds.iloc[-1]
    of = f"95 % interval, {last['seeds']:.0f} of {started} seeds at epoch {last['epoch']:.0f}."
    luck = f"Seed luck alone moves {last['loss_luck']:.4f}."
    interval = f"± {last['accuracy_interval'] * 100:.2f} points"
    metrics = [
        Metric("Test loss, mean", loss_text(last["loss"], 4), f"± {last['loss_interval']:.4f}", note=f"{of} {luck}"),
        Metric("Test accuracy, mean", f"{last['accuracy']:.2%}", interval, note=of),
    ]
    return [*metrics, *([_change_over_seeds(change)] if change else [])]


def _change_over_seeds(change: OverSeeds) -> Metric:
    clear = abs(change.mean) > change.interval
    meaning: Meaning = "plain" if not clear else "good" if change.mean < 0 else "bad"
    note = f"Seed luck alone moves {points(change.luck)}%."
    return Metric("Change, mean", percent(change.mean), f"± {points(change.interval)} points", meaning, note)


def progress_and_metrics(words: str, share: float, rows: Sequence[Sequence[Metric]]) -> str:
    bar = f'<progress value="{share:.4f}" aria-label="{escape(words)}"></progress><p>{escape(words)}</p>'
    return bar + "".join(f"<dl>{''.join(metric.html() for metric in row)}</dl>" for row in rows)
