"""Import: take a file from elsewhere, show what is in it, make a run of it."""

from pathlib import Path

import streamlit as st

from fashion_core.access.gate import forget_upload
from fashion_core.config import DATASET_LABELS, PIXEL_MEAN, PIXEL_STD
from fashion_core.formats.inspect import Inspection
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, login
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.server import uploads

IMPORTED = "imported"  # where the session holds the address of the file just imported
PIXELS = {"unit": "from 0 to 1", "raw": "from 0 to 255", "standard": f"mean {PIXEL_MEAN:.4f}, std {PIXEL_STD:.4f}"}


def show_upload(store: RunStore) -> None:
    st.write(
        "A state_dict, a checkpoint, a whole model, a Lightning checkpoint, safetensors or a .pt2 program, "
        "of one of the three models here, up to 160 MB; `python -m fashion_core import FILE` takes larger ones. "
        "Nothing in it is executed."
    )
    if why := login.actions(store).actor.why:
        st.info(common.plain(why), icon=":material/visibility:")
        return
    upload = st.file_uploader("File", key="upload", label_visibility="collapsed")
    if not upload:
        forget_upload(uploads.kept())
        return
    path = login.actions(store).keep_upload(uploads.kept(), upload.file_id, upload.name, upload)
    st.header(common.plain(upload.name))
    found = _ask_weights(path)
    saved_file.show_problem(found)
    if found.inspection and not found.problem:
        _offer_import(store, path, upload.name, found.inspection)
    if found.inspection:
        saved_file.show_verdict(found.inspection.verdict, found.inspection)
        saved_file.show_inside(found.inspection, "upload")


def _ask_weights(path: Path) -> saved_file.Contents:
    """Inspect the file; where several weights in it fit, the ones that are chosen in a box."""
    found = saved_file.read_contents(path)
    if found.inspection is None or len(found.inspection.choices) < 2:
        return found
    choices = found.inspection.choices
    help_text = "The keys that lead to each set of weights in the file"
    chosen = st.selectbox("Weights", choices, choices.index(str(found.inspection.weights)), help=help_text, width=300)
    return found if chosen == found.inspection.weights else saved_file.read_contents(path, chosen)


def _offer_import(store: RunStore, path: Path, name: str, found: Inspection) -> None:
    unknown = {"": "as the file says" if found.trained_on else "not known"}
    asked = {
        "dataset": ("Trained on", DATASET_LABELS, "The dataset it will be tested on; synthetic garments if unknown"),
        "pixels": ("Pixels", PIXELS, "How the pixels were scaled; 0 to 1 if unknown"),
    }
    given = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for setting, (label, known, why) in asked.items():
            choices = unknown | known
            given[setting] = st.selectbox(label, choices, format_func=choices.__getitem__, help=why, width=220)
        wanted = st.button("Import", type="primary", icon=":material/upload_file:")
    if wanted:
        with st.spinner("Importing…"):
            settings = {key: value for key, value in given.items() if value}
            run = login.actions(store).import_file(path, name, settings, found.weights)
        forget_upload(uploads.kept())
        st.session_state[IMPORTED] = common.file_query(run, run.checkpoint_path(run.epochs_saved()[0]))
        st.rerun()
