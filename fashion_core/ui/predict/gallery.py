"""Test images to choose from, and the chosen one with all that the model says about it."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import streamlit as st

from fashion_core.charts import evaluation_tables
from fashion_core.charts.gallery import IMAGE, gallery_chart
from fashion_core.charts.predictions import models_key, probabilities_chart
from fashion_core.config import CLASS_NAMES
from fashion_core.errors import ConfigError
from fashion_core.inference import scores
from fashion_core.inference.scores import Answers, Array
from fashion_core.ui import common
from fashion_core.ui.predict.models import answers, test_images
from fashion_core.ui.saved_file import Chosen
from fashion_core.ui.snippets.loading import plain_name

PAGE_SIZE = 30
_MOST_DIGITS = 9
IMAGE_WIDTH = 224
"""Eight screen pixels a pixel."""
EVERY, RIGHT, WRONG, CONFIDENT, UNSURE = "all", "right", "wrong", "most confident mistakes", "least sure"
ORDERS: Final[dict[str, Callable[[Answers], Array]]] = {
    EVERY: lambda said: np.arange(len(said)),
    RIGHT: lambda said: np.flatnonzero(said.correct),
    WRONG: lambda said: np.flatnonzero(~said.correct),
    CONFIDENT: scores.misclassified,
    UNSURE: scores.smallest_margins,
}


def show_gallery(chosen: Chosen, open_history: Callable[[], None]) -> None:
    """Filters, a page of images, and the one that the address names; from there on to every checkpoint's opinion."""
    said = answers(chosen)
    pixels, _ = test_images(chosen.run.record.config.dataset)
    show_images(_filtered(said), pixels, said, "gallery")
    if addressed_image(len(said)) is None:
        st.caption("Choose an image to see what the model says about it.")
    show_chosen(pixels, {"this model": said}, open_history)
    _offer_csv(chosen, said)


def _filtered(said: Answers) -> Array:
    """Which images, in which order; the filters stand in the address."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.segmented_control(
            "Show", list(ORDERS), default=EVERY, required=True, key="show", bind="query-params"
        )
        classes = st.multiselect(
            "True class", CLASS_NAMES, placeholder="any class", key="class", bind="query-params", width=320
        )
    found = ORDERS[order or EVERY](said)
    wanted = [CLASS_NAMES.index(name) for name in classes]
    return found[np.isin(said.labels[found], wanted)] if wanted else found


def show_images(indices: Array, pixels: Array, said: Answers, key: str, other: Answers | None = None) -> None:
    """A page of these images; a click names one in the address."""
    if not len(indices):
        st.info("There is no such image.", icon=":material/hide_image:")
        return
    shown, page = _page_of(indices, key)
    rows = evaluation_tables.gallery_frame(shown, pixels, said, other)
    chart_key = f"{key} {page} {hash(shown.tobytes())}"  # another page, no choice
    st.vega_lite_chart(
        gallery_chart(rows, addressed_image(len(said))).to_dict(),
        key=chart_key,
        on_select=lambda: _take_image(chart_key),
        selection_mode=IMAGE,
        alt="Test images with what the model takes them for",
    )


def _page_of(indices: Array, key: str) -> tuple[Array, int]:
    """The images of one page, and its number from 0."""
    pages = -(-len(indices) // PAGE_SIZE)
    with st.container(horizontal=True, vertical_alignment="center"):
        page = common.ask_page(pages, _page_key(indices, key))
        st.caption(f"{len(indices):,} images" + (f", page {page + 1:,} of {pages:,}" if pages > 1 else ""))
    return indices[page * PAGE_SIZE : (page + 1) * PAGE_SIZE], page


def _page_key(indices: Array, key: str) -> str:
    """Where the page stands, in the address too; other images than before begin at their first page."""
    page_key, images_key, images = f"{key}-page", f"{key} images", hash(indices.tobytes())
    if st.session_state.get(images_key, images) != images:
        st.session_state.pop(page_key, None)
        st.query_params.pop(page_key, None)
    st.session_state[images_key] = images
    return page_key


def _take_image(key: str) -> None:
    points = st.session_state[key].selection.get(IMAGE) or []
    if points:
        st.query_params[IMAGE] = str(int(points[0]["index"]))


def addressed_image(count: int) -> int | None:
    """The test image that the address names. Raises ``ConfigError`` if there is none with that number."""
    given = st.query_params.get(IMAGE)
    if given is None:
        return None
    if not given.isdecimal() or len(given) > _MOST_DIGITS or int(given) >= count:
        raise ConfigError(f"A test image is a number from 0 to {count - 1:,}, not {given!r}: mend the address.")
    return int(given)


def show_chosen(pixels: Array, models: Mapping[str, Answers], open_history: Callable[[], None] | None = None) -> None:
    """The image that the address names, if it names one, with what each model says about it, and the way onward."""
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
        rows = {name: said.probabilities[index] for name, said in models.items()}
        show_answer(pixels[index], rows, int(labels[index]))


def show_answer(image: Array, rows: Mapping[str, Array], label: int | None, alt: str = "The chosen image") -> None:
    """One image large, and its ten probabilities by each model beside it."""
    left, right = st.columns([1, 2], vertical_alignment="center")
    with left:
        show_large(image, alt)
    with right:
        if len(rows) == 2:
            st.caption(models_key(*map(common.plain, rows)))
        chart = probabilities_chart(evaluation_tables.probabilities_frame(rows, label))
        st.vega_lite_chart(chart.to_dict(), alt="The probability of each class")


def show_large(image: Array, alt: str) -> None:
    """An image of 28 × 28 with its pixels to be seen."""
    st.image(np.kron(image, np.ones((8, 8), np.uint8)), width=IMAGE_WIDTH, alt=alt)


def _offer_csv(chosen: Chosen, said: Answers) -> None:
    names = [str(index) for index in range(len(said))]
    st.download_button(
        "Predictions of all test images as CSV",
        lambda: evaluation_tables.predictions_frame(names, said.probabilities, said.labels).to_csv(index=False),
        f"{plain_name(chosen.run.title)}-test-predictions.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
