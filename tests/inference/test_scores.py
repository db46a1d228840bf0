"""The figures of a model against cases counted by hand, and what must hold of any answers."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fashion_core.config import CLASS_NAMES, CLASSES
from fashion_core.errors import ComparisonError, DataError
from fashion_core.inference import scores
from fashion_core.inference.scores import Answers, Array
from tests.support.charts import FOUR, answers_from, right_and_wrong


@st.composite
def any_answers(draw: st.DrawFn) -> Answers:
    count = draw(st.integers(1, 40))
    logits = draw(arrays(np.float32, (count, CLASSES), elements=st.floats(-20, 20, width=32)))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    labels = draw(arrays(np.int64, count, elements=st.integers(0, CLASSES - 1)))
    return Answers(odds / odds.sum(axis=1, keepdims=True), labels, CLASS_NAMES)


def test_an_answer_is_right_if_its_most_probable_class_is_the_label() -> None:
    assert FOUR.predicted.tolist() == [0, 6, 6, 1]
    assert FOUR.correct.tolist() == [True, False, True, True]
    assert FOUR.confidence.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert FOUR.accuracy == 0.75


@pytest.mark.parametrize(
    ("probabilities", "labels", "word"),
    [
        (np.ones((2, 9)), np.zeros(2, np.int64), "classify"),
        (np.ones((2, 10)), np.zeros(3, np.int64), "classify"),
        (np.ones((0, 10)), np.zeros(0, np.int64), "classify"),
        (np.ones((2, 10)), np.zeros((2, 1), np.int64), "classify"),
        (np.full((1, 10), np.nan), np.zeros(1, np.int64), "finite"),
        (np.ones((1, 10)), np.array([10]), "label"),
        (np.ones((1, 10)), np.array([-1]), "label"),
    ],
)
def test_arrays_that_are_no_answers_are_refused(probabilities: Array, labels: Array, word: str) -> None:
    with pytest.raises(DataError, match=word):
        Answers(probabilities, labels, CLASS_NAMES)


def test_the_interval_is_wilsons() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81 of 263, and 0 of 20."""
    assert scores.accuracy_interval(right_and_wrong("r" * 81 + "w" * 182)) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert scores.accuracy_interval(right_and_wrong("w" * 20)) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_confusion_counts_true_classes_in_rows_and_predicted_ones_in_columns() -> None:
    matrix = scores.confusion_matrix(FOUR)
    assert matrix.shape == (10, 10)
    assert {pair: n for pair, n in np.ndenumerate(matrix) if n} == {(0, 0): 1, (0, 6): 1, (6, 6): 1, (1, 1): 1}


def test_class_scores_are_counted_by_hand_and_a_score_of_nothing_is_none() -> None:
    found = scores.class_scores(FOUR)
    assert found[0] == scores.ClassScore(0, 1.0, 0.5, 2 / 3, 2)
    assert found[6] == scores.ClassScore(6, 0.5, 1.0, 2 / 3, 1)
    assert found[3] == scores.ClassScore(3, None, None, None, 0)
    never_found = scores.class_scores(answers_from((3, 0, 0.9)))[3]
    assert never_found == scores.ClassScore(3, None, 0.0, 0.0, 1)


def test_expected_calibration_error_is_counted_by_hand() -> None:
    answers = answers_from((0, 0, 0.95), (0, 1, 0.95), (0, 0, 0.55), (0, 0, 0.55))
    found = scores.calibration(answers, bins=10)
    filled = {round(one.low, 1): (one.count, one.accuracy) for one in found.bins if one.count}
    assert filled == {0.5: (2, 1.0), 0.9: (2, 0.5)}
    assert found.expected_calibration_error == pytest.approx(0.45)
    assert found.confidence == pytest.approx(0.75)
    assert found.accuracy == 0.75


def test_a_bin_is_open_below_and_closed_above_and_empty_ones_have_no_mean() -> None:
    found = scores.calibration(answers_from((0, 0, 0.5), (0, 0, 1.0)), bins=2).bins
    assert [one.count for one in found] == [1, 1]
    assert scores.calibration(answers_from((0, 0, 0.9)), bins=2).bins[0] == scores.Bin(0.0, 0.5, 0, None, None)


@pytest.mark.parametrize(
    ("right", "sure", "verdict"), [(50, 0.9, "overconfident"), (90, 0.4, "underconfident"), (90, 0.92, "neither")]
)
def test_a_model_is_over_or_underconfident_beyond_what_chance_does(right: int, sure: float, verdict: str) -> None:
    answers = answers_from(*((0, 0 if number < right else 1, sure) for number in range(100)))
    assert scores.calibration(answers).verdict == verdict


