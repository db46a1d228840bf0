"""Remove a dataset that was added, once it was said what uses it."""

import streamlit as st

from fashion_core.data.description import BUILT_IN, images_label, names
from fashion_core.errors import counted
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, login
from fashion_core.ui.data import texts


def show(store: RunStore) -> None:
    """Offer the datasets that were added, if there are any."""
    if not (added := [name for name in names() if name not in BUILT_IN]):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(texts.ADDED_DATASETS, added, format_func=images_label, key="dataset to remove", width=260)
        if login.button(texts.REMOVE, icon=":material/delete:"):
            common.dialog(texts.ASK_REMOVE)(ask_to_remove)(store, name)


def ask_to_remove(store: RunStore, name: str) -> None:
    st.write(texts.REMOVES.format(label=common.plain(images_label(name))))
    used, sure = store.count_on(name), True
    if used:
        st.warning(counted(used, texts.USED_BY_ONE, texts.USED_BY_MANY))
        sure = st.checkbox(texts.SURE_TO_REMOVE, key=f"sure to remove {name}")
    if login.button(texts.REMOVE_IT, type="primary", icon=":material/delete:", disabled=not sure):
        with common.problems_shown():
            login.actions(store).remove_dataset(name)
            common.tell(texts.REMOVED.format(name=common.plain(name)))
            st.rerun()
