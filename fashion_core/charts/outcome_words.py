"""What the figures of a model say, as the sentence above each chart (Markdown)."""

import numpy as np

from fashion_core.config import CLASS_NAMES
from fashion_core.inference.scores import (
    Answers,
    Calibration,
    Disagreement,
    Forgotten,
    accuracy_interval,
    confusion_matrix,
)


def accuracy_sentence(answers: Answers) -> str:
    """How many are right, and how far that is certain."""
    low, high = accuracy_interval(answers)
    spread = f"{100 * low:.1f}–{high:.1%}"
    return f"**{answers.accuracy:.1%}** of {len(answers):,} test images are right (95% interval {spread})."


def confusion_sentence(answers: Answers) -> str:
    """Which class is taken for which other one most often."""
    matrix = confusion_matrix(answers)
    mixed = matrix - np.diag(matrix.diagonal())
    if not mixed.any():
        return "No image is taken for another class."
    true, predicted = np.unravel_index(mixed.argmax(), mixed.shape)
    count = f"{mixed[true, predicted]:,} of {matrix[true].sum():,}"
    return f"Most often mixed up: a **{CLASS_NAMES[true]}** taken for a **{CLASS_NAMES[predicted]}** ({count})."


def calibration_sentence(calibration: Calibration) -> str:
    """Whether it is as often right as it is sure."""
    error = f"expected calibration error {calibration.expected_calibration_error:.1%}"
    sure, right = f"{calibration.confidence:.1%} sure on average", f"right on {calibration.accuracy:.1%} of the images"
    if calibration.verdict == "neither":
        return f"**On average as sure as it is right**: {sure}, {right} ({error})."
    return f"**{calibration.verdict.capitalize()}**: {sure}, but {right} ({error})."


def disagreement_sentence(found: Disagreement, differing: int, first: str, second: str) -> str:
    """On how many images two models differ, and whether one of them is better.

    Args:
        found: from `scores.mcnemar`.
        differing: the number of images that they take for different classes.
        first, second: what they are called, as Markdown.
    """
    if not differing:
        return "They take every image for the same class."
    verdict = "**no significant difference**"
    if found.better:
        verdict = f"**{first if found.better == 'first' else second} is significantly better**"
    alone = f"only {first} is right on {found.only_first_right:,}, only {second} on {found.only_second_right:,}"
    images = "image" if differing == 1 else "images"
    return f"They differ on **{differing:,}** {images}; {alone}: {verdict} ({_p(found.p)}, exact McNemar test)."


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def forgotten_sentence(found: Forgotten, checkpoints: int) -> str:
    """What a run knew and knows no more."""
    lost, never, images = len(found.lost), len(found.never_learned), len(found.times)
    were, are = ("was", "is") if lost == 1 else ("were", "are")
    known = f"**{lost:,}** of {images:,} images {were} right at an earlier checkpoint and {are} wrong at the last"
    return f"{known}; {never:,} {'was' if never == 1 else 'were'} right at none of the {checkpoints}."
