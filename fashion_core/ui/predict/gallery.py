"""The test images, and the chosen one with what the model predicts for it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st

from fashion_core.charts import evaluation_tables
from fashion_core.charts.gallery import IMAGE, gallery_chart
from fashion_core.charts.predictions import models_key, probabilities_chart
from fashion_core.errors import counted
from fashion_core.inference import scores
from fashion_core.inference.scores import Answers, Array
from fashion_core.runs.store import epoch_number
from fashion_core.ui import address, common
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.predict import texts
from fashion_core.ui.predict.predictions import evaluate, test_images
from fashion_core.ui.snippets.scripts import plain_name

PAGE_SIZE = 30
_LARGE: Final = 224  # pixels of the screen
ORDERS: Final[dict[str, Callable[[Answers], Array]]] = {
    "all": lambda answers: np.arange(len(answers)),
    "right": lambda answers: np.flatnonzero(answers.correct),
    "wrong": lambda answers: np.flatnonzero(~answers.correct),
    "most confident mistakes": scores.misclassified,
    "least sure": scores.smallest_margins,
}


def show_gallery(chosen: saved_file.Chosen, open_history: Callable[[], None]) -> None:
    answers = evaluate(chosen)
    pixels, _ = test_images(chosen.run.record.config.dataset)
    labels, classes = texts.ORDER_LABELS, address.choices("class", answers.classes)
    order = address.choice("show", labels)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        following = address.follow("show", order, next(iter(labels)), drop=["gallery-page"])
        st.segmented_control(texts.ORDER, list(labels), required=True, format_func=labels.__getitem__, **following)
        following = address.follow("class", classes, [], drop=["gallery-page"])
        st.multiselect(texts.TRUE_CLASS, answers.classes, placeholder=texts.ANY_CLASS, width=320, **following)
        image, most = addressed_image(len(answers)), len(answers) - 1
        following = address.follow(IMAGE, image)
        none = texts.NO_TEST_IMAGE
        st.number_input(texts.TEST_IMAGE, 0, most, value=None, step=1, placeholder=none, width=160, **following)
    found, wanted = ORDERS[order](answers), [answers.classes.index(name) for name in classes]
    shown = found[np.isin(answers.labels[found], wanted)] if wanted else found
    if len(shown):
        show_images(shown, pixels, answers, "gallery")
    else:
        address.offer_to_clear(texts.NOTHING_PASSES, "show", "class", "gallery-page")
    if image is None:
        st.caption(texts.CHOOSE_IMAGE)
    show_chosen(pixels, {texts.THIS_MODEL: answers}, open_history)
    names, file = list(map(str, range(len(answers)))), f"{plain_name(chosen.run.title)}-test-predictions.csv"
    table = partial(evaluation_tables.predictions_frame, names, answers.classes, answers.probabilities, answers.labels)
    common.offer_csv(texts.PREDICTIONS_OF_TEST_IMAGES, table, file)


def show_images(indices: Array, pixels: Array, answers: Answers, key: str, other: Answers | None = None) -> None:
    """Show a page of these images; a click puts one into the address."""
    if not len(indices):
        st.info(texts.NO_IMAGE, icon=":material/hide_image:")
        return
    pages = -(-len(indices) // PAGE_SIZE)
    with st.container(horizontal=True, vertical_alignment="center"):
        page = address.ask_page(pages, f"{key}-page")
        many = texts.IMAGES_ON_PAGES if pages > 1 else texts.IMAGES_MANY
        st.caption(counted(len(indices), texts.IMAGES_ONE, many, page=page + 1, pages=pages))
    shown = indices[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
    rows = evaluation_tables.gallery_frame(shown, pixels, answers, other)
    chart = gallery_chart(rows, addressed_image(len(answers)))
    key = f"{key} {page} {hash(shown.tobytes())}"  # on another page nothing is chosen
    common.show_clickable(chart, key, IMAGE, _address_image, texts.GALLERY)


def _address_image(point: dict[str, Any]) -> None:
    if point:
        address.go(**{IMAGE: int(point["index"])})


def addressed_image(count: int) -> int | None:
    """The test image that the address names; None also for one that is not there, which ``show_chosen`` says."""
    index = epoch_number(address.get(IMAGE) or "")
    return index if index is not None and index < count else None


def show_chosen(pixels: Array, models: Mapping[str, Answers], open_history: Callable[[], None] | None = None) -> None:
    first = next(iter(models.values()))
    labels, classes = first.labels, first.classes
    index = address.number(IMAGE, texts.CHOOSE_ABOVE, most=len(labels) - 1)
    if index is None:
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            title = texts.TEST_IMAGE_AND_CLASS.format(index=index, true_class=common.plain(classes[labels[index]]))
            st.header(title, width="content")
            if open_history:
                st.space("stretch")
                st.button(texts.CHECKPOINT_HISTORY, icon=":material/timeline:", on_click=open_history)
        rows = {name: answers.probabilities[index] for name, answers in models.items()}
        show_answer(pixels[index], rows, classes, int(labels[index]))


def show_answer(
    image: Array, rows: Mapping[str, Array], classes: Sequence[str], label: int | None, alt: str = texts.CHOSEN_IMAGE
) -> None:
    left, right = st.columns([1, 2], vertical_alignment="center")
    with left:
        show_large(image, alt)
    with right:
        if len(rows) == 2:
            st.caption(models_key(*map(common.plain, rows)))
        chart = probabilities_chart(evaluation_tables.probabilities_frame(rows, classes, label))
        st.vega_lite_chart(chart.to_dict(), alt=texts.PROBABILITIES)


def show_large(image: Array, alt: str) -> None:
    """Show (channels, height, width) uint8, each pixel of a small image as a square of several of the screen."""
    times = max(1, _LARGE // max(image.shape[1:]))
    shown = image.transpose(1, 2, 0).repeat(times, axis=0).repeat(times, axis=1)
    st.image(shown, width=_LARGE, alt=alt)
