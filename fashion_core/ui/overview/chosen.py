"""What is chosen in the table: one run's name, notes and tags; several runs side by side, and what to do with them."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from fashion_core.errors import RunStateError, is_blank
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status
from fashion_core.ui.bundles import bundle
from fashion_core.ui.checkpoints import housekeeping
from fashion_core.ui.overview import side_by_side, texts


def addressed(store: RunStore) -> list[Run]:
    """The runs that the address names; what is wrong with it is shown."""
    found = {}
    for given in address.every("run"):
        with common.problems_shown():
            run = store.get(given)
            found[run.id] = run
    return list(found.values())


def show(store: RunStore, runs: Sequence[Run], rows: pd.DataFrame) -> None:
    """Show these runs; ``rows`` are those of ``tables.runs_frame``."""
    if len(runs) > 1:
        _show_several(store, runs, rows)
    elif runs:
        _show_one(store, runs[0])
    else:
        st.caption(texts.CHOOSE)


def _show_one(store: RunStore, run: Run) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{common.plain(run.title)}**", width="content")
            st.caption(run.id, width="content")
        run_status.show_damage(run)
        with common.problems_shown():
            _edit_labels(store, run)
        with st.container(horizontal=True):
            address.link("train.py", texts.OPEN, ":material/open_in_new:", {"run": run.id})
            run_status.run_links(run)
            bundle.show_button(store, [run])
            if login.button(texts.DELETE, icon=":material/delete:"):
                housekeeping.confirm_delete(store, [run])


def _show_several(store: RunStore, runs: Sequence[Run], rows: pd.DataFrame) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{texts.SEVERAL_RUNS.format(count=len(runs))}**", width="content")
            st.space("stretch")
            if login.button(texts.TAG, icon=":material/label:"):
                common.dialog(texts.TAG_RUNS)(ask_tags)(store, runs, sorted(set(rows["tags"].explode().dropna())))
            bundle.show_button(store, runs)
            if login.button(texts.DELETE, icon=":material/delete:"):
                housekeeping.confirm_delete(store, runs)
            st.button(texts.CHOOSE_NONE, icon=":material/deselect:", on_click=lambda: address.go(run=None, show=None))
        views = {
            "Overlay curves": (texts.OVERLAY_CURVES, lambda: side_by_side.show_curves(runs)),
            "Compare": (texts.COMPARE, lambda: side_by_side.show_table(runs, rows)),
        }
        address.show_tabs(views, "show")


def _edit_labels(store: RunStore, run: Run) -> None:
    """Name, notes and tags; a change that somebody else makes meanwhile does not replace what is being typed."""
    state = st.session_state
    begun, name, tags, notes = (f"{field} {run.id}" for field in ("labels", "name", "tags", "notes"))
    if begun not in state or name not in state:
        state[begun] = run.whole_labels
        labels = state[begun] or Labels(name=run.record.config.title)
        state[name], state[tags], state[notes] = labels.name, ", ".join(labels.tags), labels.notes
    if run.whole_labels is None:
        st.caption(texts.LABELS_DAMAGED.format(file=run.damaged_labels_path.name))
    with st.form(f"form {run.id}", border=False):
        st.text_input(texts.NAME, key=name)
        st.text_input(texts.TAGS, key=tags)
        st.text_area(texts.NOTES, key=notes)
        if login.button(texts.SAVE, st.form_submit_button, icon=":material/save:"):
            title = run.record.config.title if is_blank(state[name]) else state[name].strip()
            labels = Labels(name=title, notes=state[notes], tags=_words(state[tags].split(",")))
            try:
                login.actions(store).relabel(run, labels, state[begun])
            except RunStateError:  # somebody else changed them: after this warning, a second save goes through
                state[begun] = run.whole_labels
                raise
            del state[begun]
            common.tell(texts.LABELS_SAVED)
            st.rerun()


def _words(written: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in written if not is_blank(word)))


def ask_tags(store: RunStore, runs: Sequence[Run], known: Sequence[str]) -> None:
    add = st.multiselect(texts.ADD, known, accept_new_options=True, placeholder=texts.CHOOSE_OR_WRITE_TAGS)
    remove = st.multiselect(texts.REMOVE, known, placeholder=texts.CHOOSE_TAGS)
    if login.button(texts.SAVE_TAGS, type="primary", icon=":material/save:", disabled=not (add or remove)):
        tagged = [run for run in runs if _is_tagged(store, run, _words(add), remove)]
        if len(tagged) == len(runs):
            common.tell(texts.RUNS_TAGGED.format(count=len(runs)))
            st.rerun()


def _is_tagged(store: RunStore, run: Run, add: Sequence[str], remove: Sequence[str]) -> bool:
    with common.problems_shown():
        before = run.labels
        tags = tuple(dict.fromkeys([*(tag for tag in before.tags if tag not in remove), *add]))
        login.actions(store).relabel(run, before.model_copy(update={"tags": tags}), before)
        return True
    return False
