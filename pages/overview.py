"""The running runs, and all runs."""

from typing import Any

import pandas as pd
import streamlit as st

from fashion_core.config import DATASET_LABELS, MODEL_LABELS
from fashion_core.errors import RunStateError, is_blank
from fashion_core.resume.tables import best_over_seeds
from fashion_core.runs import queue, tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, housekeeping, login, run_status


def main() -> None:
    store = RunStore()
    st.title("Fashion Core")
    st.caption("Train a PyTorch model, watch it learn, and keep a checkpoint of each epoch.")
    address.link("lesson.py", "The lesson in one click: train, save, load, resume", ":material/school:")
    if not store.runs():
        run_status.welcome(store)
        return
    show_running(store, [run.id for run in queue.under_way(store)])
    show_runs(store)


@st.fragment(run_every=2.0)
def show_running(store: RunStore, shown: list[str]) -> None:
    login.send_strangers_away()
    run_status.advance(store)
    with common.problems_shown():
        cards = queue.under_way(store)
        if [run.id for run in cards] != shown:
            st.rerun()
        st.header("Running now")
        if not cards:
            st.write("Nothing is training right now.")
            address.link("train.py", "Set up a run", ":material/add:")
    for run in cards:
        with common.problems_shown():
            show_card(store, run)


def show_card(store: RunStore, run: Run) -> None:
    config, status = run.record.config, run.status
    state, progress = run.state(status), tables.progress(config, status, run.record.first_epoch)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{common.plain(run.title)}**", width="content")
            run_status.badge(state)
            run_status.badge(config.dataset)
            address.link("train.py", "Watch", ":material/visibility:", {"run": run.id})
        known = state == "running" and progress.seconds_left is not None
        left = f" · {common.duration(progress.seconds_left)} left" if known else ""
        st.progress(progress.share, text=run_status.whereabouts(store, run, state) + left)


def show_runs(store: RunStore) -> None:
    st.header("All runs")
    every = tables.runs_frame(store)
    numbers = tables.numbers_by_dataset(every)
    runs = address.ask_rows(every, "page")
    table = runs.assign(
        dataset=runs["dataset"].map(DATASET_LABELS, na_action="ignore"),
        model=runs["model"].map(MODEL_LABELS, na_action="ignore"),
        age=runs["created"].map(common.age, na_action="ignore"),
        seeds=best_over_seeds(every),
    ).join(numbers)
    repeated = ["seeds"] if (table["seeds"] != "").any() else []
    key = f"runs {len(every)} {runs.index[0]}"  # a choice is a row number: other rows start without one
    common.show_table(
        table,
        hide_index=True,
        on_select=lambda: choose(runs, key),
        selection_mode="single-row",
        key=key,
        column_order=["name", "state", "dataset", "model", "epochs", *numbers, *repeated, "age", "parent", "tags"],
        column_config={
            "name": st.column_config.TextColumn(width="medium"),
            **{name: number_column(name, alone=len(numbers.columns) == 2) for name in map(str, numbers)},
            "seeds": st.column_config.TextColumn("over seeds", help="Mean of the best losses and its 95 % interval"),
            "parent": st.column_config.TextColumn("resumed from", width=150),
            "tags": st.column_config.ListColumn(),
        },
        placeholder="",
        alt="All runs",
    )
    if len(runs) < len(every):
        st.caption(f"{len(runs):,} of {len(every):,} runs, the newest first")
    if run_id := address.get("run"):
        show_details(store, store.get(run_id))
    else:
        st.caption("Select a row to name a run, tag it, add notes, and open, resume or delete it.")


def number_column(name: str, alone: bool) -> Any:
    """How a column of ``tables.numbers_by_dataset`` is shown, ``alone`` if all runs are of one dataset."""
    number, _, dataset = name.partition(" ")
    on = "" if alone else f", {DATASET_LABELS[dataset]}"
    if number == "best_loss":
        return st.column_config.NumberColumn(f"best loss{on}", format="%.4f", help="Lowest test loss of an epoch")
    return st.column_config.NumberColumn(f"accuracy{on}", format="percent", help="Test accuracy of that epoch")


def choose(runs: pd.DataFrame, key: str) -> None:
    rows = st.session_state[key].selection.rows
    address.go(run=runs["id"].iloc[rows[0]] if rows else None)


def show_details(store: RunStore, run: Run) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{common.plain(run.title)}**", width="content")
            st.caption(run.id, width="content")
        run_status.show_damage(run)
        with common.problems_shown():
            edit_labels(store, run)
        with st.container(horizontal=True):
            address.link("train.py", "Open", ":material/open_in_new:", {"run": run.id})
            run_status.run_links(run)
            if login.button("Delete…", icon=":material/delete:"):
                housekeeping.confirm_delete(store, run)


def edit_labels(store: RunStore, run: Run) -> None:
    """Name, notes and tags; a change that somebody else makes meanwhile does not replace what is being typed."""
    state = st.session_state
    begun, name, tags, notes = (f"{field} {run.id}" for field in ("labels", "name", "tags", "notes"))
    if begun not in state or name not in state:
        state[begun] = run.whole_labels
        labels = state[begun] or Labels(name=run.record.config.title)
        state[name], state[tags], state[notes] = labels.name, ", ".join(labels.tags), labels.notes
    if run.whole_labels is None:
        kept = run.damaged_labels_path.name
        st.caption(f"The name, tags and notes can't be read. Save replaces them, and keeps the damaged file as {kept}.")
    with st.form(f"form {run.id}", border=False):
        st.text_input("Name", key=name)
        st.text_input("Tags, separated by commas", key=tags)
        st.text_area("Notes", key=notes)
        if login.button("Save", st.form_submit_button, icon=":material/save:"):
            words = tuple(dict.fromkeys(word.strip() for word in state[tags].split(",") if not is_blank(word)))
            title = run.record.config.title if is_blank(state[name]) else state[name].strip()
            try:
                login.actions(store).relabel(run, Labels(name=title, notes=state[notes], tags=words), state[begun])
            except RunStateError:  # somebody else changed them: after this warning, a second save goes through
                state[begun] = run.whole_labels
                raise
            del state[begun]
            common.tell("Saved the name, tags and notes.")
            st.rerun()


main()
