"""Use a model: test images, your own images, the history of its checkpoints, its evaluation, a second model."""

import streamlit as st

from fashion_core.resume.labels import loss_text
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, run_status
from fashion_core.ui.checkpoints import exports, saved_file
from fashion_core.ui.predict import checkpoint_history, choose, evaluation, gallery, own_images

GALLERY, OWN, HISTORY = "Test images", "Your images", "Checkpoint history"
EVALUATION, TWO, SNIPPET = "Evaluation", "Two models", "In plain PyTorch"


def main() -> None:
    store = RunStore()
    st.title("Predict")
    st.caption("Use any saved model on test images, on your own images, and beside every other checkpoint.")
    if chosen := choose.ask_file(store):
        show_file(chosen)
        show_views(choose.usable(chosen))
    else:
        run_status.welcome(store)


def show_file(chosen: saved_file.Chosen) -> None:
    info = chosen.run.file_info(chosen.file)
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(chosen.run.record.config.dataset)
        if info:
            said = f"{info.format} · epoch {info.epoch:,} · loss {loss_text(info.loss, 4)}"
            st.caption(f"{chosen.run.record.config.model} · {said} · pixels {chosen.run.record.config.pixels}")
        st.space("stretch")
        query = common.file_query(chosen.run, chosen.file)
        address.link("checkpoints.py", "Look inside", ":material/save:", query)


def show_views(chosen: saved_file.Chosen) -> None:
    views = {
        GALLERY: lambda: gallery.show_gallery(chosen, lambda: address.go(view=HISTORY)),
        OWN: lambda: own_images.show_own_images(chosen, lambda image: checkpoint_history.show_history(chosen, image)),
        HISTORY: lambda: checkpoint_history.show_test_image_history(chosen),
        EVALUATION: lambda: evaluation.show_evaluation(chosen),
        TWO: lambda: evaluation.show_two_models(chosen),
        SNIPPET: lambda: exports.show_using_script(chosen),
    }
    address.show_tabs(views, closed={OWN: own_images.keep_uploads})


main()
