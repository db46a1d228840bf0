"""Images of the visitor: how each was prepared, and what the model predicts."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
import streamlit as st

from fashion_core.charts import evaluation_tables
from fashion_core.config import CLASS_NAMES
from fashion_core.errors import FashionError
from fashion_core.inference.prepare import Prepared
from fashion_core.inference.scores import Array
from fashion_core.ui import common
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.predict import gallery, predictions
from fashion_core.ui.server import uploads

UPLOAD, CAMERA = "Upload", "Camera"
_STEP_WIDTH: Final = 112


class Upload(Protocol):
    """The part of an uploaded file or camera picture that is used here."""

    name: str
    file_id: str

    def getvalue(self) -> bytes: ...


def show_own_images(chosen: saved_file.Chosen, show_history: Callable[[Array], None]) -> None:
    """Take images and show the prediction for each; ``show_history`` shows what every checkpoint predicts for one."""
    files, ready = _ask_files(), []
    for file in files:
        try:
            ready.append((file, predictions.prepared(file.getvalue())))
        except FashionError as error:  # one bad file must not hide the others
            st.error(f"**{common.plain(file.name)}**: {common.sentence(error)}", icon=":material/broken_image:")
    if not files:
        st.caption("Each image is made to look like those of the training set: greyscale, bright on black, 28 × 28.")
    if not ready:
        return
    found = np.stack([predictions.probabilities(chosen.run, chosen.file, image.pixels) for _, image in ready])
    for (file, image), row in zip(ready, found, strict=True):
        with st.container(border=True):
            _show_image(file.name, image, row)
            history = st.expander("Checkpoint history", on_change="rerun", key=f"history {file.file_id}")
            if history.open:
                with history, common.problems_shown():
                    show_history(image.pixels)
    names = [file.name for file, _ in ready]
    common.offer_csv("Predictions as CSV", lambda: evaluation_tables.predictions_frame(names, found), "predictions.csv")


def keep_uploads() -> None:
    """Keep uploads while their widget is hidden: Streamlit forgets the uploads of a widget that is not drawn."""
    _ask_files(camera=False)


def _ask_files(camera: bool = True) -> Sequence[Upload]:
    source = st.segmented_control(
        "From", [UPLOAD, CAMERA], default=UPLOAD, required=True, key="source", label_visibility="collapsed"
    )
    if source == UPLOAD:
        label = "Images of garments: PNG, JPEG, WebP, GIF, BMP or TIFF"
        return st.file_uploader(label, accept_multiple_files=True, max_upload_size=uploads.IMAGE_MIB, key="own images")
    photo = st.camera_input("Photograph a garment on a plain background", key="photo", width=420) if camera else None
    return [photo] if photo else []


def _show_image(name: str, image: Prepared, row: Array) -> None:
    best = int(row.argmax())
    st.markdown(f"**{common.plain(name)}** · {CLASS_NAMES[best]}, {row[best]:.1%}")
    gallery.show_answer(image.pixels, {"this model": row}, None, alt=f"{name}, as the model sees it")
    st.caption("How it was made to look like the training set")
    with st.container(horizontal=True):
        for step in image.steps:
            with st.container(width=_STEP_WIDTH + 24):
                st.image(step.pixels, width=_STEP_WIDTH, alt=step.name)
                st.caption(f"**{step.name}** · {step.note}")
