"""How good a model's predictions are, how well calibrated, and how two models differ. Numbers in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from fashion_core.errors import ComparisonError, DataError

Array = np.ndarray[Any, np.dtype[Any]]
CalibrationVerdict = Literal["overconfident", "underconfident", "neither"]
SIGNIFICANT: Final = 0.05  # the p below which a difference counts: chance gives it to one in twenty equal pairs


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model says about labelled images. Raises ``DataError`` unless both arrays are whole."""

    probabilities: Array  # (N, C) float32, N at least 1, each row sums to 1
    labels: Array  # (N,) int64, the true classes
    classes: Sequence[str]  # C names

    def __post_init__(self) -> None:
        count, classes = len(self.labels), len(self.classes)
        if not count or self.labels.shape != (count,) or self.probabilities.shape != (count, classes):
            text = "These are not {classes:,} probabilities and a label for each image: classify the images again."
            raise DataError(text.format(classes=classes))
        if not np.isfinite(self.probabilities).all():
            raise DataError("The model's output is not finite: choose an earlier checkpoint.")
        if self.labels.min() < 0 or self.labels.max() >= classes:
            raise DataError(f"A label is not one of 0 to {classes - 1:,}: fetch the data again.")

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def predicted(self) -> Array:  # (N,) int64, the most probable class; of equal ones the first
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def correct(self) -> Array:  # (N,) bool
        return np.asarray(self.predicted == self.labels)

    @cached_property
    def confidence(self) -> Array:  # (N,) float32, the probability of the predicted class
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def accuracy(self) -> float:
        return float(self.correct.mean())


def accuracy_interval(answers: Answers) -> tuple[float, float]:
    """The 95 % interval of the accuracy (Wilson, "Probable inference, the law of succession, …", JASA 22, 1927)."""
    from scipy.stats import binomtest  # takes half a second, which only pages that need it should wait for

    found = binomtest(int(answers.correct.sum()), len(answers)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def confusion_matrix(answers: Answers) -> Array:
    """(C, C) int64: how many images of each true class (row) were taken for each class (column)."""
    classes = len(answers.classes)
    pairs = answers.labels * classes + answers.predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class; a share of no images is None."""

    index: int
    precision: float | None  # the share of images taken for it that are of it
    recall: float | None  # the share of its images that are taken for it
    f1: float | None  # the harmonic mean of both
    support: int  # how many images are of it


def class_scores(answers: Answers) -> list[ClassScore]:
    matrix = confusion_matrix(answers)
    counts = zip(matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1), strict=True)
    scores = []
    for index, (hits, taken, support) in enumerate(counts):
        precision, recall, f1 = _share(hits, taken), _share(hits, support), _share(2 * hits, taken + support)
        scores.append(ClassScore(index, precision, recall, f1, int(support)))
    return scores


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence is above ``low`` and at most ``high``; their means are None if there are none."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    bins: tuple[Bin, ...]  # of equal width, from 0 to 1
    expected_calibration_error: float  # the mean distance of accuracy and confidence in a bin, weighted by count
    confidence: float  # the mean of all answers
    accuracy: float
    verdict: CalibrationVerdict  # neither: in the 95 % interval of the accuracy


def calibration(answers: Answers, bins: int = 15) -> Calibration:
    """Reliability diagram, equal-width bins (Guo et al., "On calibration of modern neural networks", ICML 2017)."""
    confidence = answers.confidence.astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sure = np.bincount(place, weights=confidence, minlength=bins)
    right = np.bincount(place, weights=answers.correct, minlength=bins)
    found = tuple(
        Bin(index / bins, (index + 1) / bins, int(n), _share(sure[index], n), _share(right[index], n))
        for index, n in enumerate(count)
    )
    error, mean = float(np.abs(right - sure).sum() / len(answers)), float(confidence.mean())
    low, high = accuracy_interval(answers)
    verdict: CalibrationVerdict = "overconfident" if mean > high else "underconfident" if mean < low else "neither"
    return Calibration(found, error, mean, answers.accuracy, verdict)


def misclassified(answers: Answers) -> Array:
    """Return the misclassified images, (M,) int64, the most confident first."""
    wrong = np.flatnonzero(~answers.correct)
    return wrong[np.argsort(-answers.confidence[wrong], kind="stable")]


def smallest_margins(answers: Answers) -> Array:
    """Return all images, (N,) int64, by the margin between their two most probable classes, the smallest first."""
    second, first = np.partition(answers.probabilities, (-2, -1), axis=1)[:, -2:].T
    return np.argsort(first - second, kind="stable")


@dataclass(frozen=True)
class Disagreement:
    """On how many images one of two models, both or neither is right."""

    both: int
    only_first_right: int
    only_second_right: int
    neither: int
    p: float  # how probable it is that models of equal accuracy come as far apart, 0 to 1 (exact, two-sided)

    @property
    def better(self) -> Literal["first", "second"] | None:
        if self.p >= SIGNIFICANT:
            return None
        return "first" if self.only_first_right > self.only_second_right else "second"


def mcnemar(first: Answers, second: Answers) -> Disagreement:
    """Compare two models with the exact McNemar test. Raises ``ComparisonError``.

    Dietterich, "Approximate statistical tests for comparing supervised classification learning algorithms", 1998.
    """
    from scipy.stats import binomtest

    _check_same_images(first, second)
    one, other = first.correct, second.correct
    both, only_first, only_second = int((one & other).sum()), int((one & ~other).sum()), int((~one & other).sum())
    differing = only_first + only_second
    p = float(binomtest(min(only_first, only_second), differing, 0.5).pvalue) if differing else 1.0
    return Disagreement(both, only_first, only_second, len(first) - both - differing, p)


def disagreements(first: Answers, second: Answers) -> Array:
    """(M,) int64: the images that two models take for different classes. Raises ``ComparisonError``."""
    _check_same_images(first, second)
    return np.flatnonzero(first.predicted != second.predicted)


def _check_same_images(first: Answers, second: Answers) -> None:
    if not np.array_equal(first.labels, second.labels):
        raise ComparisonError("The two models were asked about different images: choose files of one dataset.")


@dataclass(frozen=True)
class Forgotten:
    """What a run knew at an earlier checkpoint; images are int64."""

    lost: Array  # (M,) right at some checkpoint and wrong at the last, those first that were right at the most
    times: Array  # (N,) how often each image went from right to wrong, a "forgetting event"
    never_learned: Array  # (K,) wrong at every checkpoint


def forgotten(correct: Array) -> Forgotten:
    """Judge (E, N) bool, whether each image was right at each checkpoint. Raises ``DataError`` without a checkpoint.

    Toneva et al., "An empirical study of example forgetting during deep neural network learning", ICLR 2019.
    """
    if correct.ndim != 2 or not len(correct):
        raise DataError("Forgetting is measured between checkpoints: choose a run that has one.")
    held = correct.sum(axis=0)
    lost = np.flatnonzero((held > 0) & ~correct[-1])
    times = (correct[:-1] & ~correct[1:]).sum(axis=0)
    return Forgotten(lost[np.argsort(-held[lost], kind="stable")], times, np.flatnonzero(held == 0))
