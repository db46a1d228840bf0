"""Verify saved files, and delete checkpoints by a rule."""

import time
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


def confirm_delete(store: RunStore, run: Run, file: Path | None = None) -> None:
    st.dialog("Delete this file?" if file else "Delete this run?")(_confirm_delete)(store, run, file)


def _confirm_delete(store: RunStore, run: Run, file: Path | None) -> None:
    name = f"**{common.plain(run.title)}**"
    what = f"`{run.name_of(file)}` of {name}" if file else f"{name} and all its checkpoints"
    st.write(f"This deletes {what} for good.")
    children = store.children(run, file)
    if children:
        names = ", ".join(common.plain(child.title) for child in children)
        lost = "their first epoch can no longer be checked" if file else "lose their parent"
        st.warning(f"Resumed from it: {names}. These runs stay usable, but {lost}.")
    sure = not children or st.checkbox("Delete it even though other runs were resumed from it")
    with common.problems_shown():
        if login.button("Delete", type="primary", icon=":material/delete:", disabled=not sure):
            login.actions(store).delete(run, file, force=bool(children))
            address.go(**dict.fromkeys(("run", "epoch", "file", "with")))
            common.tell("Deleted the file." if file else "Deleted the run.")
            st.rerun()


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
