"""Evaluate a model on all test images, and compare it with another one."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import streamlit as st

from fashion_core.charts import base, evaluation, evaluation_tables
from fashion_core.charts.texts import CLASS_KEY, CONFUSION_KEY, RELIABILITY_KEY
from fashion_core.errors import printable
from fashion_core.inference import scores
from fashion_core.ui import address, common
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.predict import choose, gallery, predictions, texts

_TALL: Final = 720  # pixels of a list of classes that scrolls
_MOST_CELLS: Final = 200  # to choose from by name; any other can be clicked


def show_evaluation(chosen: saved_file.Chosen) -> None:
    answers = predictions.evaluate(chosen)
    pixels, _ = predictions.test_images(chosen.run.record.config.dataset)
    st.markdown(evaluation_tables.accuracy_sentence(answers))
    left, right = st.columns([3, 2])
    with left, st.container(border=True):
        _show_confusion(answers)
    with right, st.container(border=True):
        _show_classes(answers)
    _show_cell(answers, pixels)
    left, right = st.columns(2)
    with left, st.container(border=True):
        _show_calibration(answers)
    with right, st.container(border=True):
        st.header(texts.CONFIDENT_MISTAKES)
        gallery.show_images(scores.misclassified(answers), pixels, answers, "mistakes")
    gallery.show_chosen(pixels, {texts.THIS_MODEL: answers})


def _show_confusion(answers: scores.Answers) -> None:
    st.header(texts.CONFUSION_MATRIX)
    st.markdown(evaluation_tables.confusion_sentence(answers, [*map(common.plain, answers.classes)]))
    st.caption(CONFUSION_KEY)
    rows = evaluation_tables.confusion_frame(scores.confusion_matrix(answers), answers.classes)
    chart = evaluation.confusion_chart(rows, answers.classes, _addressed_cell(answers))
    common.show_clickable(chart, "confusion", evaluation.CELL, _address_cell, texts.CONFUSIONS)


def _address_cell(point: dict[str, Any]) -> None:
    cell = f"{int(point['true'])}-{int(point['predicted'])}" if point else None
    address.go(**{evaluation.CELL: cell, "cell-page": None})


def _addressed_cell(answers: scores.Answers) -> tuple[int, int] | None:
    """The true and predicted class that the address names; None also for others, which ``_show_cell`` says."""
    true, _, predicted = (address.get(evaluation.CELL) or "").partition("-")
    known = list(map(str, range(len(answers.classes))))
    return (int(true), int(predicted)) if true in known and predicted in known else None


def _show_cell(answers: scores.Answers, pixels: scores.Array) -> None:
    cell, given = _addressed_cell(answers), address.get(evaluation.CELL)
    cells = _named_cells(answers, cell)
    options = address.follow(evaluation.CELL, given if cell else None, drop=("cell-page",))
    st.selectbox(texts.CELL, cells, format_func=cells.__getitem__, placeholder=texts.CELL_HINT, width=420, **options)
    if cell is None:
        if given:
            text = texts.WRONG_CELL.format(given=printable(given))
            st.error(common.plain(text), icon=":material/error:")
        return
    true, predicted = cell
    indices = np.flatnonzero((answers.labels == true) & (answers.predicted == predicted))
    with st.container(border=True):
        st.header(common.plain(cells[f"{true}-{predicted}"]))
        gallery.show_images(indices, pixels, answers, "cell")


def _named_cells(answers: scores.Answers, chosen: tuple[int, int] | None) -> dict[str, str]:
    """Every cell of a matrix, or of a large one those with the most images and the ``chosen`` one, in class order."""
    matrix = scores.confusion_matrix(answers)
    most = np.argsort(-matrix, axis=None, kind="stable")[:_MOST_CELLS].tolist()
    places = {*most, *([] if chosen is None else [chosen[0] * len(matrix) + chosen[1]])}
    pairs = [divmod(place, len(matrix)) for place in sorted(places)]
    names = answers.classes
    return {f"{t}-{p}": texts.CELL_OF.format(true_class=names[t], predicted=names[p]) for t, p in pairs}


def _show_classes(answers: scores.Answers, compared: Sequence[scores.Answers] = ()) -> None:
    st.header(texts.EACH_CLASS)
    st.caption(CLASS_KEY)
    rows, *others = [
        evaluation_tables.class_frame(scores.class_scores(one), one.classes) for one in (answers, *compared)
    ]
    many = len(answers.classes) > base.FEW_CLASSES
    with st.container(height=_TALL if many else "content", border=False):
        st.vega_lite_chart(evaluation.class_chart(rows, others).to_dict(), alt=texts.CLASS_SCORES)


def _show_calibration(answers: scores.Answers) -> None:
    found = scores.calibration(answers)
    st.header(texts.CALIBRATION)
    st.markdown(evaluation_tables.calibration_sentence(found))
    st.caption(RELIABILITY_KEY)
    chart = evaluation.reliability_chart(evaluation_tables.reliability_frame(found))
    st.vega_lite_chart(chart.to_dict(), alt=texts.RELIABILITY)


def show_two_models(chosen: saved_file.Chosen) -> None:
    if (other := choose.ask_other(chosen)) is None:
        st.info(texts.NO_OTHER_MODEL, icon=":material/info:")
        address.link("resume.py", texts.RESUME, ":material/replay:", {"run": chosen.run.id})
        return
    choose.usable(other)
    first, second = predictions.evaluate(chosen), predictions.evaluate(other)
    pixels, _ = predictions.test_images(chosen.run.record.config.dataset)
    names, indices, found = _names(chosen, other), scores.disagreements(first, second), scores.mcnemar(first, second)
    st.markdown(evaluation_tables.disagreement_sentence(found, len(indices), *map(common.plain, names)))
    for column, name, answers in zip(st.columns(2), names, (first, second), strict=True):
        with column, st.container(border=True):
            st.header(common.plain(name))
            st.markdown(evaluation_tables.accuracy_sentence(answers))
            st.markdown(evaluation_tables.confusion_sentence(answers, [*map(common.plain, answers.classes)]))
            rows = evaluation_tables.confusion_frame(scores.confusion_matrix(answers), answers.classes)
            chart = evaluation.confusion_chart(rows, answers.classes)
            st.vega_lite_chart(chart.to_dict(), alt=texts.CONFUSIONS)
            _show_classes(answers, (first, second))
            _show_calibration(answers)
    if len(indices):
        st.header(texts.DIFFERENCES)
        st.caption(texts.BELOW_IMAGES.format(first=common.plain(names[0]), second=common.plain(names[1])))
        gallery.show_images(indices, pixels, first, "differing", second)
    gallery.show_chosen(pixels, dict(zip(names, (first, second), strict=True)))


def _names(chosen: saved_file.Chosen, other: saved_file.Chosen) -> tuple[str, str]:
    """What to call the two, so that they differ: by the file if both are of one run."""
    if chosen.run.id == other.run.id:
        return chosen.name, other.name if other.name != chosen.name else texts.SAME_AGAIN.format(name=other.name)
    first, second = f"{chosen.run.title} · {chosen.name}", f"{other.run.title} · {other.name}"
    return (first, second) if first != second else (f"{first} · {chosen.run.id}", f"{second} · {other.run.id}")
