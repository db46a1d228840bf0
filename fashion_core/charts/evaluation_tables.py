"""A model's answers as tidy DataFrames: what the charts of the Predict page show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from fashion_core.charts.gallery import thumbnail
from fashion_core.config import CLASS_NAMES
from fashion_core.inference.scores import (
    Answers,
    Array,
    Calibration,
    ClassScore,
    Disagreement,
    Forgotten,
    accuracy_interval,
    confusion_matrix,
)

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

    Args:
        models: what each model is called, and its (10,) float32 probabilities for one image; one or two.
        truth: the true class, or None if unknown.
    """
    rows = [
        (label, name, model, number, float(row[label]), label == row.argmax(), _role(label, int(row.argmax()), truth))
        for label, name in enumerate(CLASS_NAMES)
        for number, (model, row) in enumerate(models.items())
    ]
    return pd.DataFrame(rows, columns=list(PROBABILITY_COLUMNS))


def _role(label: int, predicted: int, truth: int | None) -> str:
    """Return the label of a class: predicted, true or neither, as a sign and a word."""
    if label == predicted:
        return "◀ predicted" if truth is None else "✓ predicted" if label == truth else "✗ predicted"
    return "◆ true class" if label == truth else ""


@dataclass(frozen=True, eq=False)
class History:
    """What the checkpoints of one run say about one image, in the order of their epochs.

    Attributes:
        run, name: its id, and what people call it.
        parent: the id of the run that it was resumed from, and `branch` the epoch of that checkpoint; or None.
        epochs: (E,) int64, ascending.
        probabilities: (E, 10) float32.
    """

    run: str
    name: str
    parent: str | None
    branch: int | None
    epochs: Array
    probabilities: Array


def history_frame(histories: Sequence[History], truth: int | None = None) -> pd.DataFrame:
    """One row per run, checkpoint and series, stacked from 0 to 1: ``HISTORY_COLUMNS``.

    A run stands below the one that it was resumed from, and begins with what that checkpoint said, if that is known.
    The true class has a series of its own, and so have those that were on top, the most probable ones first: at most
    five with ``OTHERS``, numbered by `place`, of which the true class has 0 and ``OTHERS`` 4.
    """
    ordered = _in_tree_order([history for history in histories if len(history.epochs)])
    named = _named_classes(ordered, truth)
    runs = {history.run: history for history in ordered}
    rows = [
        (
            history.run,
            history.name,
            panel,
            _heading(history, runs),
            history.branch,
            epoch,
            *part,
            _answer(int(said.argmax()), truth),
        )
        for panel, history in enumerate(ordered)
        for epoch, said in _with_branch(history, runs)
        for part in _stacked(said, named, truth)
    ]
    return pd.DataFrame(rows, columns=list(HISTORY_COLUMNS)).astype({"branch": "float64"})


def _in_tree_order(histories: Sequence[History]) -> list[History]:
    """Each run followed by its children, recursively; a run whose parent is missing starts a tree."""
    there = {history.run for history in histories}
    children: dict[str | None, list[History]] = {}
    for history in histories:
        children.setdefault(history.parent if history.parent in there else None, []).append(history)

    def below(run: str | None) -> Iterator[History]:
        for child in children.get(run, []):
            yield child
            yield from below(child.run)

    return list(below(None))


def _named_classes(histories: Sequence[History], truth: int | None) -> list[int]:
    """The classes with a series of their own, in their order."""
    if not histories:
        return []
    said = np.concatenate([history.probabilities for history in histories])
    tops = np.unique(said.argmax(axis=1))
    by_mean = sorted(tops.tolist(), key=lambda label: -float(said[:, label].mean()))
    first = [] if truth is None else [truth]
    return [*first, *(label for label in by_mean if label != truth)][:_NAMED]


def _heading(history: History, runs: Mapping[str, History]) -> str:
    if history.parent is None:
        return history.name
    parent = runs.get(history.parent)
    return f"↳ {history.name}" + (f", resumed from {parent.name}" if parent else ", resumed")


def _with_branch(history: History, runs: Mapping[str, History]) -> list[tuple[int, Array]]:
    """Epochs and what was said there, the parent's checkpoint first."""
    said = list(zip(history.epochs.tolist(), history.probabilities, strict=True))
    parent = runs.get(history.parent or "")
    if parent is None:
        return said
    at = np.flatnonzero(parent.epochs == history.branch)
    return [(int(parent.epochs[index]), parent.probabilities[index]) for index in at] + said


_Part = tuple[int, str, bool, float, float, float]


def _stacked(said: Array, named: Sequence[int], truth: int | None) -> Iterator[_Part]:
    """Place, series, whether it is the true class, probability, and where it begins and ends in the stack."""
    ends = np.concatenate([[0.0], np.cumsum(said[list(named)], dtype=np.float64).clip(max=1.0), [1.0]])
    for place, (label, (low, high)) in enumerate(zip([*named, None], pairwise(ends.tolist()), strict=True)):
        if label is None:
            yield _NAMED, OTHERS, False, high - low, low, high
        else:
            yield place, CLASS_NAMES[label], label == truth, high - low, low, high


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


def class_frame(scores: Sequence[ClassScore]) -> pd.DataFrame:
    """One row per class, the lowest F1 first: ``CLASS_COLUMNS``; NaN where a score is not defined."""
    rows = [(CLASS_NAMES[score.index], score.precision, score.recall, score.f1, score.support) for score in scores]
    numbers = dict.fromkeys(("precision", "recall", "f1"), "float64")
    frame = pd.DataFrame(rows, columns=list(CLASS_COLUMNS)).astype(numbers)
    return frame.sort_values("f1", kind="stable", na_position="first", ignore_index=True)


