"""Download a report on runs: one file for screen and paper, made by a process of its own."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from fashion_core.cache import identity
from fashion_core.publish import ask
from fashion_core.publish.ask import MOST_RUNS
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, texts
from fashion_core.ui.snippets.scripts import plain_name


def offer_report(store: RunStore, runs: Sequence[Run]) -> None:
    """Offer to make it, which takes seconds, as the runs are at that click; then offer what was made."""
    shown = runs[:MOST_RUNS]
    ids = tuple(run.id for run in shown)
    key = f"report {hash(ids)}"
    begun = f"begun {key}"
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(texts.REPORT, icon=":material/description:", help=texts.REPORT_ABOUT, key=key):
            st.session_state[begun] = tuple(map(_version, shown))
        if len(shown) < len(runs):
            st.caption(texts.REPORT_FIRST.format(most=MOST_RUNS, count=len(runs)), width="content")
        if version := st.session_state.get(begun):
            with common.problems_shown():
                data = _made(str(store.root), ids, version)
                name = f"{plain_name(shown[0].title)}-report.html" if len(shown) == 1 else "report.html"
                label, icon = texts.REPORT_DOWNLOAD, ":material/download:"
                st.download_button(label, data, name, "text/html", on_click="ignore", icon=icon, type="primary")


def _version(run: Run) -> object:
    """What a report on a run depends on."""
    return tuple(map(identity, (run.metrics_path, run.labels_path, run.status_path, run.load_check_path)))


@st.cache_data(max_entries=4, ttl="10m", show_spinner=texts.REPORT_MAKING)
def _made(root: str, runs: tuple[str, ...], version: object) -> bytes:
    store = RunStore(Path(root))
    return ask.report(store, [store.at(run) for run in runs])
