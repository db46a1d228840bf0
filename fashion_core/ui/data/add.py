"""Add a dataset: choose it, look at what it would be, then keep it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from fashion_core.access.gate import forget_upload
from fashion_core.config import FITS
from fashion_core.data import fashion_mnist
from fashion_core.data.description import BUILT_IN, folder_of, names
from fashion_core.data.report import Finding, Report
from fashion_core.data.request import AddRequest
from fashion_core.errors import DataError, printable
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, login
from fashion_core.ui.data import child, remove, texts
from fashion_core.ui.server import uploads

_PREVIEWED = "previewed dataset"
_JUST_ADDED = "dataset that was just added"
_CHOSEN = "added dataset that was chosen"
_ADDED = "how many datasets were added"
_KINDS = [".zip", ".npz", ".parquet"]
_SAMPLE = 56  # pixels of the screen


def show(store: RunStore) -> None:
    """Offer to add a dataset; what was previewed can be added while nothing else was asked for since."""
    expander = st.expander(texts.ADD_YOUR_OWN, on_change="rerun", key="add data")
    if not expander.open:
        return
    with expander:
        st.caption(texts.WHAT_CAN_BE_ADDED)
        if why := login.actions(store).actor.why:
            st.info(common.plain(why), icon=":material/visibility:")
            return
        with common.problems_shown():
            _ask_and_add(store)
        with common.problems_shown():
            remove.show(store)


def begin_with_added(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Let the form of this prefix begin with the dataset that was just added, or that another preset's form had.

    Its widget takes it from the session.
    """
    key, name = f"{prefix}dataset", st.session_state.pop(_JUST_ADDED, None)
    if key not in st.session_state:
        name = name or st.session_state.get(_CHOSEN)
    if name in names():
        st.session_state[key] = name
        return {**values, "dataset": names()[0]}  # or Streamlit would warn of two beginnings
    return values


def remember_added(dataset: str) -> None:
    """Keep a dataset that was added for the forms of other presets: none of them is meant for it alone."""
    st.session_state[_CHOSEN] = None if dataset in BUILT_IN else dataset


def _ask_and_add(store: RunStore) -> None:
    upload = st.file_uploader(texts.FILE, _KINDS, key=_key("file"))
    named = st.text_input(texts.PATH, placeholder=texts.PATH_HINT, key=_key("path")).strip()
    request = replace(_ask_request(), called=printable(upload.name) if upload else "")
    source = _source(store, upload, named)
    with st.container(horizontal=True):
        looks = st.button(texts.PREVIEW, icon=":material/preview:")
        previewed = st.session_state.get(_PREVIEWED, (None, None))
        is_shown = previewed[0] == (source, request)
        adds = login.button(texts.ADD, type="primary", icon=":material/add:", disabled=not is_shown)
    if looks:
        if source is None:
            raise DataError(texts.NO_SOURCE)
        with _progress_shown() as progress:
            st.session_state[_PREVIEWED] = (source, request), child.preview(source, request, progress)
        st.rerun()
    if adds and source:
        with _progress_shown() as progress:
            added = login.actions(store).add_dataset(source, request, progress, child.add).description
        forget_upload(uploads.kept())
        st.session_state.pop(_PREVIEWED)
        st.session_state[_JUST_ADDED] = added.name
        st.session_state[_ADDED] = st.session_state.get(_ADDED, 0) + 1
        label, folder = map(common.plain, (added.label, str(folder_of(added.name))))
        common.tell(texts.ADDED.format(label=label, train=added.train, test=added.test, folder=folder))
        st.rerun()
    if is_shown and previewed[1]:
        _show_preview(previewed[1])
    else:
        st.caption(texts.PREVIEW_FIRST)


def _key(name: str) -> str:
    """Another one after each dataset that was added: then the form is empty again."""
    return f"dataset {name} {st.session_state.get(_ADDED, 0)}"


def _source(store: RunStore, upload: Any, named: str) -> str | None:
    if not upload:
        return _under_data(named) if named else None
    kind = next((kind for kind in _KINDS if upload.name.lower().endswith(kind)), "")
    return str(login.actions(store).keep_upload(uploads.kept(), upload.file_id, upload.name, upload, kind))


def _under_data(named: str) -> str:
    """A path that leads nowhere else. Raises ``DataError``."""
    root = fashion_mnist.root().resolve()
    path = (root / named).resolve()
    if root not in path.parents:
        raise DataError(texts.NOT_UNDER_DATA.format(path=printable(named)))
    return str(path)


def _ask_request() -> AddRequest:
    with st.container(horizontal=True):
        name = st.text_input(texts.NAME, help=texts.NAME_HELP, key=_key("name"), width=200)
        label = st.text_input(texts.LABEL, placeholder=texts.LABEL_HINT, key=_key("label"), width=260)
        size = st.number_input(texts.SIZE, value=None, step=1, placeholder=texts.SIZE_HINT, key=_key("size"), width=170)
        colours = st.selectbox(texts.COLOURS, texts.COLOURS_OF, key=_key("colours"), width=140)
        fit = st.selectbox(texts.FIT, FITS, format_func=texts.FITS.__getitem__, key=_key("fit"), width=140)
    return AddRequest(name.strip(), label, size, texts.COLOURS_OF[colours], fit)


@contextmanager
def _progress_shown() -> Iterator[Callable[[int, int], object]]:
    bar = st.progress(0.0, texts.READING)
    try:
        yield lambda done, total: bar.progress(
            min(1.0, done / max(1, total)), texts.READ.format(done=done, total=total)
        )
    finally:
        bar.empty()


def _show_preview(found: child.Preview) -> None:
    described = found.report.description
    words = texts.COUNTS.format(words=described.in_words, train=described.train, test=described.test)
    st.markdown(common.plain(words))
    if told := [_told(one) for one in found.report.findings]:
        st.markdown("\n".join(f"- {text}" for text in told))
    with st.container(horizontal=True):
        for name, picture in found.samples:
            with st.container(width=_SAMPLE + 24):
                st.image(picture, width=_SAMPLE, alt=name)
                st.caption(common.plain(name))
    _show_counts(found.report)


def _told(found: Finding) -> str:
    names = texts.NAMED.format(names=", ".join(found.names)) if found.names else ""
    return common.plain(f"{found.text}{names}")


def _show_counts(report: Report) -> None:
    rows = [(one.name, one.train, one.test) for one in report.counts]
    table = pd.DataFrame(rows, columns=texts.COUNT_COLUMNS)
    common.show_table(table, hide_index=True, alt=texts.COUNTS_TABLE)
