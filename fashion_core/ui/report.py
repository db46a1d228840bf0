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
    """Offer it in an expander: it is made, which takes seconds, only once that is opened."""
    expander = st.expander(texts.REPORT, on_change="rerun", key=f"report {hash(tuple(run.id for run in runs))}")
    if not expander.open:
        return
    with expander, common.problems_shown():
        shown = runs[:MOST_RUNS]
        st.caption(texts.REPORT_ABOUT)
        if len(shown) < len(runs):
            st.caption(texts.REPORT_FIRST.format(most=MOST_RUNS, count=len(runs)))
        data = _made(str(store.root), tuple(run.id for run in shown), tuple(map(_version, shown)))
        name = f"{plain_name(runs[0].title)}-report.html" if len(runs) == 1 else "report.html"
        icon = ":material/download:"
        st.download_button(texts.REPORT_DOWNLOAD, data, name, "text/html", on_click="ignore", icon=icon, type="primary")


def _version(run: Run) -> object:
    """What a report on a run depends on."""
    return tuple(map(identity, (run.metrics_path, run.labels_path, run.status_path, run.load_check_path)))


@st.cache_data(max_entries=4, ttl="10m", show_spinner=texts.REPORT_MAKING)
def _made(root: str, runs: tuple[str, ...], version: object) -> bytes:
    store = RunStore(Path(root))
    return ask.report(store, [store.at(run) for run in runs])
