"""Two saved files of one model: how far each layer moved between them."""

from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core.cache import Identity, identity
from fashion_core.charts import files
from fashion_core.errors import DamagedFileError
from fashion_core.formats import weight_change
from fashion_core.formats.weight_change import WeightChange
from fashion_core.ui import address, common
from fashion_core.ui.checkpoints import saved_file, texts


def show_comparison(chosen: saved_file.Chosen, saved: pd.DataFrame) -> None:
    """How far each layer moved from another file to this one; ``saved`` is ``tables.saved_frame``."""
    other = _ask_other(chosen, saved)
    if other is None:
        st.info(texts.NO_OTHER_FILE, icon=":material/info:")
        return
    for one in (other, chosen):
        if one.damage:
            raise DamagedFileError(one.file, one.damage)
    moved = _moved(str(other.file), identity(other.file), str(chosen.file), identity(chosen.file))
    name = texts.FILE_OF_RUN.format(file=other.name, run=other.run.title)
    st.markdown(files.weight_change_sentence(moved, common.plain(name)))
    rows = files.weight_change_frame(moved.tensors)
    st.caption(files.weight_change_key(rows))
    spec = files.weight_change_chart(rows).to_dict()
    st.vega_lite_chart(spec, alt=texts.WEIGHT_CHANGE_CHART_ALT)


@st.cache_data(max_entries=64, show_spinner=texts.COMPARING)
def _moved(first: str, first_key: Identity | None, second: str, second_key: Identity | None) -> WeightChange:
    return weight_change.weight_change(Path(first), Path(second))


def _ask_other(chosen: saved_file.Chosen, saved: pd.DataFrame) -> saved_file.Chosen | None:
    """The file that the address names, else the one before this one, else the last one of the newest other run."""
    run, file = None, None
    with address.wrong_shown(texts.OTHER_FILE_INSTEAD):
        run, file = saved_file.addressed_other(chosen.store)
    run = run or chosen.run
    of_model = (saved["model"] == chosen.run.record.config.model) | (saved["run"] == run.id)
    others = saved[of_model & ~((saved["run"] == chosen.run.id) & (saved["file"] == chosen.name))]
    if others.empty:
        return None
    if run.id not in set(others["run"]):
        run = chosen.store.at(others["run"].iloc[0])
    names = list(others.loc[others["run"] == run.id, "file"])
    wanted = run.name_of(file) if file else saved_file.neighbour(chosen).name if run.id == chosen.run.id else ""
    other = saved_file.Chosen(chosen.store, run, run.saved_file(wanted if wanted in names else names[-1]))
    runs = others.drop_duplicates("run")
    titles = common.run_names(dict(zip(runs["run"], runs["name"], strict=True)))
    saved_file.ask_run_and_file(other, titles, names, (texts.OTHER_RUN, texts.OTHER_FILE), saved_file.address_other)
    return other
