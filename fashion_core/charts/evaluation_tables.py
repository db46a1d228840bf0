"""A model's answers as tidy DataFrames: what the charts of the Predict page show."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from fashion_core.charts import base, texts
from fashion_core.charts.gallery import thumbnail
from fashion_core.errors import counted
from fashion_core.inference import scores
from fashion_core.inference.scores import Answers, Array, Calibration, ClassScore, Disagreement, Forgotten

PROBABILITY_COLUMNS: Final = ("label", "class", "model", "number", "probability", "predicted", "words")
HISTORY_COLUMNS: Final = (
    "run", "name", "panel", "heading", "branch", "epoch", "place", "series", "truth", "probability", "low", "high",
    "answer",
)  # fmt: skip
CONFUSION_COLUMNS: Final = ("true", "predicted", "true_name", "predicted_name", "count", "share")
CLASS_COLUMNS: Final = ("class", "precision", "recall", "f1", "support")
RELIABILITY_COLUMNS: Final = ("low", "high", "count", "confidence", "accuracy")
GALLERY_COLUMNS: Final = (
    "index", "number", "image", "first", "first_right", "second", "second_right", "truth", "description"
)  # fmt: skip

_BARS: Final = 12  # classes of one image that have a bar
_NAMED: Final = 4  # classes of a history, the true one included, that have a series of their own


def probabilities_frame(models: Mapping[str, Array], classes: Sequence[str], truth: int | None = None) -> pd.DataFrame:
    """One row per class and model: ``PROBABILITY_COLUMNS``; of many classes the most probable ones and the true one.

    ``models`` maps one or two names to (C,) float32 probabilities for one image, whose true class may be unknown.
    """
    rows = []
    for label in _shown_classes([*models.values()], truth):
        name = classes[label]
        for number, (model, row) in enumerate(models.items()):
            predicted, words = label == row.argmax(), texts.TRUE_MARK if label == truth else ""
            if predicted:
                right = texts.RIGHT_MARK if label == truth else texts.WRONG_MARK
                words = texts.PREDICTED_MARK if truth is None else right
            rows.append((label, name, model, number, float(row[label]), predicted, words))
    return pd.DataFrame(rows, columns=list(PROBABILITY_COLUMNS))


def _shown_classes(rows: Sequence[Array], truth: int | None) -> list[int]:
    """In class order, so that a class keeps its place from image to image while all of them are shown."""
    highest = np.max(rows, axis=0)
    likely = np.argsort(-highest, kind="stable")[:_BARS].tolist()
    return sorted({*likely, *([] if truth is None else [truth])})


@dataclass(frozen=True, eq=False)
class History:
    """What the checkpoints of one run say about one image, in the order of their epochs."""

    run: str
    name: str
    parent: str | None  # the run that it was resumed from, and the epoch of that checkpoint
    branch: int | None
    epochs: Array  # (E,) int64, ascending
    probabilities: Array  # (E, C) float32


def history_frame(histories: Sequence[History], classes: Sequence[str], truth: int | None = None) -> pd.DataFrame:
    """One row per run, checkpoint and series, stacked from 0 to 1: ``HISTORY_COLUMNS``.

    A run stands below the one that it was resumed from, and begins with what that checkpoint said, if that is known.
    The true class has a series of its own, and so have those that were on top, the most probable ones first: at most
    five with all other classes, numbered by `place`, of which the true class has 0 and the others 4.
    """
    ordered = _in_tree_order([history for history in histories if len(history.epochs)])
    named = _named_classes(ordered, truth)
    series = [(place, classes[label], label == truth) for place, label in enumerate(named)]
    series.append((_NAMED, texts.OTHER_CLASSES, False))
    runs = {history.run: history for history in ordered}
    rows = []
    for panel, history in enumerate(ordered):
        heading, name = history.name, history.name
        start: list[tuple[int, Array]] = []  # what the checkpoint said that it was resumed from
        if history.parent is not None:
            heading = texts.RESUMED_RUN.format(name=name)
            if parent := runs.get(history.parent):
                heading = texts.RESUMED_RUN_OF_PARENT.format(name=name, parent=parent.name)
                at = parent.epochs == history.branch
                start = list(zip(parent.epochs[at].tolist(), parent.probabilities[at], strict=True))
        for epoch, shares in [*start, *zip(history.epochs.tolist(), history.probabilities, strict=True)]:
            of_run = (history.run, name, panel, heading, history.branch, epoch)
            answer = _answer(classes, int(shares.argmax()), truth)
            ends = np.concatenate([[0.0], np.cumsum(shares[named], dtype=np.float64).clip(max=1.0), [1.0]])
            for part, (low, high) in zip(series, pairwise(ends.tolist()), strict=True):
                rows.append((*of_run, *part, high - low, low, high, answer))
    return pd.DataFrame(rows, columns=list(HISTORY_COLUMNS)).astype({"branch": "float64"})


def _in_tree_order(histories: Sequence[History]) -> list[History]:
    """Each run followed by its children, recursively; a run whose parent is missing starts a tree."""
    there = {history.run for history in histories}
    children: dict[str | None, list[History]] = defaultdict(list)
    for history in reversed(histories):
        children[history.parent if history.parent in there else None].append(history)
    ordered, waiting = [], children[None]
    while waiting:
        ordered.append(waiting.pop())
        waiting += children[ordered[-1].run]
    return ordered


def _named_classes(histories: Sequence[History], truth: int | None) -> list[int]:
    if not histories:
        return []
    said = np.concatenate([history.probabilities for history in histories])
    by_mean = sorted(np.unique(said.argmax(axis=1)).tolist(), key=lambda label: -float(said[:, label].mean()))
    return list(dict.fromkeys([*([] if truth is None else [truth]), *by_mean]))[:_NAMED]


def _answer(classes: Sequence[str], predicted: int, truth: int | None) -> str:
    """The class with its sign, if it is known whether that is right."""
    name, said = classes[predicted], texts.RIGHT_CLASS if predicted == truth else texts.WRONG_CLASS
    return name if truth is None else said.format(name=name)


def confusion_frame(matrix: Array, classes: Sequence[str]) -> pd.DataFrame:
    """One row per cell: ``CONFUSION_COLUMNS``; `share` of the images of the true class, NaN if there are none.

    Of many classes only the cells with images, and the diagonal, have a row.
    """
    shown = np.ones(matrix.shape, bool)
    if len(classes) > base.FEW_CLASSES:
        shown = (matrix > 0) | np.eye(len(classes), dtype=bool)
    true, predicted = np.nonzero(shown)
    names, support = np.array(classes), matrix.sum(axis=1, keepdims=True)
    share = matrix / np.where(support > 0, support, np.nan)
    columns = (true, predicted, names[true], names[predicted], matrix[shown], share[shown])
    return pd.DataFrame(dict(zip(CONFUSION_COLUMNS, columns, strict=True)))


def class_frame(scored: Sequence[ClassScore], classes: Sequence[str]) -> pd.DataFrame:
    """One row per class, the lowest F1 first: ``CLASS_COLUMNS``; NaN where a score is not defined."""
    rows = [(classes[one.index], one.precision, one.recall, one.f1, one.support) for one in scored]
    frame = pd.DataFrame(rows, columns=list(CLASS_COLUMNS))
    frame = frame.astype(dict.fromkeys(("precision", "recall", "f1"), "float64"))
    return frame.sort_values("f1", kind="stable", na_position="first", ignore_index=True)


def reliability_frame(calibration: Calibration) -> pd.DataFrame:
    """One row per bin, empty ones too: ``RELIABILITY_COLUMNS``; NaN where there is nothing to average."""
    rows = [(bin.low, bin.high, bin.count, bin.confidence, bin.accuracy) for bin in calibration.bins]
    frame = pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS))
    return frame.astype({"confidence": "float64", "accuracy": "float64"})


def gallery_frame(
    indices: Sequence[int] | Array, pixels: Array, answers: Answers, other: Answers | None = None
) -> pd.DataFrame:
    """One row per image, in the order of ``indices``, which are one page: each becomes a picture of 500 bytes.

    ``pixels`` of all images are (N, channels, height, width) uint8; ``other`` is what a second model says.
    The columns are ``GALLERY_COLUMNS``.
    """
    rows = []
    for number, index in enumerate(map(int, indices)):
        truth = int(answers.labels[index])
        predicted = [int(model.predicted[index]) for model in (answers, other) if model is not None]
        first, *others = ((_answer(answers.classes, label, truth), label == truth) for label in predicted)
        second = others[0] if others else ("", None)
        name, names = answers.classes[truth], [answers.classes[label] for label in predicted]
        shown = "" if truth in predicted else texts.ACTUAL_CLASS.format(name=name)
        said = texts.IMAGE_OF_TWO_MODELS if others else texts.IMAGE_OF_ONE_MODEL
        description = said.format(index=index, truth=name, first=names[0], second=names[-1])
        rows.append((index, number, thumbnail(pixels[index]), *first, *second, shown, description))
    return pd.DataFrame(rows, columns=list(GALLERY_COLUMNS))


def predictions_frame(
    names: Sequence[str], classes: Sequence[str], probabilities: Array, labels: Array | None = None
) -> pd.DataFrame:
    """One row per image, for the CSV: its name, the predicted class, the true one if known, all C probabilities.

    ``probabilities`` are (N, C) float32, ``labels`` (N,) int64, or None if unknown.
    """
    predicted = probabilities.argmax(axis=1)
    frame = pd.DataFrame({"image": names, "class": [classes[index] for index in predicted]})
    if labels is not None:
        frame["true class"] = [classes[index] for index in labels]
    frame["probability"] = probabilities.max(axis=1)
    return pd.concat([frame, pd.DataFrame(probabilities, columns=list(classes))], axis=1)


def accuracy_sentence(answers: Answers) -> str:
    low, high = scores.accuracy_interval(answers)
    return texts.ACCURACY_FOUND.format(accuracy=answers.accuracy, count=len(answers), low=100 * low, high=high)


def confusion_sentence(answers: Answers, classes: Sequence[str]) -> str:
    """Which two ``classes``, whose names are Markdown, are mixed up most."""
    matrix = scores.confusion_matrix(answers)
    mixed = matrix - np.diag(matrix.diagonal())
    if not mixed.any():
        return texts.CONFUSION_NONE
    true, predicted = np.unravel_index(mixed.argmax(), mixed.shape)
    names = {"truth": classes[true], "predicted": classes[predicted]}
    return texts.CONFUSION_MOST.format(**names, count=mixed[true, predicted], images=matrix[true].sum())


def calibration_sentence(calibration: Calibration) -> str:
    return texts.CALIBRATION[calibration.verdict].format(
        confidence=calibration.confidence, accuracy=calibration.accuracy, error=calibration.expected_calibration_error
    )


def disagreement_sentence(found: Disagreement, differing: int, first: str, second: str) -> str:
    """Say on how many images two models, whose names are Markdown, differ, and whether one is significantly better."""
    if not differing:
        return texts.DISAGREEMENT_NONE
    values = {
        "first": first,
        "second": second,
        "first_alone": found.only_first_right,
        "second_alone": found.only_second_right,
        "p": "p < 0.001" if found.p < 0.001 else f"p = {found.p:.2g}",
    }
    if found.better:  # never of one image alone
        better = first if found.better == "first" else second
        return texts.DISAGREEMENT_DECIDED.format(count=differing, better=better, **values)
    return counted(differing, texts.DISAGREEMENT_ONE, texts.DISAGREEMENT_MANY, **values)


def forgotten_sentence(found: Forgotten, checkpoints: int) -> str:
    lost, never = len(found.lost), len(found.never_learned)
    forgotten = counted(lost, texts.FORGOTTEN_ONE, texts.FORGOTTEN_MANY, images=len(found.times))
    unlearned = counted(never, texts.NEVER_LEARNED_ONE, texts.NEVER_LEARNED_MANY, checkpoints=checkpoints)
    return f"{forgotten} {unlearned}"
