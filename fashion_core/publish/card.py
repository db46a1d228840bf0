"""The model card of a published checkpoint: Markdown with the metadata that the Hub reads."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from fashion_core.charts import evaluation_tables
from fashion_core.charts.texts import CONFUSION_KEY, LIVE_KEY, LIVE_KEY_OF_SEEDS, RELIABILITY_KEY
from fashion_core.config import model_label
from fashion_core.errors import one_line
from fashion_core.inference import scores
from fashion_core.inference.scores import Answers
from fashion_core.publish import texts
from fashion_core.publish.lineage import Step
from fashion_core.publish.loading import loading_code
from fashion_core.publish.origin import origin, settings_in_words
from fashion_core.resume import reasons
from fashion_core.resume.texts import SAME_SETTINGS
from fashion_core.runs.run import Run, epoch_records

_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]()<>#+\-!|~:$&@]|(?<=www)\.", re.IGNORECASE)
MOST_EPOCHS: Final = 100  # in a table: the last ones
_MOST_MIXED: Final = 5  # pairs of classes
_ON_THE_HUB: Final = {"fashion-mnist": "zalando-datasets/fashion_mnist"}


@dataclass(frozen=True)
class Published:
    """One checkpoint, and all that its card tells."""

    run: Run
    epoch: int
    answers: Answers
    loss: float  # of the same images, measured with the answers
    steps: Sequence[Step]  # the last one is the run itself
    parameters: int
    license: str | None


def escaped(text: object) -> str:
    """Text that Markdown, in a table too, shows as it is, on one line: names may hold any character."""
    return _SPECIAL.sub(r"\\\g<0>", one_line(str(text)))


def card(published: Published, pictures: Sequence[str]) -> str:
    """The text of ``README.md``; ``pictures`` are those beside it, by their names without suffix."""
    return _templates.get_template("card.md.j2").render(**_values(published), pictures=pictures)


def _values(published: Published) -> dict[str, Any]:
    record, answers = published.run.record, published.answers
    config, dataset = record.config, record.description
    names, given = [*map(escaped, answers.classes)], published.license
    return {
        "title": published.run.title,
        "epoch": published.epoch,
        "model": model_label(config.model),
        "parameters": published.parameters,
        "dataset": dataset,
        "sha256": record.dataset_sha256 or dataset.sha256,
        "source": record.source,
        "imported": any(step.run.record.source for step in published.steps),  # nobody here saw it being trained
        "assumed": "dataset" not in record.trained_on,
        "metadata": metadata(published),
        "license": texts.LICENSED.format(license=given) if given else texts.NOT_LICENSED,
        "code": loading_code(config.model, config.pixels, dataset),
        "accuracy": evaluation_tables.accuracy_sentence(answers),
        "confusion": evaluation_tables.confusion_sentence(answers, names),
        "calibration": evaluation_tables.calibration_sentence(scores.calibration(answers)),
        "mixed": [*_mixed(answers)],
        "confusion_key": CONFUSION_KEY,
        "calibration_key": RELIABILITY_KEY,
        "losses_key": LIVE_KEY_OF_SEEDS if record.repeat else LIVE_KEY,
        "comparison_key": texts.COMPARISON_KEY,
        "classes": [(answers.classes[one.index], one) for one in scores.class_scores(answers)],
        "settings": settings_in_words(record),
        "epochs": [row for row in epoch_records(published.run) if row["epoch"] <= published.epoch][-MOST_EPOCHS:],
        "steps": [_told_step(step) for step in published.steps],
        "environment": record.environment,
        "run": published.run.id,
        "created": record.created,
        "loss": published.loss,
    }


def _told_step(step: Step) -> dict[str, str | int]:
    record, resumption = step.run.record, step.run.record.resumption
    changes = [reasons.describe(name, change) for name, change in resumption.changes.items()] if resumption else []
    return {
        "name": step.run.title,
        "run": step.run.id,
        "origin": origin(step.run),
        "epochs": f"{record.first_epoch}–{step.epoch}" if record.first_epoch < step.epoch else f"{step.epoch}",
        "changes": ", ".join(changes) or (SAME_SETTINGS if resumption else texts.NONE),
        "verdict": resumption.verdict if resumption else texts.NONE,
        "effect": step.effect or texts.NONE,
    }


def _mixed(answers: Answers) -> Iterator[tuple[str, str, int, float]]:
    """The pairs of classes that are mixed up most: the true one, what it is taken for, how often, of how many."""
    matrix = scores.confusion_matrix(answers)
    wrong = matrix - np.diag(matrix.diagonal())
    for place in np.argsort(-wrong, axis=None, kind="stable")[:_MOST_MIXED].tolist():
        true, predicted = divmod(place, len(matrix))
        if count := int(wrong[true, predicted]):
            yield answers.classes[true], answers.classes[predicted], count, count / int(matrix[true].sum())


def metadata(published: Published) -> dict[str, Any]:
    """What the Hub reads: https://github.com/huggingface/hub-docs/blob/main/modelcard.md?plain=1."""
    record, answers = published.run.record, published.answers
    dataset = record.description
    known = [("accuracy", "Accuracy", answers.accuracy), ("loss", "Loss", published.loss)]
    measured = [{"type": kind, "name": name, "value": value} for kind, name, value in known]
    result = {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {
            "type": _ON_THE_HUB.get(dataset.name, dataset.name),
            "name": one_line(dataset.label),
            "split": "test",
        },
        "metrics": measured,
    }
    hub = _ON_THE_HUB.get(dataset.name)
    return {
        **({"license": published.license} if published.license else {}),
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "pytorch", "safetensors", "fashion-core"],
        **({"datasets": [hub]} if hub else {}),
        "metrics": ["accuracy"],
        "model-index": [{"name": one_line(f"{published.run.title}, epoch {published.epoch}"), "results": [result]}],
    }


_templates = Environment(
    loader=PackageLoader("fashion_core.publish"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)
# JSON is YAML, whatever else a line holds
_templates.filters.update(escaped=escaped, yaml=partial(json.dumps, ensure_ascii=False))
