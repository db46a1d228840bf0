"""Verify saved files, and delete checkpoints by a rule."""

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core.charts.files import bytes_text
from fashion_core.runs import verify
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login


def show_verify(store: RunStore, runs: list[Run], saved: pd.DataFrame, label: str) -> None:
    """Read every saved file of these runs; ``saved`` is ``tables.saved_frame``."""
    st.header("Verify")
    st.write(
        "Reads saved files again and compares each with the SHA-256 that was recorded when it was saved. A damaged "
        "file is marked in the lists and can't be resumed from; it is never deleted automatically."
    )
    if not login.button(label, icon=":material/fact_check:"):
        return
    results = _verify(store, runs)
    damaged = [result for result in results if not result.ok]
    if not damaged:
        files = "The file is" if len(results) == 1 else f"All {len(results):,} files are"
        st.success(f"{files} exactly what was saved.", icon=":material/verified:")
        return
    are = "is" if len(damaged) == 1 else "are"
    st.error(f"{len(damaged):,} of {len(results):,} files {are} damaged.", icon=":material/broken_image:")
    names = dict(zip(saved["run"], saved["name"], strict=True))
    rows = [(result.file, result.reason, names.get(result.run, result.run), result.run) for result in damaged]
    table = pd.DataFrame(rows, columns=["file", "what is wrong", "run", "id"])
    common.show_table(table, hide_index=True, alt="Damaged files")


def _verify(store: RunStore, runs: list[Run]) -> list[verify.Verified]:
    total, began = max(verify.count_files(runs), 1), time.monotonic()
    bar, results = st.progress(0.0, text="Reading…"), []
    for done, result in enumerate(login.actions(store).verify(runs), 1):
        results.append(result)
        if done * 100 // total != (done - 1) * 100 // total:
            left = (time.monotonic() - began) / done * (total - done)
            bar.progress(min(1.0, done / total), text=f"{done:,} of {total:,} files · {common.duration(left)} left")
    bar.empty()
    return results


def confirm_delete(store: RunStore, runs: Sequence[Run], file: Path | None = None) -> None:
    """Ask whether to delete these runs, or one ``file`` of one run."""
    several = f"Delete these {len(runs):,} runs?"
    title = "Delete this file?" if file else "Delete this run?" if len(runs) == 1 else several
    st.dialog(title)(ask_to_delete)(store, runs, file)


def ask_to_delete(store: RunStore, runs: Sequence[Run], file: Path | None = None) -> None:
    names = ", ".join(f"**{common.plain(run.title)}**" for run in runs)
    if file:
        st.write(f"This deletes `{runs[0].name_of(file)}` of {names} for good.")
    elif len(runs) == 1:
        st.write(f"This deletes {names} and all its checkpoints for good.")
    else:
        st.write(f"This deletes these runs and all their checkpoints for good: {names}.")
    children = store.children(runs[0], file) if file else store.resumed_from_any(runs)
    if children:
        resumed = ", ".join(common.plain(child.title) for child in children)
        lost = "their first epoch can no longer be checked" if file else "lose their parent"
        st.warning(f"Resumed from it: {resumed}. These runs stay usable, but {lost}.")
    sure = not children or st.checkbox("Delete it even though other runs were resumed from it")
    if login.button("Delete", type="primary", icon=":material/delete:", disabled=not sure):
        _delete(store, runs, file, force=bool(children))


def _delete(store: RunStore, runs: Sequence[Run], file: Path | None, force: bool) -> None:
    """Delete what can be deleted, resumed runs before their parents; the others stay in the address."""
    newest_first = sorted(runs, key=lambda run: run.id, reverse=True)
    left = [run.id for run in newest_first if not _is_deleted(store, run, file, force)]
    if not left:
        address.go(**dict.fromkeys(("run", "epoch", "file", "with")))
        several = f"Deleted {len(runs):,} runs."
        common.tell("Deleted the file." if file else "Deleted the run." if len(runs) == 1 else several)
        st.rerun()
    if len(left) < len(runs):
        address.go(run=left)


def _is_deleted(store: RunStore, run: Run, file: Path | None, force: bool) -> bool:
    with common.problems_shown():
        login.actions(store).delete(run, file, force=force)
        return True
    return False


def show_keep(store: RunStore, run: Run, saved: pd.DataFrame) -> None:
    """Preview which checkpoints of a run a rule deletes; ``saved`` are the rows of its files."""
    st.header("Keep")
    rules = {False: "All of them", True: "The last ones and the best"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        thin = st.segmented_control(
            "Checkpoints to keep", list(rules), format_func=rules.__getitem__, default=False, required=True
        )
        last = st.number_input("How many to keep", min_value=1, value=3, width=180, disabled=not thin)
    expendable = store.expendable(run, last=last, best=True) if thin else []
    if not expendable:
        st.write("Nothing to delete.")
        return
    rows = saved[(saved["format"] == "checkpoint") & saved["epoch"].isin(expendable)]
    size = bytes_text(int(rows["bytes"].sum()))
    st.write(
        f"**{len(rows):,} of {len(run.epochs_saved()):,} checkpoints would be deleted**, {size}. "
        "Never one that another run was resumed from, and never a damaged one."
    )
    style, alt = {"bytes": st.column_config.NumberColumn(format="localized")}, "Checkpoints to delete"
    common.show_table(
        rows[["file", "epoch", "loss", "bytes", "created"]], hide_index=True, column_config=style, alt=alt
    )
    # The key names the epochs, so a press on an outdated preview is lost.
    sure = st.checkbox("Delete them for good", key=f"sure {run.id} {expendable}")
    count, key = len(expendable), f"delete {run.id} {expendable}"
    label = "Delete this checkpoint" if count == 1 else f"Delete these {count:,} checkpoints"
    if login.button(label, icon=":material/delete:", key=key, disabled=not sure):
        login.actions(store).delete_checkpoints(run, expendable)
        common.tell(f"Deleted {common.count(count, 'checkpoint')}.")
        st.rerun()
