"""Verify saved files, and delete checkpoints by a rule."""

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core.charts.files import bytes_text
from fashion_core.errors import counted
from fashion_core.runs import verify
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login
from fashion_core.ui.checkpoints import texts

_PRESSED = "delete for good"


def show_verify(store: RunStore, run: Run | None, saved: pd.DataFrame, label: str) -> None:
    """Read every saved file of this run, or of all; ``saved`` is ``tables.saved_frame``."""
    st.header(texts.VERIFY)
    st.write(texts.VERIFY_EXPLAINED)
    if not login.button(label, icon=":material/fact_check:"):
        return
    results = _verify(store, [run] if run else store.runs())
    damaged = [result for result in results if not result.ok]
    if not damaged:
        text = counted(len(results), texts.AS_SAVED_ONE, texts.AS_SAVED_MANY)
        st.success(text, icon=":material/verified:")
        return
    text = counted(len(damaged), texts.DAMAGED_ONE, texts.DAMAGED_MANY, files=len(results))
    st.error(text, icon=":material/broken_image:")
    names = dict(zip(saved["run"], saved["name"], strict=True))
    rows = [(result.file, result.reason, names.get(result.run, result.run), result.run) for result in damaged]
    table = pd.DataFrame(rows, columns=texts.DAMAGED_COLUMNS)
    common.show_table(table, hide_index=True, alt=texts.DAMAGED_TABLE_ALT)


def _verify(store: RunStore, runs: list[Run]) -> list[verify.Verified]:
    total, began = max(verify.count_files(runs), 1), time.monotonic()
    bar, results = st.progress(0.0, text=texts.READING), []
    for done, result in enumerate(login.actions(store).verify(runs), 1):
        results.append(result)
        if done * 100 // total != (done - 1) * 100 // total:
            left = (time.monotonic() - began) / done * (total - done)
            text = texts.FILES_READ.format(done=done, total=total, left=common.duration(left))
            bar.progress(min(1.0, done / total), text=text)
    bar.empty()
    return results


def confirm_delete(store: RunStore, runs: Sequence[Run], file: Path | None = None) -> None:
    """Ask whether to delete these runs, or one ``file`` of one run."""
    several = counted(len(runs), texts.ASK_DELETE_RUNS_ONE, texts.ASK_DELETE_RUNS_MANY)
    common.dialog(texts.ASK_DELETE_FILE if file else several)(ask_to_delete)(store, runs, file)


def ask_to_delete(store: RunStore, runs: Sequence[Run], file: Path | None = None) -> None:
    """Ask, and once Delete is pressed delete, before anything is shown: then ask again for what could not be."""
    left = [run for run in runs if store.has(run.id)]
    if st.session_state.get(_PRESSED):
        left = _delete(store, left, file)
    if not left:
        st.write(texts.NOTHING_TO_DELETE)
        return
    names = ", ".join(f"**{common.plain(run.title)}**" for run in left)
    if file:
        st.write(texts.DELETES_FILE.format(file=left[0].name_of(file), runs=names))
    else:
        st.write(counted(len(left), texts.DELETES_RUNS_ONE, texts.DELETES_RUNS_MANY, runs=names))
    sure = _ask_about_resumed(store, left, file)
    login.button(texts.DELETE, type="primary", icon=":material/delete:", disabled=not sure, key=_PRESSED)


def _ask_about_resumed(store: RunStore, runs: Sequence[Run], file: Path | None) -> bool:
    """Whether nothing was resumed from what is deleted, or that is confirmed."""
    children = store.children(runs[0], file) if file else store.resumed_from_any(runs)
    if not children:
        return True
    resumed = ", ".join(common.plain(child.title) for child in children)
    of_file = counted(len(children), texts.RESUMED_FROM_FILE_ONE, texts.RESUMED_FROM_FILE_MANY, runs=resumed)
    of_run = counted(len(children), texts.RESUMED_FROM_RUN_ONE, texts.RESUMED_FROM_RUN_MANY, runs=resumed)
    st.warning(of_file if file else of_run)
    label = counted(len(runs), texts.SURE_TO_DELETE_RESUMED_ONE, texts.SURE_TO_DELETE_RESUMED_MANY)
    return st.checkbox(label, key=_sure_key(runs))


def _sure_key(runs: Sequence[Run]) -> str:
    return f"sure to delete {[run.id for run in runs]}"


def _delete(store: RunStore, runs: Sequence[Run], file: Path | None) -> list[Run]:
    """Delete what can be deleted, resumed runs before their parents; return the others, which stay in the address."""
    force = st.session_state.get(_sure_key(runs), False)
    newest_first = sorted(runs, key=lambda run: run.id, reverse=True)
    deleted = [run for run in newest_first if _is_deleted(store, run, file, force)]
    left = [run for run in runs if run not in deleted and store.has(run.id)]
    if deleted:
        several = counted(len(deleted), texts.DELETED_RUNS_ONE, texts.DELETED_RUNS_MANY)
        common.tell(texts.DELETED_FILE if file else several)
    if not left:
        address.go(**dict.fromkeys(("run", "epoch", "file", "with")))
        st.rerun()
    if len(left) < len(runs):
        address.go(run=[run.id for run in left])
        common.show_told()
    return left


def _is_deleted(store: RunStore, run: Run, file: Path | None, force: bool) -> bool:
    with common.problems_shown():
        login.actions(store).delete(run, file, force=force)
        return True
    return False


def show_keep(store: RunStore, run: Run, saved: pd.DataFrame) -> None:
    """Preview which checkpoints of a run a rule deletes; ``saved`` are the rows of its files."""
    st.header(texts.KEEP)
    rules = {False: texts.KEEP_ALL, True: texts.KEEP_LAST_AND_BEST}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        thin = st.segmented_control(
            texts.CHECKPOINTS_TO_KEEP, list(rules), format_func=rules.__getitem__, default=False, required=True
        )
        last = st.number_input(texts.MANY_TO_KEEP, min_value=1, value=3, width=180, disabled=not thin)
    expendable = store.expendable(run, last=last, best=True) if thin else []
    if not expendable:
        st.write(texts.NOTHING_TO_DELETE)
        return
    rows = saved[(saved["format"] == "checkpoint") & saved["epoch"].isin(expendable)]
    size = bytes_text(int(rows["bytes"].sum()))
    st.write(texts.WOULD_BE_DELETED.format(count=len(rows), saved=len(run.epochs_saved()), size=size))
    style, alt = {"bytes": st.column_config.NumberColumn(format="localized")}, texts.CHECKPOINTS_TABLE_ALT
    common.show_table(
        rows[["file", "epoch", "loss", "bytes", "created"]], hide_index=True, column_config=style, alt=alt
    )
    # The key names the epochs, so a press on an outdated preview is lost.
    count, key = len(expendable), f"delete {run.id} {expendable}"
    sure_label = counted(count, texts.SURE_TO_DELETE_ONE, texts.SURE_TO_DELETE_MANY)
    sure = st.checkbox(sure_label, key=f"sure {run.id} {expendable}")
    label = counted(count, texts.DELETE_CHECKPOINTS_ONE, texts.DELETE_CHECKPOINTS_MANY)
    if login.button(label, icon=":material/delete:", key=key, disabled=not sure):
        login.actions(store).delete_checkpoints(run, expendable)
        common.tell(counted(count, texts.DELETED_CHECKPOINTS_ONE, texts.DELETED_CHECKPOINTS_MANY))
        st.rerun()