def reliability_frame(calibration: Calibration) -> pd.DataFrame:
    """One row per bin, empty ones too: ``RELIABILITY_COLUMNS``; NaN where there is nothing to average."""
    rows = [(bin.low, bin.high, bin.count, bin.confidence, bin.accuracy) for bin in calibration.bins]
    numbers = dict.fromkeys(("confidence", "accuracy"), "float64")
    return pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS)).astype(numbers)


def gallery_frame(
    indices: Sequence[int] | Array, pixels: Array, answers: Answers, other: Answers | None = None
) -> pd.DataFrame:
    """One row per image, in this order: ``GALLERY_COLUMNS``.

    Args:
        indices: the images to show; only one page of them, because each becomes a picture of 500 bytes.
        pixels: (N, 28, 28) uint8, of all images.
        answers: what the model says about all images.
        other: what a second model says about them.
    """
    both = [answers] if other is None else [answers, other]
    rows = [(index, number, *_cell(index, pixels[index], both)) for number, index in enumerate(map(int, indices))]
    return pd.DataFrame(rows, columns=list(GALLERY_COLUMNS))


def _cell(index: int, picture: Array, models: Sequence[Answers]) -> tuple[str | bool | None, ...]:
    """The picture, the words below it, and its text for a screen reader."""
    truth = int(models[0].labels[index])
    predicted = [int(model.predicted[index]) for model in models]
    first, *others = [(_answer(label, truth), label == truth) for label in predicted]
    second = others[0] if others else ("", None)
    shown = "" if truth in predicted else f"is {CLASS_NAMES[truth]}"
    description = f"image {index}, {CLASS_NAMES[truth]}, taken for " + " and ".join(CLASS_NAMES[n] for n in predicted)
    return thumbnail(picture), *first, *second, shown, description


def predictions_frame(names: Sequence[str], probabilities: Array, labels: Array | None = None) -> pd.DataFrame:
    """One row per image, for the CSV: its name, the predicted class, the true one if known, ten probabilities.

    Args:
        names: what each image is called.
        probabilities: (N, 10) float32.
        labels: (N,) int64, or None if unknown.
    """
    predicted = probabilities.argmax(axis=1)
    frame = pd.DataFrame({"image": names, "class": [CLASS_NAMES[index] for index in predicted]})
    if labels is not None:
        frame["true class"] = [CLASS_NAMES[index] for index in labels]
    frame["probability"] = probabilities.max(axis=1)
    return pd.concat([frame, pd.DataFrame(probabilities, columns=list(CLASS_NAMES))], axis=1)


def accuracy_sentence(answers: Answers) -> str:
    """Return the accuracy and its 95 % interval as a sentence."""
    low, high = accuracy_interval(answers)
    spread = f"{100 * low:.1f}–{high:.1%}"
    return f"**{answers.accuracy:.1%}** of {len(answers):,} test images are right (95% interval {spread})."


def confusion_sentence(answers: Answers) -> str:
    """Which class is taken for which other one most often."""
    matrix = confusion_matrix(answers)
    mixed = matrix - np.diag(matrix.diagonal())
    if not mixed.any():
        return "No image is misclassified."
    true, predicted = np.unravel_index(mixed.argmax(), mixed.shape)
    count = f"{mixed[true, predicted]:,} of {matrix[true].sum():,}"
    return f"Most often mixed up: **{CLASS_NAMES[true]}** predicted as **{CLASS_NAMES[predicted]}** ({count})."


def calibration_sentence(calibration: Calibration) -> str:
    """Say whether the model's confidence matches its accuracy."""
    error = f"expected calibration error {calibration.expected_calibration_error:.1%}"
    sure, right = f"{calibration.confidence:.1%} sure on average", f"right on {calibration.accuracy:.1%} of the images"
    if calibration.verdict == "neither":
        return f"**Neither over- nor underconfident on average**: {sure}, {right} ({error})."
    return f"**{calibration.verdict.capitalize()}**: {sure}, but {right} ({error})."


def disagreement_sentence(found: Disagreement, differing: int, first: str, second: str) -> str:
    """Say on how many images two models differ, and whether one of them is significantly better.

    Args:
        found: from `scores.mcnemar`.
        differing: the number of images that they take for different classes.
        first, second: what they are called, as Markdown.
    """
    if not differing:
        return "Both models predict the same class for every image."
    verdict = "**no significant difference**"
    if found.better:
        verdict = f"**{first if found.better == 'first' else second} is significantly better**"
    alone = f"only {first} is right on {found.only_first_right:,}, only {second} on {found.only_second_right:,}"
    images, p = "image" if differing == 1 else "images", "p < 0.001" if found.p < 0.001 else f"p = {found.p:.2g}"
    return f"They differ on **{differing:,}** {images}; {alone}: {verdict} ({p}, exact McNemar test)."


def forgotten_sentence(found: Forgotten, checkpoints: int) -> str:
    """Say how many images the run once classified correctly and now misclassifies."""
    lost, never, images = len(found.lost), len(found.never_learned), len(found.times)
    were, are = ("was", "is") if lost == 1 else ("were", "are")
    known = f"**{lost:,}** of {images:,} images {were} right at an earlier checkpoint and {are} wrong at the last"
    return f"{known}; {never:,} {'was' if never == 1 else 'were'} right at none of the {checkpoints}."
