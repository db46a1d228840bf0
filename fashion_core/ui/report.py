"""Download a report on runs: one file for screen and paper, made by a process of its own."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from fashion_core.publish import ask
from fashion_core.publish.ask import MOST_RUNS
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, texts
from fashion_core.ui.snippets.scripts import plain_name

_MADE: Final = "report"  # of this session, the last one, with the runs that it is on


def offer_report(store: RunStore, runs: Sequence[Run]) -> None:
    """Offer to make it, which takes seconds, as the runs are at that click; then offer what was made."""
    shown = runs[:MOST_RUNS]
    ids = tuple(run.id for run in shown)
    with st.container(horizontal=True, vertical_alignment="center"):
        is_asked = st.button(
            texts.REPORT, icon=":material/description:", help=texts.REPORT_ABOUT, key=f"report {hash(ids)}"
        )
        if len(shown) < len(runs):
            st.caption(texts.REPORT_FIRST.format(most=MOST_RUNS, count=len(runs)), width="content")
        if is_asked:
            st.session_state.pop(_MADE, None)
            with common.problems_shown(), st.spinner(texts.REPORT_MAKING):
                st.session_state[_MADE] = ids, ask.report(store, shown)
        made, data = st.session_state.get(_MADE, ((), b""))
        if made == ids:
            name = f"{plain_name(shown[0].title)}-report.html" if len(shown) == 1 else "report.html"
            label, icon = texts.REPORT_DOWNLOAD, ":material/download:"
            st.download_button(label, data, name, "text/html", on_click="ignore", icon=icon, type="primary")
