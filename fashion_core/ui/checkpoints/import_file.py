"""Import: take a file from elsewhere, show what is in it, make a run of it."""

from pathlib import Path

import streamlit as st

from fashion_core.access.gate import forget_upload
from fashion_core.data.description import images_label, names
from fashion_core.formats.inspect import Inspection
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login
from fashion_core.ui.checkpoints import saved_file, texts
from fashion_core.ui.server import uploads


def show_upload(store: RunStore) -> None:
    st.write(texts.UPLOAD)
    if why := login.actions(store).actor.why:
        st.info(common.plain(why), icon=":material/visibility:")
        return
    upload = st.file_uploader(texts.FILE, key="upload", label_visibility="collapsed")
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
    at = choices.index(str(found.inspection.weights))
    chosen = st.selectbox(texts.WEIGHTS, choices, at, help=texts.WEIGHTS_HELP, width=300)
    return found if chosen == found.inspection.weights else saved_file.read_contents(path, chosen)


def _offer_import(store: RunStore, path: Path, name: str, found: Inspection) -> None:
    unknown = {"": texts.AS_FILE_SAYS if found.trained_on else texts.NOT_KNOWN}
    asked = {
        "dataset": (texts.TRAINED_ON, {name: images_label(name) for name in names()}, texts.TRAINED_ON_HELP),
        "pixels": (texts.PIXELS, texts.SCALINGS, texts.PIXELS_HELP),
    }
    given = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for setting, (label, known, why) in asked.items():
            choices = unknown | known
            given[setting] = st.selectbox(label, choices, format_func=choices.__getitem__, help=why, width=220)
        wanted = st.button(texts.IMPORT, type="primary", icon=":material/upload_file:")
    if wanted:
        with st.spinner(texts.IMPORTING):
            settings = {key: value for key, value in given.items() if value}
            run = login.actions(store).import_file(path, name, settings, found.weights)
        forget_upload(uploads.kept())
        address.begin_anew(**common.file_query(run, run.checkpoint_path(run.epochs_saved()[0])))
        st.rerun()
