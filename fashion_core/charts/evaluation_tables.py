"""A model's answers as tidy DataFrames: what the charts of the Predict page show."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from fashion_core.charts.gallery import thumbnail
from fashion_core.config import CLASS_NAMES
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

OTHERS: Final = "other classes"
_NAMED: Final = 4  # classes of a history, the true one included, that have a series of their own


def probabilities_frame(models: Mapping[str, Array], truth: int | None = None) -> pd.DataFrame:
    """One row per class and model: ``PROBABILITY_COLUMNS``.

    ``models`` maps one or two names to (10,) float32 probabilities for one image, whose true class may be unknown.
    """
    rows = []
    for label, name in enumerate(CLASS_NAMES):
        for number, (model, row) in enumerate(models.items()):
            predicted, words = label == row.argmax(), "◆ true class" if label == truth else ""
            if predicted:
                words = "◀ predicted" if truth is None else "✓ predicted" if label == truth else "✗ predicted"
            rows.append((label, name, model, number, float(row[label]), predicted, words))
    return pd.DataFrame(rows, columns=list(PROBABILITY_COLUMNS))


@dataclass(frozen=True, eq=False)
class History:
    """What the checkpoints of one run say about one image, in the order of their epochs."""

    run: str
    name: str
    parent: str | None  # the run that it was resumed from, and the epoch of that checkpoint
    branch: int | None
    epochs: Array  # (E,) int64, ascending
    probabilities: Array  # (E, 10) float32


def history_frame(histories: Sequence[History], truth: int | None = None) -> pd.DataFrame:
    """One row per run, checkpoint and series, stacked from 0 to 1: ``HISTORY_COLUMNS``.

    A run stands below the one that it was resumed from, and begins with what that checkpoint said, if that is known.
    The true class has a series of its own, and so have those that were on top, the most probable ones first: at most
    five with ``OTHERS``, numbered by `place`, of which the true class has 0 and ``OTHERS`` 4.
    """
    ordered = _in_tree_order([history for history in histories if len(history.epochs)])
    named = _named_classes(ordered, truth)
    series = [(place, CLASS_NAMES[label], label == truth) for place, label in enumerate(named)]
    series.append((_NAMED, OTHERS, False))
    runs = {history.run: history for history in ordered}
    rows = []
    for panel, history in enumerate(ordered):
        heading = history.name
        start: list[tuple[int, Array]] = []  # what the checkpoint said that it was resumed from
        if history.parent is not None:
            heading = f"↳ {history.name}, resumed"
            if parent := runs.get(history.parent):
                heading += f" from {parent.name}"
                at = parent.epochs == history.branch
                start = list(zip(parent.epochs[at].tolist(), parent.probabilities[at], strict=True))
        for epoch, shares in [*start, *zip(history.epochs.tolist(), history.probabilities, strict=True)]:
            of_run = (history.run, history.name, panel, heading, history.branch, epoch)
            answer = _answer(int(shares.argmax()), truth)
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


def _answer(predicted: int, truth: int | None) -> str:
    """The class with its sign, if it is known whether that is right."""
    return CLASS_NAMES[predicted] if truth is None else f"{'✓' if predicted == truth else '✗'} {CLASS_NAMES[predicted]}"


def confusion_frame(matrix: Array) -> pd.DataFrame:
    """One row per cell: ``CONFUSION_COLUMNS``; `share` of the images of the true class, NaN if there are none."""
    true, predicted = np.indices(matrix.shape).reshape(2, -1)
    names, support = np.array(CLASS_NAMES), matrix.sum(axis=1, keepdims=True)
    share = matrix / np.where(support > 0, support, np.nan)
    columns = (true, predicted, names[true], names[predicted], matrix.ravel(), share.ravel())
    return pd.DataFrame(dict(zip(CONFUSION_COLUMNS, columns, strict=True)))


def class_frame(classes: Sequence[ClassScore]) -> pd.DataFrame:
    """One row per class, the lowest F1 first: ``CLASS_COLUMNS``; NaN where a score is not defined."""
    rows = [(CLASS_NAMES[score.index], score.precision, score.recall, score.f1, score.support) for score in classes]
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

    ``pixels`` of all images are (N, 28, 28) uint8; ``other`` is what a second model says. ``GALLERY_COLUMNS``.
    """
    rows = []
    for number, index in enumerate(map(int, indices)):
        truth = int(answers.labels[index])
        predicted = [int(model.predicted[index]) for model in (answers, other) if model is not None]
        first, *others = ((_answer(label, truth), label == truth) for label in predicted)
        second = others[0] if others else ("", None)
        shown = "" if truth in predicted else f"is {CLASS_NAMES[truth]}"
        taken_for = " and ".join(CLASS_NAMES[label] for label in predicted)
        description = f"image {index}, {CLASS_NAMES[truth]}, taken for {taken_for}"
        rows.append((index, number, thumbnail(pixels[index]), *first, *second, shown, description))
    return pd.DataFrame(rows, columns=list(GALLERY_COLUMNS))


