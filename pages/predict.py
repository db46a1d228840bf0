"""Use a model: test images, your own images, every checkpoint's opinion, how good it is, two models."""

from collections.abc import Callable

import streamlit as st

from fashion_core import gallery_views, opinion_views, own_image_views, predict_views, quality_views, ui
from fashion_core.file_views import Chosen
from fashion_core.predict_snippet_views import show_snippet

GALLERY, OWN, OPINIONS, QUALITY, TWO, SNIPPET = (
    "Test images", "Your own", "Every checkpoint's opinion", "How good is it?", "Two models", "In plain PyTorch"
)  # fmt: skip


def main() -> None:
    """The page."""
    store = ui.store()
    st.title("Predict")
    st.caption("Use any saved file: on test images, on your own, and beside every other checkpoint.")
    with ui.problems_shown():
        chosen = predict_views.ask_file(store)
        if chosen is None:
            ui.welcome(store)
            return
        show_facts(chosen)
        show_views(predict_views.usable(chosen))


def show_facts(chosen: Chosen) -> None:
    """What kind of file it is, and on what it was trained."""
    facts = chosen.run.facts(chosen.file)
    with st.container(horizontal=True, vertical_alignment="center"):
        ui.dataset_badge(chosen.run.record.config)
        if facts:
            said = f"{facts.format} · epoch {facts.epoch:,} · loss {ui.loss_text(facts.loss)}"
            st.caption(f"{chosen.run.record.config.model} · {said} · pixels {chosen.run.record.config.pixels}")
        st.space("stretch")
        query = ui.file_query(chosen.run, chosen.file)
        st.page_link("checkpoints.py", label="Look inside", icon=":material/save:", query_params=query)


def show_views(chosen: Chosen) -> None:
    """One view at a time; which one stands in the address."""
    views: dict[str, Callable[[], None]] = {
        GALLERY: lambda: gallery_views.show_gallery(chosen, go_to_opinions),
        OWN: lambda: own_image_views.show_own_images(chosen, lambda image: opinion_views.show_opinions(chosen, image)),
        OPINIONS: lambda: opinion_views.show_opinions_of_test_image(chosen),
        QUALITY: lambda: quality_views.show_quality(chosen),
        TWO: lambda: quality_views.show_two(chosen),
        SNIPPET: lambda: show_snippet(chosen),
    }
    tabs = st.tabs(list(views), key="view", on_change="rerun", bind="query-params")
    for (name, show), tab in zip(views.items(), tabs, strict=True):
        with tab, ui.problems_shown():
            if tab.open:
                show()
            elif name == OWN:
                own_image_views.keep_uploads()


def go_to_opinions() -> None:
    """Open the tab that asks every checkpoint."""
    st.session_state["view"] = OPINIONS


main()
