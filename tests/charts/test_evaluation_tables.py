"""Answers as rows, as pictures and as sentences."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fashion_core.charts import evaluation_tables as tables
from fashion_core.charts.evaluation_tables import History
from fashion_core.charts.gallery import thumbnail
from fashion_core.charts.texts import OTHER_CLASSES
from fashion_core.config import CLASS_NAMES
from fashion_core.inference import scores
from tests.support.charts import COAT, FAMILY, FOUR, PIXELS, SHIRT, answers_from, history, right_and_wrong, row, tuples


def test_thumbnail_is_a_png_of_just_these_pixels() -> None:
    kind, data = thumbnail(PIXELS[1]).split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (28, 28), "L")
        assert np.array_equal(np.asarray(image), PIXELS[1, 0])


def test_probabilities_stand_in_the_order_of_the_classes_the_first_model_before_the_second() -> None:
    rows = tables.probabilities_frame({"a": row((SHIRT, 0.8)), "b": row((COAT, 0.7))}, CLASS_NAMES)
    assert tuple(rows.columns) == tables.PROBABILITY_COLUMNS
    assert list(rows["label"]) == [label for label in range(10) for _ in "ab"]
    assert list(rows["number"]) == [0, 1] * 10
    assert rows.groupby("model")["probability"].sum().to_dict() == {"a": pytest.approx(1), "b": pytest.approx(1)}
    assert tuples(rows[rows["predicted"]], "model", "class") == [("b", "Coat"), ("a", "Shirt")]


@pytest.mark.parametrize(
    ("truth", "found"),
    [
        (None, {"Shirt": "◀ predicted"}),
        (SHIRT, {"Shirt": "✓ predicted"}),
        (COAT, {"Shirt": "✗ predicted", "Coat": "◆ true class"}),
    ],
)
def test_predicted_and_true_class_have_a_sign_and_a_word(truth: int | None, found: dict[str, str]) -> None:
    rows = tables.probabilities_frame({"m": row((SHIRT, 0.8))}, CLASS_NAMES, truth)
    assert dict(tuples(rows[rows["words"] != ""], "class", "words")) == found


def test_runs_stand_below_those_they_were_resumed_from_and_begin_with_what_that_checkpoint_said() -> None:
    rows = tables.history_frame(FAMILY, CLASS_NAMES, SHIRT)
    assert tuple(rows.columns) == tables.HISTORY_COLUMNS
    assert list(rows["run"].unique()) == ["base", "child", "grandchild"]
    assert list(rows["panel"].unique()) == [0, 1, 2]
    assert list(rows["heading"].unique())[:2] == ["name of base", "↳ name of child, resumed from name of base"]
    child = rows[rows["run"] == "child"]
    assert list(child["epoch"].unique()) == [1, 2, 3]
    assert set(child["branch"]) == {1}
    of_base = rows.query("run == 'base' and epoch == 1")["probability"]
    assert list(child.query("epoch == 1")["probability"]) == list(of_base)


def test_a_run_whose_parent_is_not_there_stands_alone() -> None:
    rows = tables.history_frame(FAMILY[:1], CLASS_NAMES, SHIRT)
    assert set(tuples(rows, "epoch", "heading", "branch")) == {(4, "↳ name of grandchild, resumed", 3)}


def test_the_true_class_comes_first_then_those_ever_on_top_then_the_others_stacked_to_one() -> None:
    rows = tables.history_frame(FAMILY, CLASS_NAMES, SHIRT)
    assert list(rows["series"].unique()) == ["Shirt", "T-shirt/top", "Coat", OTHER_CLASSES]
    assert list(rows["place"].unique()) == [0, 1, 2, 4]
    assert set(rows.loc[rows["truth"], "series"]) == {"Shirt"}
    for _, stack in rows.groupby(["run", "epoch"]):
        assert list(stack["low"]) == [0.0, *stack["high"].iloc[:-1]]
        assert stack["high"].iloc[-1] == 1.0
        assert (stack["high"] - stack["low"]).tolist() == pytest.approx(stack["probability"].tolist())
    assert list(rows.drop_duplicates(["run", "epoch"])["answer"])[-2:] == ["✓ Shirt", "✗ Coat"]
    assert "Coat" in set(tables.history_frame(FAMILY, CLASS_NAMES)["answer"])


def test_there_are_five_series_at_most() -> None:
    restless = history("r", {label: row((label, 0.5 + label / 100)) for label in range(10)})
    assert list(tables.history_frame([restless], CLASS_NAMES, 2)["place"].unique()) == [0, 1, 2, 3, 4]
    assert list(tables.history_frame([restless], CLASS_NAMES)["series"].unique()) == [
        "Ankle boot", "Bag", "Sneaker", "Shirt", OTHER_CLASSES,
    ]  # fmt: skip


def test_a_cell_has_its_count_and_its_share_of_the_true_class() -> None:
    frame = tables.confusion_frame(scores.confusion_matrix(FOUR), CLASS_NAMES)
    rows = {(cell["true"], cell["predicted"]): cell for cell in frame.to_dict("records")}
    assert len(rows) == 100
    named = ("true_name", "predicted_name", "count", "share")
    assert [rows[0, 6][column] for column in named] == ["T-shirt/top", "Shirt", 1, 0.5]
    assert rows[2, 0]["count"] == 0
    assert np.isnan(rows[2, 0]["share"])


def test_the_hardest_class_comes_first() -> None:
    rows = tables.class_frame(scores.class_scores(FOUR), CLASS_NAMES)
    assert tuple(rows.columns) == tables.CLASS_COLUMNS
    assert list(rows["class"])[-1] == "Trouser"
    assert rows["f1"].dropna().is_monotonic_increasing
    assert rows["precision"].dtype == "float64"


def test_a_bin_is_a_row_and_an_empty_one_has_no_means() -> None:
    rows = tables.reliability_frame(scores.calibration(FOUR))
    assert tuple(rows.columns) == tables.RELIABILITY_COLUMNS
    assert len(rows) == 15
    assert (rows["confidence"].isna() == (rows["count"] == 0)).all()


def test_an_image_has_its_answer_and_the_truth_where_that_is_wrong() -> None:
    rows = tables.gallery_frame([1, 0], PIXELS, FOUR)
    assert tuple(rows.columns) == tables.GALLERY_COLUMNS
    assert tuples(rows, "index", "number", "first", "first_right", "second", "truth") == [
        (1, 0, "✗ Shirt", False, "", "is T-shirt/top"), (0, 1, "✓ T-shirt/top", True, "", ""),
    ]  # fmt: skip
    assert list(rows["image"]) == [thumbnail(PIXELS[1]), thumbnail(PIXELS[0])]
    assert rows["description"].iloc[0] == "image 1, T-shirt/top, taken for Shirt"


def test_of_two_models_each_has_its_answer_and_the_truth_is_there_if_neither_has_it() -> None:
    other = answers_from((0, 6, 0.9), (0, 4, 0.8), (6, 6, 0.7), (1, 1, 0.6))
    rows = tables.gallery_frame([0, 1], PIXELS, FOUR, other)
    assert tuples(rows, "second", "truth") == [("✗ Shirt", ""), ("✗ Coat", "is T-shirt/top")]


def test_predictions_are_written_with_the_truth_where_it_is_known() -> None:
    rows = tables.predictions_frame(["a", "b"], CLASS_NAMES, FOUR.probabilities[:2], FOUR.labels[:2])
    assert list(rows.columns[:4]) == ["image", "class", "true class", "probability"]
    assert rows.shape == (2, 14)
    assert list(rows["class"]) == ["T-shirt/top", "Shirt"]
    assert "true class" not in tables.predictions_frame(["a"], CLASS_NAMES, FOUR.probabilities[:1])


def test_accuracy_is_told_with_its_interval() -> None:
    sentence = tables.accuracy_sentence(right_and_wrong("r" * 9040 + "w" * 960))
    assert sentence == "**90.4%** of 10,000 test images are right (95% interval 89.8–91.0%)."


def test_the_most_frequent_mistake_is_told() -> None:
    found = answers_from(*[(6, 0, 0.9)] * 3, (6, 6, 0.9), (0, 6, 0.9))
    assert tables.confusion_sentence(found, CLASS_NAMES) == (
        "Most often mixed up: **Shirt** predicted as **T-shirt/top** (3 of 4)."
    )
    assert tables.confusion_sentence(right_and_wrong("rr"), CLASS_NAMES) == "No image is misclassified."


@pytest.mark.parametrize(
    ("right", "sentence"),
    [
        (50, "**Overconfident**: 90.0% sure on average, but right on 50.0% of the images"
             " (expected calibration error 40.0%)."),
        (100, "**Underconfident**: 90.0% sure on average, but right on 100.0% of the images"
              " (expected calibration error 10.0%)."),
        (90, "**Neither over- nor underconfident on average**: 90.0% sure on average, right on 90.0% of the images"
             " (expected calibration error 0.0%)."),
    ],
)  # fmt: skip
def test_calibration_is_told_in_percent(right: int, sentence: str) -> None:
    found = scores.calibration(right_and_wrong("r" * right + "w" * (100 - right)))
    assert tables.calibration_sentence(found) == sentence


@pytest.mark.parametrize(
    ("first", "second", "end"),
    [
        (30, 60, "They differ on **90** images; only A is right on 30, only B on 60: "
                 "**B is significantly better** (p = 0.0021, exact McNemar test)."),
        (90, 9, "**A is significantly better** (p < 0.001, exact McNemar test)."),
        (5, 6, "**no significant difference** (p = 1, exact McNemar test)."),
        (1, 0, "They differ on **1** image; only A is right on 1, only B on 0: "
               "**no significant difference** (p = 1, exact McNemar test)."),
        (0, 0, "Both models predict the same class for every image."),
    ],
)  # fmt: skip
def test_whether_a_model_is_better_is_told(first: int, second: int, end: str) -> None:
    pair = right_and_wrong("r" * first + "w" * second + "r"), right_and_wrong("w" * first + "r" * second + "r")
    sentence = tables.disagreement_sentence(scores.mcnemar(*pair), len(scores.disagreements(*pair)), "A", "B")
    assert sentence.endswith(end)


def test_what_was_forgotten_is_told() -> None:
    found = scores.forgotten(np.array([[True, False, True], [False, False, True]]))
    assert tables.forgotten_sentence(found, 2) == (
        "**1** of 3 images was right at an earlier checkpoint and is wrong at the last. 1 was right at none of the 2."
    )


def test_frames_of_nothing_have_their_columns() -> None:
    nothing = History("n", "n", None, None, np.array([], np.int64), np.empty((0, 10), np.float32))
    for frame, columns in (
        (tables.history_frame([nothing], CLASS_NAMES, 1), tables.HISTORY_COLUMNS),
        (tables.history_frame([], CLASS_NAMES), tables.HISTORY_COLUMNS),
        (tables.gallery_frame([], PIXELS, FOUR), tables.GALLERY_COLUMNS),
    ):
        assert frame.empty
        assert tuple(frame.columns) == columns
