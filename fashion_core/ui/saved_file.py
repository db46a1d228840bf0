"""A saved file, and everything that can be seen in it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core import files
from fashion_core.charts import files as file_charts
from fashion_core.charts.files import bytes_text
from fashion_core.errors import RefusedFileError, RunNotFoundError
from fashion_core.files import Signature, signature
from fashion_core.formats import inspect
from fashion_core.formats.inspect import Inspection
from fashion_core.runs.run import Run
from fashion_core.runs.schema import VerdictKind
from fashion_core.runs.store import RunStore, epoch_number
from fashion_core.ui import common, run_status

BYTES_KEY = "filled: weights · hollow: the optimizer's state"
CHANGED = "its SHA-256 is not the one that was recorded"
NUMBER_WIDTH = 150


@dataclass(frozen=True)
class Found:
    """What a look into a file gave: an inspection, or the reason why there is none; and what its bytes hash to."""

    inspection: Inspection | None
    problem: str | None
    refused: tuple[str, ...]
    sha256: str | None


def look(path: Path) -> Found:
    """Look into a file, numbers and all; once for all viewers. Raises ``DiskError``."""
    return _look(str(path), signature(path))


@st.cache_data(max_entries=64, show_spinner="Looking inside…")
def _look(path: str, key: Signature) -> Found:
    try:
        found = inspect.inspect(Path(path))
    except RefusedFileError as error:
        return Found(None, str(error), error.names, files.digest_of(Path(path)).sha256)
    return Found(found, found.refusal, found.refused, found.sha256)


@dataclass(frozen=True)
class Chosen:
    """The saved file that the page is about."""

    store: RunStore
    run: Run
    file: Path

    @property
    def name(self) -> str:
        """Its path below the run folder."""
        return self.run.name_of(self.file)

    @property
    def epoch(self) -> int | None:
        """The epoch of the checkpoint that holds the same model, if that is saved."""
        own = self.run.epoch_of(self.file)
        if own is not None:
            return own
        facts = self.run.file_info(self.file)
        saved = self.run.epochs_saved()
        return facts.epoch if facts and facts.why != "stop" and facts.epoch in saved else None

    @property
    def found(self) -> Found:
        """What is in it. Raises ``DiskError``."""
        return look(self.file)

    @property
    def damage(self) -> str | None:
        """Why it is not what was saved, its bytes included; None if it is."""
        known = self.run.known_damage(self.file)
        facts = self.run.file_info(self.file) if known is None else None
        return CHANGED if facts and self.found.sha256 not in (None, facts.sha256) else known

    @property
    def verdict(self) -> VerdictKind:
        """What it is good for when training goes on."""
        if self.damage:
            return "damaged"
        return self.found.inspection.verdict if self.found.inspection else "not usable"


def addressed_file(store: RunStore) -> Chosen | None:
    """The saved file that the address names, by its epoch or its path. Raises ``RunNotFoundError``."""
    query = st.query_params
    if "run" not in query or not {"epoch", "file"} & set(query):
        return None
    run = store.get(query["run"])
    if "file" in query:
        return Chosen(store, run, run.saved_file(query["file"]))
    epoch = epoch_number(query["epoch"])
    if epoch is None:
        raise RunNotFoundError(f"An epoch is a whole number such as 3, not {query['epoch']!r}: fix the address.")
    return Chosen(store, run, run.saved_file(run.name_of(run.checkpoint_path(epoch))))


def show_verdict(verdict: VerdictKind, found: Inspection | None) -> None:
    """What the verdict means, in one sentence."""
    icon, color, sentence = run_status.VERDICTS[verdict]
    missing = f" Not in it: {'; '.join(found.missing)}." if found and found.missing and verdict != "not usable" else ""
    st.markdown(f":{color}[{icon} **{verdict}**] · {sentence}{missing}")


def show_problem(found: Found) -> None:
    """Why a file is refused, and the names in it that are not allowed."""
    if found.problem:
        st.error(common.sentence(found.problem), icon=":material/gpp_bad:")
    if found.refused:
        st.caption("Names in its pickle that no saved weights need:")
        st.code("\n".join(found.refused), language=None)


def show_inside(found: Inspection, key: str) -> None:
    """Everything there is to see in a file, the most telling first."""
    _show_numbers(found)
    if found.model:
        common.model_expander(found.model)
    _show_layers(found)
    tensors = file_charts.tensors_frame(found)
    _show_tensors(tensors[tensors["part"] != "optimizer"], f"tensors {key}")
    _show_optimizer(found, tensors[tensors["part"] == "optimizer"], f"slots {key}")
    _show_raw(found)


def _show_numbers(found: Inspection) -> None:
    with st.container(horizontal=True):
        st.metric("Size", bytes_text(found.bytes), width=NUMBER_WIDTH)
        st.metric("Parameters", _count(found.parameters), width=NUMBER_WIDTH)
        st.metric("Epoch", "–" if found.epoch is None else f"{found.epoch:,}", width=NUMBER_WIDTH)
        st.metric("Loss", common.loss_text(found.loss), width=NUMBER_WIDTH)
        st.metric("Optimizer", _optimizer_name(found) if found.optimizer else "none", width=NUMBER_WIDTH)
    noticed = "a changed bit would be noticed" if found.has_checksum else "no checksum: a changed bit goes unnoticed"
    digest = found.sha256 or "not read, for the file is large"
    st.caption(f"{found.format} · {found.container} container, {noticed} · SHA-256 {digest}")


def _count(parameters: int | None) -> str:
    if parameters is None:
        return "–"
    return f"{parameters:,}" if parameters < 1e6 else f"{parameters / 1e6:.2f} M"


def _optimizer_name(found: Inspection) -> str:
    name = found.optimizer.name if found.optimizer else "none"
    return file_charts.OPTIMIZERS.get(name, name)


def _show_layers(found: Inspection) -> None:
    layers = file_charts.layers_frame(found)
    if layers.empty:
        return
    st.markdown("**Bytes by layer**")
    st.caption(BYTES_KEY if layers["second"].any() else "This file holds no state of an optimizer for any layer.")
    chart = file_charts.bar_chart(layers, ("weights", "optimizer"), "size in this file")
    st.vega_lite_chart(chart.to_dict(), alt="Bytes of each layer in this file")


def _show_tensors(tensors: pd.DataFrame, key: str) -> None:
    st.markdown(f"**Tensors** ({len(tensors):,})")
    bad = tensors[(tensors["nan"].fillna(0) + tensors["inf"].fillna(0)) > 0]
    if len(bad):
        st.warning(f"{common.plain(', '.join(bad['tensor']))}: not every number is finite.", icon=":material/warning:")
    columns = ["tensor", "histogram", "shape", "dtype", "low", "high", "mean", "std", "nan", "inf", "bytes"]
    number = st.column_config.NumberColumn(format="%.3g")
    style = {
        "tensor": st.column_config.TextColumn(width="medium"),
        "histogram": st.column_config.BarChartColumn(
            help="How often each value occurs, from low to high", width="small", y_min=0
        ),
        **dict.fromkeys(("low", "high", "mean", "std"), number),
        "bytes": st.column_config.NumberColumn(format="localized"),
    }
    st.dataframe(
        tensors, hide_index=True, key=key, column_order=columns, column_config=style, alt="Tensors in this file"
    )


def _show_optimizer(found: Inspection, slots: pd.DataFrame, key: str) -> None:
    if found.optimizer is None:
        return
    with st.expander(f"The optimizer's state: {_optimizer_name(found)}", icon=":material/tune:"):
        settings = file_charts.optimizer_settings(found)
        st.caption("param_groups[0]")
        st.dataframe(pd.DataFrame([{name: str(value) for name, value in settings.items()}]), hide_index=True)
        if slots.empty:
            st.write("It keeps nothing for any parameter: plain SGD has no memory.")
        else:
            total = bytes_text(found.optimizer.bytes)
            st.caption(f"{len(slots):,} tensors, {total}: what it remembers of each parameter")
            _show_tensors(slots, key)


def _show_raw(found: Inspection) -> None:
    with st.expander("The raw key tree", icon=":material/account_tree:"):
        st.json(found.tree, expanded=1)
    if found.names:
        with st.expander("Names in its pickle", icon=":material/list:"):
            st.code("\n".join(found.names), language=None)
