"""What a store without runs shows: what the app is for, a picture of it, and two ways to begin."""

from dataclasses import replace
from typing import Any

import streamlit as st

from fashion_core.charts.branches import branch_chart
from fashion_core.charts.comparison import FOCUS, comparison_chart
from fashion_core.charts.texts import COMPARISON_KEY
from fashion_core.resume.tables import branches_frame, compared_frame
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, run_status
from fashion_core.ui.overview import sample, texts

FOCUSED = "focused run of the sample"  # not in the address: it names none of the store's runs
_HEIGHT = 330  # pixels of the curves: the title of their axis needs so many


def show(store: RunStore) -> None:
    st.header(texts.PROMISE, anchor=False)
    begin, learn = st.columns(2)
    with begin:
        run_status.watch_it_train(store)
        st.caption(texts.WATCH_CAPTION)
    with learn:
        if st.button(texts.TAKE_LESSON, type="primary", icon=":material/school:", width="stretch"):
            address.open_page("lesson")
        st.caption(texts.LESSON_CAPTION)
    with st.container(border=True):
        _show_miniature()


def _show_miniature() -> None:
    """The comparison of a few runs that were trained for this; a click on one focuses it, for this visitor."""
    rows, losses, focus = sample.rows(), sample.losses(), st.session_state.get(FOCUSED)

    def take(point: dict[str, Any]) -> None:
        run = point.get("run")
        st.session_state[FOCUSED] = run if any(row.run == run for row in rows) else None

    compared = comparison_chart(compared_frame(rows, True, "lineage"), focus)
    branches = replace(branch_chart(branches_frame(rows, losses), focus), height=_HEIGHT)
    left, right = st.columns([6, 5])
    with left:
        st.markdown(COMPARISON_KEY)
        common.show_clickable(compared, "sample compared", FOCUS, take, texts.COMPARISON_CHART)
    with right:
        st.markdown(texts.BRANCHES)
        common.show_clickable(branches, "sample branches", FOCUS, take, texts.BRANCHES_CHART)