def test_mistakes_begin_with_the_most_confident_one_and_the_least_sure_with_the_closest_two_classes() -> None:
    assert scores.misclassified(answers_from((0, 1, 0.5), (0, 0, 0.99), (0, 2, 0.9), (0, 3, 0.7))).tolist() == [2, 3, 0]
    rows = np.zeros((3, 10), np.float32)
    rows[0, :2], rows[1, :2], rows[2, :3] = (0.8, 0.2), (0.51, 0.49), (0.45, 0.3, 0.25)
    assert scores.smallest_margins(Answers(rows, np.zeros(3, np.int64), CLASS_NAMES)).tolist() == [1, 2, 0]


def test_mcnemar_counts_who_is_right_alone() -> None:
    found = scores.mcnemar(right_and_wrong("rrrww"), right_and_wrong("rwwrw"))
    assert (found.both, found.only_first_right, found.only_second_right, found.neither) == (1, 2, 1, 1)


@pytest.mark.parametrize(
    ("alone", "p", "better"), [((1, 9), 22 / 1024, "second"), ((9, 1), 22 / 1024, "first"), ((2, 8), 112 / 1024, None)]
)
def test_mcnemar_is_exact(alone: tuple[int, int], p: float, better: str | None) -> None:
    """Twice the tail of ten tosses of a coin: (1 + 10) / 1024, and (1 + 10 + 45) / 1024."""
    first, second = alone
    found = scores.mcnemar(
        right_and_wrong("r" * first + "w" * second + "r" * 50), right_and_wrong("w" * first + "r" * second + "r" * 50)
    )
    assert found.p == pytest.approx(p)
    assert found.better == better


def test_differing_are_the_images_taken_for_different_classes_right_or_wrong() -> None:
    assert (scores.mcnemar(FOUR, FOUR).p, scores.disagreements(FOUR, FOUR).tolist()) == (1.0, [])
    other = answers_from((0, 0, 0.5), (0, 7, 0.8), (6, 0, 0.7), (1, 1, 0.6))
    assert scores.disagreements(FOUR, other).tolist() == [1, 2]


@pytest.mark.parametrize("compare", [scores.mcnemar, scores.disagreements])
def test_answers_about_different_images_are_not_compared(compare: object) -> None:
    assert callable(compare)
    for other in (right_and_wrong("rrr"), answers_from((1, 0, 0.9), (0, 6, 0.8), (6, 6, 0.7), (1, 1, 0.6))):
        with pytest.raises(ComparisonError, match="different images"):
            compare(FOUR, other)


HISTORY = np.array(
    [[1, 1, 0, 0, 1],
     [0, 1, 1, 0, 1],
     [1, 1, 1, 0, 1],
     [0, 0, 1, 0, 1]], dtype=bool,
)  # fmt: skip


def test_forgotten_is_what_was_right_the_longest_known_first_and_each_step_from_right_to_wrong_counts() -> None:
    found = scores.forgotten(HISTORY)
    assert (found.lost.tolist(), found.times.tolist()) == ([1, 0], [2, 1, 0, 0, 0])
    assert found.never_learned.tolist() == [3]


def test_one_checkpoint_forgets_nothing_and_none_is_refused() -> None:
    found = scores.forgotten(HISTORY[:1])
    assert (found.lost.tolist(), found.times.sum(), found.never_learned.tolist()) == ([], 0, [2, 3])
    for wrong in (HISTORY[:0], HISTORY[0]):
        with pytest.raises(DataError, match="checkpoint"):
            scores.forgotten(wrong)


@given(any_answers())
@settings(deadline=None)
def test_figures_agree_with_each_other(answers: Answers) -> None:
    matrix, found = scores.confusion_matrix(answers), scores.calibration(answers)
    low, high = scores.accuracy_interval(answers)
    assert matrix.sum() == len(answers)
    assert matrix.trace() == answers.correct.sum()
    assert low - 1e-9 <= answers.accuracy <= high + 1e-9
    assert sum(score.support for score in scores.class_scores(answers)) == len(answers)
    assert sum(one.count for one in found.bins) == len(answers)
    assert abs(found.confidence - found.accuracy) - 1e-6 <= found.expected_calibration_error <= 1
    assert sorted(scores.smallest_margins(answers)) == list(range(len(answers)))
    assert set(scores.misclassified(answers)) == set(np.flatnonzero(~answers.correct))


@given(any_answers(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_models_are_compared_in_either_order(answers: Answers, random: Random) -> None:
    order = list(range(CLASSES))
    random.shuffle(order)
    other = Answers(answers.probabilities[:, order], answers.labels, CLASS_NAMES)
    there, back = scores.mcnemar(answers, other), scores.mcnemar(other, answers)
    assert (there.p, there.only_first_right) == (back.p, back.only_second_right)
    assert there.both + there.neither + there.only_first_right + there.only_second_right == len(answers)


@given(arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(0, 12))))
def test_an_image_is_lost_exactly_if_it_was_forgotten_and_not_learned_again(correct: Array) -> None:
    found = scores.forgotten(correct)
    assert set(found.lost) == {n for n in range(correct.shape[1]) if correct[:, n].any() and not correct[-1, n]}
    assert (found.times[found.lost] >= 1).all()
    assert (found.times[found.never_learned] == 0).all()
