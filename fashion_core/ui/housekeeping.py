"""Read saved files again, and let checkpoints go."""

import time
from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core.charts.files import bytes_text
from fashion_core.runs import verify
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.runs.verify import Verified
from fashion_core.ui import common, login


def show_verify(store: RunStore, runs: list[Run], saved: pd.DataFrame, label: str) -> None:
    """Read every saved file of these runs; ``saved`` is ``frames.saved_frame``."""
    st.markdown("**Verify**")
    st.write(
        "Reads saved files again and compares each with the SHA-256 that was recorded when it was saved. A damaged "
        "one is marked in the lists and refused for resuming; it is never deleted by itself."
    )
    if login.button(label, icon=":material/fact_check:"):
        _show_verified(saved, _verify_with_progress(store, runs))


def _verify_with_progress(store: RunStore, runs: list[Run]) -> list[Verified]:
    """Read each file, with a bar that says how long it still takes."""
    total, began = max(verify.count_files(runs), 1), time.monotonic()
    bar, results = st.progress(0.0, text="Reading…"), []
    for result in login.actions(store).verify(runs):
        results.append(result)
        done = len(results)
        if done * 100 // total != (done - 1) * 100 // total:
            left = (time.monotonic() - began) / done * (total - done)
            bar.progress(min(1.0, done / total), text=f"{done:,} of {total:,} files · {common.duration(left)} left")
    bar.empty()
    return results


def _show_verified(saved: pd.DataFrame, results: list[Verified]) -> None:
    """The damaged files by name, or that there are none."""
    damaged = [result for result in results if not result.ok]
    if not damaged:
        st.success(f"All {len(results):,} files are what was saved.", icon=":material/verified:")
        return
    are = "is" if len(damaged) == 1 else "are"
    st.error(f"{len(damaged):,} of {len(results):,} files {are} damaged.", icon=":material/broken_image:")
    names = dict(zip(saved["run"], saved["name"], strict=True))
    rows = [(result.file, result.reason, names.get(result.run, result.run), result.run) for result in damaged]
    st.dataframe(
        pd.DataFrame(rows, columns=["file", "what is wrong", "run", "id"]), hide_index=True, alt="Damaged files"
    )


def confirm_delete(store: RunStore, run: Run, file: Path | None = None) -> None:
    """Ask in a dialog before a run, or one of its files, is deleted; name the runs that were resumed from it."""
    st.dialog("Delete this file?" if file else "Delete this run?")(_confirm_delete)(store, run, file)


def _confirm_delete(store: RunStore, run: Run, file: Path | None) -> None:
    name = f"**{common.plain(run.title)}**"
    what = f"`{run.name_of(file)}` of {name}" if file else f"{name} and all its checkpoints"
    st.write(f"This deletes {what} for good.")
    children = store.children_of(run, file) if file else store.children(run)
    if children:
        names = ", ".join(common.plain(child.title) for child in children)
        lost = "their first epoch can no longer be checked" if file else "lose their parent"
        st.warning(f"Resumed from it: {names}. These runs stay usable, but {lost}.")
    sure = not children or st.checkbox("Delete it even though other runs were resumed from it")
    with common.problems_shown():
        if login.button("Delete", type="primary", icon=":material/delete:", disabled=not sure):
            login.actions(store).delete(run, file, force=bool(children))
            common.address(**dict.fromkeys(("run", "epoch", "file", "with")))
            st.rerun()


def show_keep(store: RunStore, run: Run, saved: pd.DataFrame) -> None:
    """Which checkpoints of a run a rule would let go, before it does; ``saved`` are the rows of its files."""
    st.markdown("**Keep**")
    last = _ask_rule()
    going = store.expendable(run, last=last, best=True) if last else []
    if not going:
        st.write("Nothing to delete.")
        return
    _show_going(run, saved[(saved["format"] == "checkpoint") & saved["epoch"].isin(going)])
    # The key names the epochs: a press on an older preview finds another button in its place.
    sure = st.checkbox("They will be gone for good", key=f"sure {run.id} {going}")
    label, key = _delete_label(len(going)), f"let go {run.id} {going}"
    if login.button(label, icon=":material/delete:", key=key, disabled=not sure):
        login.actions(store).delete_checkpoints(run, going)
        st.rerun()


def _ask_rule() -> int | None:
    """How many of the last to keep beside the best, or None for all."""
    rules = {False: "All of them", True: "The last ones and the best"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        thin = st.segmented_control(
            "Checkpoints to keep", list(rules), format_func=lambda rule: rules[rule], default=False, required=True
        )
        last = st.number_input("How many of the last", min_value=1, value=3, width=180, disabled=not thin)
    return int(last) if thin else None


def _show_going(run: Run, rows: pd.DataFrame) -> None:
    size = bytes_text(int(rows["bytes"].sum()))
    st.write(
        f"**{len(rows):,} of {len(run.epochs_saved()):,} checkpoints would go**, {size}. "
        "Never one that another run was resumed from, and never a damaged one."
    )
    style = {"bytes": st.column_config.NumberColumn(format="localized")}
    columns = ["file", "epoch", "loss", "bytes", "created"]
    st.dataframe(rows[columns], hide_index=True, column_config=style, alt="Checkpoints that would go")


def _delete_label(count: int) -> str:
    return "Delete this checkpoint" if count == 1 else f"Delete these {count:,} checkpoints"
