"""Download some runs as one file, or read how to write a large one."""

from collections.abc import Sequence

import streamlit as st

from fashion_core.bundles import process, snapshot
from fashion_core.charts.files import bytes_text
from fashion_core.errors import counted
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES
from fashion_core.runs.store import RunStore
from fashion_core.ui import common
from fashion_core.ui.bundles import texts

MOST_BYTES = 100 << 20  # held in the server's memory for as long as the page offers them


def show_button(store: RunStore, runs: Sequence[Run]) -> None:
    """For viewers too: it only reads."""
    if st.button(texts.BUNDLE, icon=":material/archive:", help=texts.BUNDLE_RUNS):
        common.dialog(texts.BUNDLE_RUNS)(offer)(store, runs)


def offer(store: RunStore, runs: Sequence[Run]) -> None:
    with common.problems_shown():
        every = store.with_ancestors(runs)
        size = sum(map(snapshot.bytes_of, every))
        st.write(_what(len(every), len(every) - len(runs), bytes_text(size)))
        if any(run.state() in ACTIVE_STATES for run in every):
            st.caption(texts.TRAINING)
        if size > MOST_BYTES:
            st.write(texts.TOO_LARGE.format(most=bytes_text(MOST_BYTES)))
            ids = " ".join(run.id for run in runs)
            command = texts.ON_THE_SERVER.format(runs=ids, file=texts.FILE_NAME)
            st.code(command, language="sh", wrap_lines=True)
        else:
            with st.spinner(texts.MAKING):  # before the button is drawn: a failure must not be a lost click
                data = process.bundle(store, runs, texts.FILE_NAME)
            options = {"on_click": "ignore", "type": "primary", "icon": ":material/download:"}
            st.download_button(texts.DOWNLOAD, data, texts.FILE_NAME, "application/zip", **options)  # type: ignore[arg-type]
        st.caption(texts.UNBUNDLE_THERE)


def _what(count: int, ancestors: int, size: str) -> str:
    runs = counted(count, texts.ONE_RUN, texts.MANY_RUNS)
    if not ancestors:
        return texts.WITHOUT_ANCESTORS.format(runs=runs, size=size)
    return counted(ancestors, texts.WITH_ANCESTORS_ONE, texts.WITH_ANCESTORS_MANY, runs=runs, size=size)
