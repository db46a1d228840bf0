"""How far a server has read a large store for the first time."""

import streamlit as st

from fashion_core.runs.index.index import AT_ONCE
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, login
from fashion_core.ui.overview import texts


def show(store: RunStore) -> None:
    """Say it while more runs are unread than the page is about to read, and run it again for the next ones."""
    store.index.load_kept()
    if len(store.index.unread) > AT_ONCE:
        _show_progress(store, len(store.index.unread))


@st.fragment(run_every=1.0)
def _show_progress(store: RunStore, unread: int) -> None:
    login.send_strangers_away()
    known = len(store.index.ids)
    count = known + len(store.index.unread)
    st.progress(known / max(1, count), text=texts.READING.format(known=known, count=count))
    if len(store.index.unread) < unread:
        common.refresh_page()
