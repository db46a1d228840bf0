"""A report on runs as one HTML file: what the pages show of them, without a network, for screen and paper."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fashion_core import files
from fashion_core.charts import branches, comparison, lineage, live, overlay
from fashion_core.charts.base import ChartSpec
from fashion_core.charts.texts import LIVE_KEY, LIVE_KEY_OF_SEEDS
from fashion_core.config import model_label
from fashion_core.data.description import images_label
from fashion_core.errors import ConfigError
from fashion_core.publish import drawing, texts
from fashion_core.publish.ask import MOST_RUNS
from fashion_core.publish.card import MOST_EPOCHS
from fashion_core.publish.origin import origin, settings_in_words
from fashion_core.resume import answers, tables
from fashion_core.resume import comparison as compared
from fashion_core.resume.comparison import Compared
from fashion_core.resume.labels import percent
from fashion_core.runs import loss_curve
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.schema import epoch_text
from fashion_core.runs.store import RunStore


@dataclass(frozen=True)
class Figure:
    title: str  # which says what it shows to whoever can't see it, too
    key: str
    wide: str  # the address of a picture, and of that for a phone
    narrow: str


def write(store: RunStore, runs: Sequence[Run], out: Path) -> files.Digest:
    """Write a report on these runs, and on how those of them that were resumed compare with their checkpoints.

    Raises ``ConfigError`` for too many, ``DiskError`` (``out`` exists), ``DamagedFileError``.
    """
    if len(runs) > MOST_RUNS:
        raise ConfigError(texts.TOO_MANY_RUNS.format(most=MOST_RUNS, count=len(runs)))
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(texts.NOT_A_PAGE.format(out=out))
    with files.creating(out) as file:
        file.write(render(store, runs).encode())
    return file.digest


def render(store: RunStore, runs: Sequence[Run]) -> str:
    rows = [row for run in runs if (row := compared.compare_run(store, run))]
    values = {
        "made": datetime.now(UTC),
        "resumes": [_resumes(store, name, own) for name, own in compared.by_dataset(rows).items()],
        "lineage": [*_lineage(store, runs)] if rows else [],
        "overlays": [*_overlays(runs)] if len(runs) > 1 else [],
        "runs": [_run(store, run) for run in runs],
    }
    return _templates.get_template("report.html.j2").render(values)


def _figure(title: str, key: str, chart: ChartSpec) -> Figure:
    return Figure(title, key, *(drawing.svg_address(chart, width) for width in (drawing.WIDE, drawing.NARROW)))


def _resumes(store: RunStore, dataset: str, rows: Sequence[Compared]) -> dict[str, Any]:
    """Did resuming help, on one dataset: the answer, both charts and all numbers."""
    figures = []
    if any(row.latest for row in rows):
        chart = comparison.comparison_chart(tables.compared_frame(rows, True, "lineage"), None)
        curves = tables.branches_frame(rows, tables.losses_of(store, rows))
        figures = [
            _figure(texts.COMPARISON, texts.COMPARISON_KEY, chart),
            _figure(texts.BRANCHES, texts.BRANCHES_KEY, branches.branch_chart(curves, None)),
        ]
    return {
        "dataset": images_label(dataset),
        "answer": answers.sentence(rows),
        "over_seeds": answers.answers_over_seeds(rows),
        "figures": figures,
        "rows": [(row, row.latest, percent(compared.relative_change(row, row.latest))) for row in rows if row.latest],
    }


def _lineage(store: RunStore, runs: Sequence[Run]) -> Iterator[Figure]:
    """The trees of these runs and of those that they came from."""
    if trees := [*chain.from_iterable(tables.lineage_parts(store, runs))]:
        chart = lineage.lineage_chart(*tables.part_frames([trees], 0))
        yield _figure(texts.LINEAGE, texts.LINEAGE_KEY, chart)


def _overlays(runs: Sequence[Run]) -> Iterator[Figure]:
    """The curves of the first runs, a chart a dataset."""
    labels = loss_curve.unique_titles(runs[: overlay.MOST_CURVES])
    points = loss_curve.joined([loss_curve.curve_frame(run, label) for run, label in labels.items()])
    for dataset, own in points.groupby("dataset"):
        title = texts.OVERLAY.format(dataset=images_label(str(dataset)))
        yield _figure(title, "", overlay.overlay_chart(own))


def _run(store: RunStore, run: Run) -> dict[str, Any]:
    record, status, epochs = run.record, run.status, epoch_records(run)
    config, losses = record.config, [row["loss"] for row in epochs if row["loss"] is not None]
    last = next(reversed(epochs), None)
    return {
        "run": run,
        "title": run.title,
        "labels": run.labels,
        "state": run.state(status),
        "error": status.error,
        "dataset": images_label(record.images),
        "model": model_label(config.model),
        "origin": origin(run),
        "progress": epoch_text(last["epoch"] if last else None, record.span),
        "last": last,
        "best": min(losses, default=None),
        "epochs": epochs[-MOST_EPOCHS:],
        "untold": max(0, len(epochs) - MOST_EPOCHS),
        "figures": [*_curves(store, run)],
        "settings": settings_in_words(record),
        "environment": record.environment,
        "created": record.created,
        "sha256": record.dataset_sha256 or record.description.sha256,
    }


def _curves(store: RunStore, run: Run) -> Iterator[Figure]:
    found = loss_curve.read(run)
    if run.record.source or found.batches.empty:
        return
    seeds = tables.seeds_beside(store, run, found)
    losses, accuracy = live.run_charts(run.record, found, run.load_check, seeds)
    key = LIVE_KEY if seeds is None else LIVE_KEY_OF_SEEDS
    yield _figure(texts.LOSSES, key, losses)
    if len(found.epochs):
        yield _figure(texts.ACCURACY, "", accuracy)


_templates = Environment(
    loader=PackageLoader("fashion_core.publish"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    undefined=StrictUndefined,
)  # fmt: skip
