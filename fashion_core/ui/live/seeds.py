"""The runs beside this one that differ in nothing but the seed."""

import streamlit as st

from fashion_core.resume import repeats
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, login
from fashion_core.ui.live import texts


def show_seeds(store: RunStore, run: Run) -> None:
    """A box that leads to each of them, and a button that stops all."""
    runs = repeats.runs_beside(store, run)
    if not runs:
        return
    states = repeats.states_of(runs)
    label = texts.SEED_AND_STATE.format
    labels = {one.id: label(seed=one.record.config.seed, state=states.get(one.id, "damaged")) for one in runs}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        address.ask(texts.SEED, labels, run.id, lambda run_id: address.go(run=run_id), 220)
        under_way = [one for one in runs if states.get(one.id) in UNDER_WAY_STATES]
        if len(under_way) > 1 and login.button(texts.STOP_ALL_SEEDS, icon=":material/stop:"):
            login.actions(store).cancel(under_way)
            st.rerun()