def predictions_frame(names: Sequence[str], probabilities: Array, labels: Array | None = None) -> pd.DataFrame:
    """One row per image, for the CSV: its name, the predicted class, the true one if known, ten probabilities.

    ``probabilities`` are (N, 10) float32, ``labels`` (N,) int64, or None if unknown.
    """
    predicted = probabilities.argmax(axis=1)
    frame = pd.DataFrame({"image": names, "class": [CLASS_NAMES[index] for index in predicted]})
    if labels is not None:
        frame["true class"] = [CLASS_NAMES[index] for index in labels]
    frame["probability"] = probabilities.max(axis=1)
    return pd.concat([frame, pd.DataFrame(probabilities, columns=list(CLASS_NAMES))], axis=1)


def accuracy_sentence(answers: Answers) -> str:
    low, high = scores.accuracy_interval(answers)
    spread = f"{100 * low:.1f}–{high:.1%}"
    return f"**{answers.accuracy:.1%}** of {len(answers):,} test images are right (95% interval {spread})."


def confusion_sentence(answers: Answers) -> str:
    matrix = scores.confusion_matrix(answers)
    mixed = matrix - np.diag(matrix.diagonal())
    if not mixed.any():
        return "No image is misclassified."
    true, predicted = np.unravel_index(mixed.argmax(), mixed.shape)
    count = f"{mixed[true, predicted]:,} of {matrix[true].sum():,}"
    return f"Most often mixed up: **{CLASS_NAMES[true]}** predicted as **{CLASS_NAMES[predicted]}** ({count})."


def calibration_sentence(calibration: Calibration) -> str:
    error = f"expected calibration error {calibration.expected_calibration_error:.1%}"
    sure, right = f"{calibration.confidence:.1%} sure on average", f"right on {calibration.accuracy:.1%} of the images"
    if calibration.verdict == "neither":
        return f"**Neither over- nor underconfident on average**: {sure}, {right} ({error})."
    return f"**{calibration.verdict.capitalize()}**: {sure}, but {right} ({error})."


def disagreement_sentence(found: Disagreement, differing: int, first: str, second: str) -> str:
    """Say on how many images two models, whose names are Markdown, differ, and whether one is significantly better."""
    if not differing:
        return "Both models predict the same class for every image."
    verdict = "**no significant difference**"
    if found.better:
        verdict = f"**{first if found.better == 'first' else second} is significantly better**"
    alone = f"only {first} is right on {found.only_first_right:,}, only {second} on {found.only_second_right:,}"
    images, p = "image" if differing == 1 else "images", "p < 0.001" if found.p < 0.001 else f"p = {found.p:.2g}"
    return f"They differ on **{differing:,}** {images}; {alone}: {verdict} ({p}, exact McNemar test)."


def forgotten_sentence(found: Forgotten, checkpoints: int) -> str:
    lost, never, images = len(found.lost), len(found.never_learned), len(found.times)
    were, are = ("was", "is") if lost == 1 else ("were", "are")
    known = f"**{lost:,}** of {images:,} images {were} right at an earlier checkpoint and {are} wrong at the last"
    return f"{known}; {never:,} {'was' if never == 1 else 'were'} right at none of the {checkpoints}."
