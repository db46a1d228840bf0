"""A folder that is ready for the Hugging Face Hub: weights, code, ``config.json``, the model card and its pictures."""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fashion_core import files
from fashion_core.charts import comparison, evaluation, evaluation_tables, live
from fashion_core.charts.base import ChartSpec
from fashion_core.errors import ConfigError, DiskError
from fashion_core.formats import export, model_size
from fashion_core.formats.team_code import is_teams
from fashion_core.inference import scores
from fashion_core.publish import drawing, texts
from fashion_core.publish.card import Published, card
from fashion_core.publish.lineage import ancestry
from fashion_core.publish.loading import MODEL_FILE, architecture, model_code
from fashion_core.publish.measure import measure
from fashion_core.resume.tables import compared_frame, seeds_beside
from fashion_core.runs import loss_curve
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES
from fashion_core.runs.store import RunStore

_LICENSE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")


def publish(store: RunStore, run: Run, epoch: int, out: Path, license: str | None = None) -> dict[str, str]:
    """Make the folder ``out``, all of it or nothing, and return the SHA-256 of each file in it.

    Raises ``ConfigError`` about the licence, ``DiskError`` (``out`` is taken), ``DataError`` where the images of its
    dataset are not here, and what ``formats.export.export`` raises.
    """
    license = license and license.lower()
    if license and not _LICENSE.fullmatch(license):
        raise ConfigError(texts.WRONG_LICENSE.format(given=license))
    with _made_whole(out) as folder:
        weights = export.export(run, epoch, "safetensors", folder / EXPORT_NAMES["safetensors"])
        published = _measured(store, run, epoch, license)
        if code := model_code(run.record.config.model, run.record.description.shape):
            files.write_bytes(folder / MODEL_FILE, code.encode())
        files.write_json(folder / "config.json", _config(published, weights.sha256))
        pictures = {name: drawing.png(chart, drawing.CARD) for name, chart in _charts(store, published).items()}
        for name, picture in pictures.items():
            files.write_bytes(folder / f"{name}.png", picture)
        files.write_bytes(folder / "README.md", card(published, [*pictures]).encode())
        return {path.name: files.digest_of(path).sha256 for path in sorted(folder.iterdir())}


@contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that becomes it when the block ends, and is gone if the block raises."""
    with files.disk_errors(out):
        if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
            raise DiskError(out, texts.OUT_EXISTS.format(out=out))
        folder = out.with_name(f"{files.TEMPORARY_PREFIX}{out.name[:48]}-{secrets.token_hex(4)}")
        folder.mkdir()
    try:
        yield folder
        with files.disk_errors(out):
            files.sync_folder(folder)
            if out.exists():
                out.rmdir()  # only an empty one: what came into it meanwhile stays
            folder.rename(out)
            files.sync_folder(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(store: RunStore, run: Run, epoch: int, license: str | None) -> Published:
    answers, loss = measure(run, run.whole_checkpoint(epoch))
    count = model_size.parameters(run.record.config.model, run.record.description.shape)
    return Published(run, epoch, answers, loss, ancestry(store, run, epoch), count, license)


def _config(published: Published, sha256: str) -> dict[str, Any]:
    """What a program needs to use the weights, and can check."""
    record, answers = published.run.record, published.answers
    dataset, scaling = record.description, record.config.pixels
    normalized = {"mean": dataset.mean, "std": dataset.std} if scaling == "standard" else {}
    return {
        "model_type": record.config.model,
        "architectures": [architecture(record.config.model)],
        "code": None if is_teams(record.config.model) else MODEL_FILE,
        "input": {"channels": dataset.channels, "height": dataset.height, "width": dataset.width, "dtype": "uint8"},
        "pixels": {"scaling": scaling, "divided_by": 1 if scaling == "raw" else 255, **normalized, "fit": dataset.fit},
        "classes": dataset.classes,
        "parameters": published.parameters,
        "dataset": {"name": dataset.name, "label": dataset.label, "sha256": record.dataset_sha256 or dataset.sha256},
        "run": published.run.id,
        "epoch": published.epoch,
        "loss": published.loss,
        "accuracy": answers.accuracy,
        "accuracy_interval_95": scores.accuracy_interval(answers),
        "expected_calibration_error": scores.calibration(answers).expected_calibration_error,
        "weights": {"file": EXPORT_NAMES["safetensors"], "sha256": sha256},
    }


def _charts(store: RunStore, published: Published) -> dict[str, ChartSpec]:
    """The charts of the pages, by the names of their files."""
    run, answers = published.run, published.answers
    matrix = evaluation_tables.confusion_frame(scores.confusion_matrix(answers), answers.classes)
    found = loss_curve.read(run)
    charts = {
        "confusion": evaluation.confusion_chart(matrix, answers.classes),
        "calibration": evaluation.reliability_chart(evaluation_tables.reliability_frame(scores.calibration(answers))),
    }
    if len(found.batches):
        charts["losses"], _ = live.run_charts(run.record, found, run.load_check, seeds_beside(store, run, found))
    rows = [one for step in published.steps if (one := step.compared) and one.latest and not one.transferred]
    if rows := [one for one in rows if one.dataset == run.record.images]:
        charts["comparison"] = comparison.comparison_chart(compared_frame(rows, True, "lineage"), None)
    return charts
