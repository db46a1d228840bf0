"""The test images, and the chosen one with what the model predicts for it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import streamlit as st

from fashion_core.charts import evaluation_tables
from fashion_core.charts.gallery import IMAGE, gallery_chart
from fashion_core.charts.predictions import models_key, probabilities_chart
from fashion_core.config import CLASS_NAMES
from fashion_core.errors import ConfigError
from fashion_core.inference import scores
from fashion_core.inference.scores import Answers, Array
from fashion_core.ui import common, saved_file
from fashion_core.ui.predict.predictions import evaluate, test_images
from fashion_core.ui.snippets.scripts import plain_name

PAGE_SIZE = 30
EVERY, RIGHT, WRONG, CONFIDENT, UNSURE = "all", "right", "wrong", "most confident mistakes", "least sure"
ORDERS: Final[dict[str, Callable[[Answers], Array]]] = {
    EVERY: lambda answers: np.arange(len(answers)),
    RIGHT: lambda answers: np.flatnonzero(answers.correct),
    WRONG: lambda answers: np.flatnonzero(~answers.correct),
    CONFIDENT: scores.misclassified,
    UNSURE: scores.smallest_margins,
}


def show_gallery(chosen: saved_file.Chosen, open_history: Callable[[], None]) -> None:
    answers = evaluate(chosen)
    pixels, _ = test_images(chosen.run.record.config.dataset)
    bind: Literal["query-params"] = "query-params"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.segmented_control("Show", list(ORDERS), default=EVERY, required=True, key="show", bind=bind)
        classes = st.multiselect("True class", CLASS_NAMES, placeholder="any class", key="class", bind=bind, width=320)
    found, wanted = ORDERS[order](answers), [CLASS_NAMES.index(name) for name in classes]
    shown = found[np.isin(answers.labels[found], wanted)] if wanted else found
    show_images(shown, pixels, answers, "gallery")
    if addressed_image(len(answers)) is None:
        st.caption("Choose an image to see what the model predicts for it.")
    show_chosen(pixels, {"this model": answers}, open_history)
    names, file = list(map(str, range(len(answers)))), f"{plain_name(chosen.run.title)}-test-predictions.csv"
    table = partial(evaluation_tables.predictions_frame, names, answers.probabilities, answers.labels)
    common.offer_csv("Predictions of all test images as CSV", table, file)


def show_images(indices: Array, pixels: Array, answers: Answers, key: str, other: Answers | None = None) -> None:
    """Show a page of these images; a click puts one into the address."""
    if not len(indices):
        st.info("There is no such image.", icon=":material/hide_image:")
        return
    pages = -(-len(indices) // PAGE_SIZE)
    with st.container(horizontal=True, vertical_alignment="center"):
        page = common.ask_page(pages, _page_key(indices, key))
        st.caption(f"{len(indices):,} images" + (f", page {page + 1:,} of {pages:,}" if pages > 1 else ""))
    shown = indices[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
    rows = evaluation_tables.gallery_frame(shown, pixels, answers, other)
    chart, alt = gallery_chart(rows, addressed_image(len(answers))), "Test images with what the model predicts"
    key = f"{key} {page} {hash(shown.tobytes())}"  # on another page nothing is chosen
    common.show_clickable(chart, key, IMAGE, _address_image, alt)


def _page_key(indices: Array, key: str) -> str:
    """The key of the page number, which is in the address; other images begin at their first page."""
    page_key, images_key, images = f"{key}-page", f"{key} images", hash(indices.tobytes())
    if st.session_state.get(images_key, images) != images:
        st.session_state.pop(page_key, None)
        st.query_params.pop(page_key, None)
    st.session_state[images_key] = images
    return page_key


def _address_image(point: dict[str, Any]) -> None:
    if point:
        common.address(**{IMAGE: int(point["index"])})


def addressed_image(count: int) -> int | None:
    """The test image that the address names. Raises ``ConfigError`` if there is none with that number."""
    if (given := st.query_params.get(IMAGE)) is None:
        return None
    if not given.isdecimal() or len(given) > 9 or int(given) >= count:
        raise ConfigError(f"A test image is a number from 0 to {count - 1:,}, not {given!r}: fix the address.")
    return int(given)


def show_chosen(pixels: Array, models: Mapping[str, Answers], open_history: Callable[[], None] | None = None) -> None:
    labels = next(iter(models.values())).labels
    index = addressed_image(len(labels))
    if index is None:
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Test image {index:,}** · {CLASS_NAMES[labels[index]]}")
            if open_history:
                st.space("stretch")
                st.button("Checkpoint history", icon=":material/timeline:", on_click=open_history)
        rows = {name: answers.probabilities[index] for name, answers in models.items()}
        show_answer(pixels[index], rows, int(labels[index]))


def show_answer(image: Array, rows: Mapping[str, Array], label: int | None, alt: str = "The chosen image") -> None:
    left, right = st.columns([1, 2], vertical_alignment="center")
    with left:
        show_large(image, alt)
    with right:
        if len(rows) == 2:
            st.caption(models_key(*map(common.plain, rows)))
        chart = probabilities_chart(evaluation_tables.probabilities_frame(rows, label))
        st.vega_lite_chart(chart.to_dict(), alt="The probability of each class")


def show_large(image: Array, alt: str) -> None:
    st.image(np.kron(image, np.ones((8, 8), np.uint8)), width=224, alt=alt)  # eight screen pixels for each pixel
