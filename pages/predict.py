"""Use a model: test images, your own images, the history of its checkpoints, its evaluation, a second model."""

from functools import partial

import streamlit as st

from fashion_core.data.description import images_here
from fashion_core.resume.labels import loss_text
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, run_status
from fashion_core.ui.checkpoints import exports, saved_file
from fashion_core.ui.predict import checkpoint_history, choose, evaluation, gallery, own_images
from pages import texts

YOURS, HISTORY = "Your images", "Checkpoint history"  # views, in addresses


def main() -> None:
    store = RunStore()
    st.title(texts.PREDICT)
    st.caption(texts.PREDICT_CAPTION)
    if chosen := choose.ask_file(store):
        show_file(chosen)
        show_views(choose.usable(chosen))
    else:
        run_status.welcome(store)


def show_file(chosen: saved_file.Chosen) -> None:
    record, info = chosen.run.record, chosen.run.file_info(chosen.file)
    config = record.config
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.images_badge(record)
        if info:
            about = {"format": info.format, "epoch": info.epoch, "loss": loss_text(info.loss, 4)}
            st.caption(texts.MODEL_FILE.format(model=config.model, pixels=config.pixels, **about))
        st.space("stretch")
        query = common.file_query(chosen.run, chosen.file)
        address.link("checkpoints.py", texts.LOOK_INSIDE, ":material/save:", query)
    if record.images != images_here(config.dataset):
        st.warning(texts.OTHER_IMAGES, icon=":material/swap_horiz:")


def show_views(chosen: saved_file.Chosen) -> None:
    history = partial(checkpoint_history.show_history, chosen)
    views: dict[str, address.View] = {
        "Test images": (texts.TEST_IMAGES, lambda: gallery.show_gallery(chosen, lambda: address.go(view=HISTORY))),
        YOURS: (texts.YOUR_IMAGES, lambda: own_images.show_own_images(chosen, history)),
        HISTORY: (texts.CHECKPOINT_HISTORY, lambda: checkpoint_history.show_test_image_history(chosen)),
        "Evaluation": (texts.EVALUATION, lambda: evaluation.show_evaluation(chosen)),
        "Two models": (texts.TWO_MODELS, lambda: evaluation.show_two_models(chosen)),
        "In plain PyTorch": (texts.IN_PLAIN_PYTORCH, lambda: exports.show_using_script(chosen)),
    }
    address.show_tabs(views, closed={YOURS: own_images.keep_uploads})


main()
