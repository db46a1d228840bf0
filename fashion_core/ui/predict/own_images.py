"""Images of the visitor: how each was prepared, and what the model predicts."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import numpy as np
import streamlit as st

from fashion_core.charts import evaluation_tables
from fashion_core.data.description import BUILT_IN
from fashion_core.errors import FashionError
from fashion_core.inference.prepare import Prepared
from fashion_core.inference.scores import Array
from fashion_core.ui import common
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.predict import gallery, predictions, texts
from fashion_core.ui.server import uploads

_STEP_WIDTH: Final = 112


class Upload(Protocol):
    """The part of an uploaded file or camera picture that is used here."""

    name: str
    file_id: str

    def getvalue(self) -> bytes: ...


def show_own_images(chosen: saved_file.Chosen, show_history: Callable[[Array], None]) -> None:
    """Take images and show the prediction for each; ``show_history`` shows what every checkpoint predicts for one."""
    files, ready, dataset = _ask_files(), [], chosen.run.record.description
    for file in files:
        try:
            ready.append((file, predictions.prepared(file.getvalue(), dataset, dataset.sha256)))
        except FashionError as error:  # one bad file must not hide the others
            st.error(f"**{common.plain(file.name)}**: {common.sentence(error)}", icon=":material/broken_image:")
    if not files:
        fitted = texts.MADE_TO_FIT.format(dataset=common.plain(dataset.in_words))
        st.caption(texts.MADE_ALIKE if dataset.name in BUILT_IN else fitted)
    if not ready:
        return
    classes = dataset.classes
    found = np.stack([predictions.probabilities(chosen.run, chosen.file, image.pixels) for _, image in ready])
    for (file, image), row in zip(ready, found, strict=True):
        with st.container(border=True):
            _show_image(file.name, image, row, classes)
            history = st.expander(texts.CHECKPOINT_HISTORY, on_change="rerun", key=f"history {file.file_id}")
            if history.open:
                with history, common.problems_shown():
                    show_history(image.pixels)
    table = partial(evaluation_tables.predictions_frame, [file.name for file, _ in ready], classes, found)
    common.offer_csv(texts.PREDICTIONS, table, "predictions.csv")


def keep_uploads() -> None:
    """Keep uploads while their widget is hidden: Streamlit forgets the uploads of a widget that is not drawn."""
    _ask_files(camera=False)


def _ask_files(camera: bool = True) -> Sequence[Upload]:
    sources = [texts.UPLOAD, texts.CAMERA]
    source = st.segmented_control(
        texts.SOURCE, sources, default=texts.UPLOAD, required=True, key="source", label_visibility="collapsed"
    )
    if source == texts.UPLOAD:
        label = texts.UPLOAD_IMAGES
        return st.file_uploader(label, accept_multiple_files=True, max_upload_size=uploads.IMAGE_MIB, key="own images")
    photo = st.camera_input(texts.PHOTOGRAPH, key="photo", width=420) if camera else None
    return [photo] if photo else []


def _show_image(name: str, image: Prepared, row: Array, classes: Sequence[str]) -> None:
    best = int(row.argmax())
    st.markdown(
        texts.PREDICTED.format(name=common.plain(name), predicted=common.plain(classes[best]), probability=row[best])
    )
    gallery.show_answer(
        image.pixels, {texts.THIS_MODEL: row}, classes, None, alt=texts.PREPARED_IMAGE.format(name=name)
    )
    st.caption(texts.HOW_PREPARED)
    with st.container(horizontal=True):
        for step in image.steps:
            with st.container(width=_STEP_WIDTH + 24):
                st.image(step.pixels, width=_STEP_WIDTH, alt=step.name)
                st.caption(f"**{step.name}** · {step.note}")
