"""Import the runs of a bundle: choose it, look at what is in it, then import all that is new."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from fashion_core.access.gate import forget_upload
from fashion_core.bundles import process
from fashion_core.bundles.unbundle import Found
from fashion_core.charts.files import bytes_text
from fashion_core.errors import counted
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, login
from fashion_core.ui.bundles import texts
from fashion_core.ui.server import uploads

_PREVIEWED, _IMPORTED = "previewed bundle", "how many bundles were imported"


def show(store: RunStore) -> None:
    expander = st.expander(texts.IMPORT, on_change="rerun", key="import runs")
    if not expander.open:
        return
    with expander, common.problems_shown():
        st.caption(texts.WHAT_COMES)
        if why := login.actions(store).actor.why:
            st.info(common.plain(why), icon=":material/visibility:")
            return
        _ask_and_import(store)


def _ask_and_import(store: RunStore) -> None:
    key = f"bundle {st.session_state.get(_IMPORTED, 0)}"  # another one after each bundle: then the form is empty again
    upload = st.file_uploader(texts.FILE, ".zip", key=key)
    if not upload:
        forget_upload(uploads.kept())
        return
    path = login.actions(store).keep_upload(uploads.kept(), upload.file_id, upload.name, upload)
    previewed = st.session_state.get(_PREVIEWED)
    if previewed is None or previewed[0] != upload.file_id:
        with st.spinner(texts.READING):
            previewed = st.session_state[_PREVIEWED] = upload.file_id, process.preview(store, path)
    found: list[Found] = previewed[1]
    _show(found)
    new = [one for one in found if one.presence == "new"]
    is_refused = not new or any(one.presence == "other" for one in found)
    label = counted(len(new), texts.IMPORT_ONE, texts.IMPORT_MANY)
    if login.button(label, type="primary", icon=":material/unarchive:", disabled=is_refused):
        with st.spinner(texts.IMPORTING):
            done = login.actions(store).unbundle(path, upload.name)
        forget_upload(uploads.kept())
        st.session_state.pop(_PREVIEWED)
        st.session_state[_IMPORTED] = st.session_state.get(_IMPORTED, 0) + 1
        common.tell(counted(len(done.made), texts.IMPORTED_ONE, texts.IMPORTED_MANY))
        st.rerun()


def _show(found: Sequence[Found]) -> None:
    rows = [
        (one.name, texts.PRESENCE[one.presence], one.state, one.checkpoints, bytes_text(one.bytes), one.dataset, one.id)
        for one in found
    ]
    common.show_table(pd.DataFrame(rows, columns=texts.COLUMNS), hide_index=True, alt=texts.TABLE)
    for one in (one for one in found if one.presence == "other"):
        text = texts.DIFFERS.format(run=common.plain(one.id), why=common.plain(one.why))
        st.error(text, icon=":material/difference:")
    for one in (one for one in found if one.presence == "more"):
        text = texts.MORE.format(run=common.plain(one.id), what=common.plain(one.why))
        st.warning(text, icon=":material/difference:")
    if all(one.presence == "there" for one in found):
        st.info(texts.NOTHING_NEW, icon=":material/check:")
    if missing := sorted({one.dataset for one in found if not one.has_dataset}):
        st.caption(texts.IMAGES_MISSING.format(datasets=common.plain(", ".join(missing))))
