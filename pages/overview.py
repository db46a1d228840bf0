"""The first screen of an empty store; otherwise the running runs, and the workbench of all runs."""

import streamlit as st

from fashion_core.resume.tables import last_losses_over_seeds
from fashion_core.runs import tables
from fashion_core.runs.store import RunStore
from fashion_core.ui import address
from fashion_core.ui.bundles import unbundle
from fashion_core.ui.overview import chosen, filters, first_screen, reading, running, table
from fashion_core.ui.overview.texts import PROMISE
from pages import texts


def main() -> None:
    if table.LEAVING in st.session_state:
        address.open_page(**st.session_state.pop(table.LEAVING))
    store = RunStore()
    st.title(texts.APP_NAME)
    if not store.ids():
        first_screen.show(store)
        unbundle.show(store)
        return
    st.caption(PROMISE)
    with st.container(horizontal=True):
        address.link("train.py", texts.SET_UP_RUN, ":material/add:")
        address.link("lesson.py", texts.TAKE_LESSON, ":material/school:")
    reading.show(store)
    running.show(store)
    show_runs(store)
    unbundle.show(store)


def show_runs(store: RunStore) -> None:
    st.header(texts.ALL_RUNS)
    every = tables.runs_frame(store)
    numbers = tables.numbers_by_dataset(every)
    titles, runs = filters.titles(numbers), chosen.addressed(store)
    found, order = filters.ask(every.assign(seeds=last_losses_over_seeds(every)).join(numbers), titles)
    if found.empty:
        address.offer_to_clear(texts.NO_RUN_PASSES, *filters.FILTERS, *filters.PAGE)
    else:
        rows = address.ask_rows(filters.ordered(found, order), "page")
        table.show(rows, filters.titles(tables.numbers_by_dataset(found)), order, [run.id for run in runs])
        if len(rows) < len(every):
            st.caption(texts.RUNS_SHOWN.format(shown=len(rows), count=len(every)))
    chosen.show(store, runs, every[every["id"].isin([run.id for run in runs])])


main()
