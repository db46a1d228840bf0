"""The metrics on the page of a run, as HTML, so that they change without running the page's script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

import pandas as pd

from fashion_core.resume.comparison import Answer, Compared, LossNow, relative_change
from fashion_core.resume.labels import interval_text, loss_text, percent, points
from fashion_core.resume.repeats import OverSeeds, seeds_text
from fashion_core.runs import tables
from fashion_core.runs.loss_curve import LatestMetrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import State, Status
from fashion_core.ui import common
from fashion_core.ui.live import texts

SLOWED: Final = 2.5  # times as many images a second in the fastest epoch as in the last two: more than chance
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
    shown, points = "–" if accuracy is None else f"{accuracy:.2%}", None if gained is None else gained * 100
    left = tables.progress(run.record.config, status, run.record.first_epoch).seconds_left
    label, seconds = (texts.TIME_LEFT, left) if state == "running" else (texts.TIME_TRAINED, found.seconds)
    return [
        Metric(texts.TRAINING_LOSS, loss_text(found.smoothed, 4)),
        Metric(
            texts.TEST_LOSS, loss_text(found.loss, 4), *_change(found.loss_change, "{change:.4f}", less_is_better=True)
        ),
        Metric(texts.TEST_ACCURACY, shown, *_change(points, texts.ACCURACY_CHANGE)),
        Metric(
            texts.IMAGES_PER_SECOND,
            "–" if rate is None else f"{rate:,.0f}",
            note=_slowed(run, state, found),
        ),
        Metric(label, common.duration(seconds)),
    ]


def _slowed(run: Run, state: State, found: LatestMetrics) -> str:
    """What to do where other programs seem to slow a run on the CPU."""
    environment, rates = run.record.environment, found.rates
    if state != "running" or environment.device != "cpu" or not rates or max(rates) < SLOWED * max(rates[-2:]):
        return ""
    advice = texts.FEWER_THREADS if environment.threads > 1 else texts.CLOSE_THEM
    return texts.SLOWED.format(fastest=max(rates), advice=advice)


def _change(change: float | None, text: str, *, less_is_better: bool = False) -> tuple[str, Meaning]:
    if change is None:
        return "", "plain"
    meaning: Meaning = "plain" if change == 0 else "good" if (change < 0) == less_is_better else "bad"
    return _arrow(change) + text.format(change=abs(change)), meaning


def _arrow(change: float) -> str:
    return "↑ " if change > 0 else "↓ " if change < 0 else ""


def three_losses(row: Compared) -> list[Metric]:
    check = row.check
    other = texts.OTHER_MODEL if row.transferred and not row.changed_dataset else texts.OTHER_IMAGES
    same = texts.SAME_LOSS if check.loss_check == check.loss_last else other
    note = texts.LOADED_CORRECTLY if check.comparable else texts.NOT_COMPARABLE
    return [
        Metric(texts.LOSS_LAST, loss_text(check.loss_last, 4)),
        Metric(texts.LOSS_CHECK, loss_text(check.loss_check, 4), same, note=note),
        _loss_now(texts.LOSS_NOW_FIRST, row, row.first),
        _loss_now(texts.LOSS_NOW_LATEST, row, row.latest),
    ]


def _loss_now(label: str, row: Compared, now: LossNow | None) -> Metric:
    if now is None:
        return Metric(label, loss_text(None, 4))
    change = relative_change(row, now)
    meanings: dict[Answer, Meaning] = {"lower": "good", "higher": "bad"}
    meaning: Meaning = "plain" if row.transferred else meanings.get(now.answer, "plain")
    words = texts.CHANGE.format(change=_arrow(change) + percent(abs(change)).lstrip("+"), answer=row.said(now))
    return Metric(label, loss_text(now.loss, 4), words, meaning)


def over_seeds(seeds: pd.DataFrame, started: int, others: Sequence[State], change: OverSeeds | None) -> list[Metric]:
    """The means over the ``started`` seeds, from ``resume.tables.seeds_frame``, and that of a resume's ``change``.

    ``others`` are the states of the runs that have not ended the last epoch of those means.
    """
    if seeds.empty:
        return [Metric(texts.MEAN_LOSS_UNKNOWN.format(seeds=started), "–", note=texts.MEAN_UNKNOWN)]
    last = seeds.iloc[-1]
    of = {"seeds": seeds_text(int(last["seeds"]), started, others), "epoch": last["epoch"]}
    note, note_on_loss = texts.MEAN_NOTE.format(**of), texts.MEAN_LOSS_NOTE.format(**of, luck=last["loss_luck"])
    interval = texts.INTERVAL_IN_POINTS.format(interval=f"{last['accuracy_interval'] * 100:.2f}")
    metrics = [
        Metric(texts.MEAN_LOSS, loss_text(last["loss"], 4), f"± {last['loss_interval']:.4f}", note=note_on_loss),
        Metric(texts.MEAN_ACCURACY, f"{last['accuracy']:.2%}", interval, note=note),
    ]
    return [*metrics, *([_change_over_seeds(change)] if change else [])]


def _change_over_seeds(change: OverSeeds) -> Metric:
    clear = abs(change.mean) > change.interval
    meaning: Meaning = "plain" if not clear else "good" if change.mean < 0 else "bad"
    template = texts.INTERVAL_IN_POINTS if change.mean < 10 else texts.INTERVAL
    interval = template.format(interval=interval_text(change.mean, change.interval))
    note = texts.MEAN_CHANGE_NOTE.format(luck=points(change.luck))
    return Metric(texts.MEAN_CHANGE, percent(change.mean), interval, meaning, note)


def progress_and_metrics(words: str, share: float, rows: Sequence[Sequence[Metric]]) -> str:
    bar = f'<progress value="{share:.4f}" aria-label="{escape(words)}"></progress><p>{escape(words)}</p>'
    return bar + "".join(f"<dl>{''.join(metric.html() for metric in row)}</dl>" for row in rows)
