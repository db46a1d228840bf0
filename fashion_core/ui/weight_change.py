"""Two saved files of one model: how far each layer moved between them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core.charts import files
from fashion_core.errors import DamagedFileError
from fashion_core.files import Signature, signature
from fashion_core.formats import weight_change
from fashion_core.formats.weight_change import WeightChange
from fashion_core.ui import common
from fashion_core.ui.saved_file import OTHER, Chosen, addressed_other


def show_comparison(chosen: Chosen, saved: pd.DataFrame) -> None:
    """How far each layer moved from another file to this one; ``saved`` is ``tables.saved_frame``.

    Raises ``ComparisonError``, ``DamagedFileError``, ``RefusedFileError``, ``RunNotFoundError`` or ``DiskError``.
    """
    other = _choose_other(chosen, saved)
    if other is None:
        st.info("There is no other file of this model to compare with this one.", icon=":material/info:")
        return
    for one in (other, chosen):
        if one.damage:
            raise DamagedFileError(one.file, one.damage)
    moved = _moved(str(other.file), signature(other.file), str(chosen.file), signature(chosen.file))
    st.markdown(files.weight_change_sentence(moved, common.plain(f"{other.name} of {other.run.title}")))
    rows = files.weight_change_frame(moved.tensors)
    st.caption(files.weight_change_key(rows))
    spec = files.weight_change_chart(rows).to_dict()
    st.vega_lite_chart(spec, alt="How far each tensor moved from the other file to this one")


@st.cache_data(max_entries=64, show_spinner="Comparing…")
def _moved(first: str, first_key: Signature, second: str, second_key: Signature) -> WeightChange:
    return weight_change.weight_change(Path(first), Path(second))


def _choose_other(chosen: Chosen, saved: pd.DataFrame) -> Chosen | None:
    """Two boxes, a run and its file; the choice is in the address."""
    run_id = name = ""
    if addressed := addressed_other(chosen.store):
        run_id, name = addressed[0].id, addressed[0].name_of(addressed[0].saved_file(addressed[1]))
    is_own = (saved["run"] == chosen.run.id) & (saved["file"] == chosen.name)
    same = saved[((saved["model"] == chosen.run.record.config.model) | (saved["run"] == run_id)) & ~is_own]
    if same.empty:
        return None
    if not len(same[(same["run"] == run_id) & (same["file"] == name)]):
        run_id, name = _nearest(chosen, same)
    names = same.drop_duplicates("run").set_index("run")["name"]
    first, second = st.columns(2)
    this = f"{chosen.run.id} {chosen.name}"
    with first:
        run_id = _choice("Compare with", list(names.index), run_id, lambda run: f"{names[run]} · {run}", this)
    of_run = list(same.loc[same["run"] == run_id, "file"])
    with second:
        name = _choice("File of that run", of_run, name if name in of_run else of_run[-1], str, f"{this} {run_id}")
    st.query_params[OTHER] = f"{run_id}/{name}"
    run = chosen.store.get(run_id)
    return Chosen(chosen.store, run, run.saved_file(name))


def _choice(label: str, options: list[str], value: str, shown: Callable[[str], str], key: str) -> str:
    return st.selectbox(label, options, index=options.index(value), format_func=shown, key=f"{label} {key}")


def _nearest(chosen: Chosen, others: pd.DataFrame) -> tuple[str, str]:
    """The epoch before this one, else the one after it, else the last file of this run or of the newest one."""
    of_run = others[others["run"] == chosen.run.id]
    candidates = of_run if len(of_run) else others[others["run"] == others["run"].iloc[0]]
    mine = chosen.epoch
    checkpoints = of_run[of_run["format"] == "checkpoint"]
    if mine is not None and len(checkpoints):
        before, after = checkpoints[checkpoints["epoch"] < mine], checkpoints[checkpoints["epoch"] > mine]
        candidates = before if len(before) else after.head(1) if len(after) else candidates
    return str(candidates["run"].iloc[-1]), str(candidates["file"].iloc[-1])
