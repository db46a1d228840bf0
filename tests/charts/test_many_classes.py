"""Charts of datasets with more classes than there is room for."""

import numpy as np
import pytest

from fashion_core.charts import base, evaluation, evaluation_tables, predictions
from fashion_core.inference import scores
from fashion_core.inference.scores import Answers

NAMES = tuple(f"class {number}" for number in range(300))


@pytest.fixture(scope="module")
def answers() -> Answers:
    """Of 300 classes with two images each, half of which are taken for the next class."""
    labels = np.arange(600) % 300
    predicted = np.where(np.arange(600) < 300, labels, (labels + 1) % 300)
    probabilities = np.full((600, 300), 0.5 / 299, np.float32)
    probabilities[np.arange(600), predicted] = 0.5
    return Answers(probabilities, labels, NAMES)


def test_matrix_of_many_classes_is_no_larger_than_its_images_make_it(answers: Answers) -> None:
    rows = evaluation_tables.confusion_frame(scores.confusion_matrix(answers), NAMES)
    assert len(rows) == 600
    assert rows["count"].sum() == 600
    few = evaluation_tables.confusion_frame(np.eye(base.FEW_CLASSES, dtype=np.int64), NAMES[: base.FEW_CLASSES])
    assert len(few) == base.FEW_CLASSES**2


def test_matrix_of_many_classes_has_no_counts_in_its_cells_and_fits_a_screen(answers: Answers) -> None:
    matrix = scores.confusion_matrix(answers)
    many = evaluation.confusion_chart(evaluation_tables.confusion_frame(matrix, NAMES), NAMES, (0, 1)).to_dict()
    few = evaluation.confusion_chart(evaluation_tables.confusion_frame(matrix[:9, :9], NAMES[:9]), NAMES[:9]).to_dict()
    assert many["height"] < 800
    assert len(many["layer"]) == len(few["layer"]) - 1


def test_bars_are_those_of_the_likeliest_classes_and_of_the_true_one_in_their_order(answers: Answers) -> None:
    row = answers.probabilities[300].copy()  # of class 0, taken for class 1
    row[[200, 250]] = 0.01
    rows = evaluation_tables.probabilities_frame({"m": row}, NAMES, truth=299)
    assert list(rows["label"]) == sorted(rows["label"])
    assert {1, 200, 250, 299} <= set(rows["label"])
    assert len(rows) == 13
    assert predictions.probabilities_chart(rows).height == 13 * 26


def test_all_bars_of_few_classes_are_shown() -> None:
    row = np.full(12, 1 / 12, np.float32)
    assert len(evaluation_tables.probabilities_frame({"m": row}, NAMES[:12])) == 12
