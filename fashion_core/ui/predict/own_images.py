"""People's own images: what was done to each, and what the model says about it."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from fashion_core.charts import evaluation_tables
from fashion_core.config import CLASS_NAMES
from fashion_core.errors import FashionError
from fashion_core.inference.client import PREDICTOR
from fashion_core.inference.prepare import Prepared
from fashion_core.inference.scores import Array
from fashion_core.ui import common, upload_limits
from fashion_core.ui.predict.gallery import show_answer
from fashion_core.ui.predict.models import prepared
from fashion_core.ui.saved_file import Chosen

MEGABYTES = 20
UPLOAD, CAMERA = "Upload", "Camera"
_STEP_WIDTH: Final = 112


def show_own_images(chosen: Chosen, show_history: Callable[[Array], None]) -> None:
    """Take images, answer for each; ``show_history`` shows what every checkpoint says about one."""
    files = _uploads() if _ask_source() == UPLOAD else _photo()
    ready = [(file, image) for file in files if (image := _prepared(file))]
    if not ready:
        if not files:
            st.caption("Each image is made like those of the training set: greyscale, bright on black, 28 × 28.")
        return
    pixels = np.stack([image.pixels for _, image in ready])
    found = PREDICTOR.predict(chosen.file, pixels, chosen.run.record.config.pixels)
    for (file, image), row in zip(ready, found, strict=True):
        with st.container(border=True):
            _show_image(file.name, image, row)
            _offer_opinions(file, image, show_history)
    _offer_csv([file.name for file, _ in ready], found)


def keep_uploads() -> None:
    """To be called where the images are not shown: what is drawn nowhere is forgotten."""
    if _ask_source() == UPLOAD:
        _uploads()


def _ask_source() -> str:
    return (
        st.segmented_control(
            "From", [UPLOAD, CAMERA], default=UPLOAD, required=True, key="source", label_visibility="collapsed"
        )
        or UPLOAD
    )


def _uploads() -> list[UploadedFile]:
    st.file_uploader(
        "Images of garments: PNG, JPEG, WebP, GIF, BMP or TIFF",
        accept_multiple_files=True,
        max_upload_size=MEGABYTES,
        key="own images",
    )
    return upload_limits.admit("own images")


def _photo() -> list[UploadedFile]:
    st.camera_input("A garment on a plain background", key="photo", width=420)
    return upload_limits.admit("photo")


def _prepared(file: UploadedFile) -> Prepared | None:
    """The image, or nothing and the reason shown: one bad file must not hide the others."""
    try:
        return prepared(file.getvalue())
    except FashionError as error:
        st.error(f"**{common.plain(file.name)}**: {common.sentence(error)}", icon=":material/broken_image:")
        return None


def _show_image(name: str, image: Prepared, row: Array) -> None:
    best = int(row.argmax())
    st.markdown(f"**{common.plain(name)}** · {CLASS_NAMES[best]}, {row[best]:.1%}")
    show_answer(image.pixels, {"this model": row}, None, alt=f"{name}, as the model sees it")
    _show_steps(image)


def _offer_opinions(file: UploadedFile, image: Prepared, show_history: Callable[[Array], None]) -> None:
    opinions = st.expander(
        "Checkpoint history", icon=":material/timeline:", on_change="rerun", key=f"opinions {file.file_id}"
    )
    if opinions.open:
        with opinions, common.problems_shown():
            show_history(image.pixels)


def _show_steps(image: Prepared) -> None:
    """The strip: each step as a picture with its reason, in the order in which they were done."""
    st.caption("How it was made like the training set")
    with st.container(horizontal=True):
        for step in image.steps:
            with st.container(width=_STEP_WIDTH + 24):
                st.image(step.pixels, width=_STEP_WIDTH, alt=step.name)
                st.caption(f"**{step.name}** · {step.note}")


def _offer_csv(names: Sequence[str], found: Array) -> None:
    st.download_button(
        "Predictions as CSV",
        evaluation_tables.predictions_frame(names, found).to_csv(index=False),
        "predictions.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
