"""The runs that are queued or train, kept up to date."""

import time
from typing import Final

import streamlit as st

from fashion_core.cache import Cache
from fashion_core.runs import queue, tables
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status
from fashion_core.ui.overview import texts

LOOK_SECONDS: Final = 2.0  # for a large store, between two looks for what was edited by hand, for all visitors
_SHOWN: Final = "runs under way"
_last_look: Cache[None] = Cache(8)


def show(store: RunStore) -> None:
    """Show a card a run; the page runs again once one begins or ends."""
    st.session_state.pop(_SHOWN, None)
    _show_cards(store)


@st.fragment(run_every=2.0)
def _show_cards(store: RunStore) -> None:
    login.send_strangers_away()
    cards: list[Run] = []
    with common.problems_shown():
        cards = _under_way(store)
        ids = [run.id for run in cards]
        if st.session_state.setdefault(_SHOWN, ids) != ids:
            common.refresh_page()
    if cards:
        st.header(texts.RUNNING_NOW)
    for run in cards:
        with common.problems_shown():
            _show_card(store, run)


def _under_way(store: RunStore) -> list[Run]:
    """Those after the queue has moved on; it need not be asked where none waits."""
    if not store.index.unread:
        _last_look.get(store.root, int(time.monotonic() / LOOK_SECONDS), store.index.refresh)
    found = queue.under_way(store)
    if all(run.status.state != "queued" for run in found):
        return found
    run_status.advance(store)
    return queue.under_way(store)


def _show_card(store: RunStore, run: Run) -> None:
    record, status = run.record, run.status
    state, progress = run.state(status), tables.progress(record.config, status, record.first_epoch)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{common.plain(run.title)}**", width="content")
            run_status.badge(state)
            run_status.images_badge(record)
            address.link("train.py", texts.WATCH, ":material/visibility:", {"run": run.id})
        text = run_status.whereabouts(store, run, state)
        if state == "running" and progress.seconds_left is not None:
            text = texts.WHERE_WITH_TIME.format(where=text, duration=common.duration(progress.seconds_left))
        st.progress(progress.share, text=common.plain(text))
