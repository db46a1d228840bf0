"""A saved file: which one the address names, what it is good for, and everything that can be seen in it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core import files
from fashion_core.charts import files as file_charts
from fashion_core.charts.files import bytes_text
from fashion_core.errors import ConfigError, RefusedFileError
from fashion_core.files import Signature, signature
from fashion_core.formats import inspect
from fashion_core.formats.inspect import Inspection
from fashion_core.resume.labels import loss_text
from fashion_core.runs.run import Run
from fashion_core.runs.schema import VerdictKind
from fashion_core.runs.store import RunStore, epoch_number
from fashion_core.ui import common, run_status

BYTES_KEY = "filled: weights · hollow: optimizer state"
CHANGED = "its SHA-256 is not the one that was recorded"
NUMBER_WIDTH = 150
OTHER = "with"
"""Where the address names a second file."""


@dataclass(frozen=True)
class Contents:
    """What is in a file: an inspection, or the reason why there is none; and the SHA-256 of its bytes."""

    inspection: Inspection | None
    problem: str | None
    refused: tuple[str, ...]
    sha256: str | None


def read_contents(path: Path) -> Contents:
    """Look into a file, numbers included, once for all viewers. Raises ``DiskError``."""
    return _read_contents(str(path), signature(path))


@st.cache_data(max_entries=64, show_spinner="Looking inside…")
def _read_contents(path: str, key: Signature) -> Contents:
    try:
        found = inspect.inspect(Path(path))
    except RefusedFileError as error:
        return Contents(None, str(error), error.names, files.digest_of(Path(path)).sha256)
    return Contents(found, found.refusal, found.refused, found.sha256)


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
        info = self.run.file_info(self.file)
        return info.epoch if info and info.why != "stop" and info.epoch in self.run.epochs_saved() else None

    @property
    def contents(self) -> Contents:
        """What is in it. Raises ``DiskError``."""
        return read_contents(self.file)

    @property
    def damage(self) -> str | None:
        """Why it is not what was saved, its bytes included; None if it is."""
        known = self.run.known_damage(self.file)
        info = self.run.file_info(self.file) if known is None else None
        return CHANGED if info and self.contents.sha256 not in (None, info.sha256) else known

    @property
    def verdict(self) -> VerdictKind:
        """What it is good for in a resume."""
        if self.damage:
            return "damaged"
        return self.contents.inspection.verdict if self.contents.inspection else "not usable"


def addressed_epoch() -> int | None:
    """The epoch that the address names, if any. Raises ``ConfigError`` if it is no number."""
    given = st.query_params.get("epoch")
    epoch = None if given is None else epoch_number(given)
    if given is not None and epoch is None:
        raise ConfigError(f"An epoch is a whole number such as 3, not {given!r}: fix the address.")
    return epoch


def addressed_file(store: RunStore) -> Chosen | None:
    """The file that the address names, by its epoch or its name. Raises ``RunNotFoundError`` or ``ConfigError``."""
    query = st.query_params
    if "run" not in query:
        return None
    run = store.get(query["run"])
    if "file" in query:
        return Chosen(store, run, run.saved_file(query["file"]))
    epoch = addressed_epoch()
    return None if epoch is None else Chosen(store, run, run.saved_file(run.name_of(run.checkpoint_path(epoch))))


def addressed_other(store: RunStore) -> tuple[Run, str] | None:
    """The second run that the address names, and its file or "". Raises ``RunNotFoundError``."""
    run_id, _, name = st.query_params.get(OTHER, "").partition("/")
    return (store.get(run_id), name) if run_id else None


def show_verdict(verdict: VerdictKind, found: Inspection | None) -> None:
    icon, color, sentence = run_status.VERDICTS[verdict]
    missing = f" Not in it: {'; '.join(found.missing)}." if found and found.missing and verdict != "not usable" else ""
    st.markdown(f":{color}[{icon} **{verdict}**] · {sentence}{missing}")


def show_problem(found: Contents) -> None:
    """Why a file is refused, and which names in its pickle are not allowed."""
    if found.problem:
        st.error(common.sentence(found.problem), icon=":material/gpp_bad:")
    if found.refused:
        st.caption("Names in its pickle that no saved weights need:")
        st.code("\n".join(found.refused), language=None)


def show_inside(found: Inspection, key: str) -> None:
    """Everything there is to see in a file, the most important first."""
    _show_numbers(found)
    if found.model:
        common.model_expander(found.model)
    _show_layers(found)
    tensors = file_charts.tensors_frame(found)
    _show_tensors(tensors[tensors["part"] != "optimizer"], f"tensors {key}")
    _show_optimizer(found, tensors[tensors["part"] == "optimizer"], f"slots {key}")
    _show_raw(found)


def _show_numbers(found: Inspection) -> None:
    count = found.parameters
    parameters = "–" if count is None else f"{count:,}" if count < 1e6 else f"{count / 1e6:.2f} M"
    with st.container(horizontal=True):
        st.metric("Size", bytes_text(found.bytes), width=NUMBER_WIDTH)
        st.metric("Parameters", parameters, width=NUMBER_WIDTH)
        st.metric("Epoch", "–" if found.epoch is None else f"{found.epoch:,}", width=NUMBER_WIDTH)
        st.metric("Loss", loss_text(found.loss, 4), width=NUMBER_WIDTH)
        st.metric("Optimizer", _optimizer_name(found), width=NUMBER_WIDTH)
    checksum = "checksummed" if found.has_checksum else "not checksummed: a changed bit goes unnoticed"
    digest = found.sha256 or "not computed, because the file is large"
    st.caption(f"{found.format} · {found.container} container, {checksum} · SHA-256 {digest}")


def _optimizer_name(found: Inspection) -> str:
    name = found.optimizer.name if found.optimizer else "none"
    return file_charts.OPTIMIZERS.get(name, name)


def _show_layers(found: Inspection) -> None:
    layers = file_charts.layers_frame(found)
    if layers.empty:
        return
    st.markdown("**Bytes by layer**")
    st.caption(BYTES_KEY if layers["second"].any() else "This file holds no optimizer state for any layer.")
    chart = file_charts.bar_chart(layers, ("weights", "optimizer"), "size in this file")
    st.vega_lite_chart(chart.to_dict(), alt="Bytes of each layer in this file")


def _show_tensors(tensors: pd.DataFrame, key: str) -> None:
    st.markdown(f"**Tensors** ({len(tensors):,})")
    bad = tensors[(tensors["nan"].fillna(0) + tensors["inf"].fillna(0)) > 0]
    if len(bad):
        st.warning(f"{common.plain(', '.join(bad['tensor']))}: not all numbers are finite.", icon=":material/warning:")
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
    with st.expander(f"Optimizer state: {_optimizer_name(found)}", icon=":material/tune:"):
        settings = file_charts.optimizer_settings(found)
        st.caption("param_groups[0]")
        st.dataframe(pd.DataFrame([{name: str(value) for name, value in settings.items()}]), hide_index=True)
        if slots.empty:
            st.write("It keeps nothing for any parameter: SGD without momentum has no memory.")
        else:
            total = bytes_text(found.optimizer.bytes)
            st.caption(f"{len(slots):,} tensors, {total}: what it remembers about each parameter")
            _show_tensors(slots, key)


def _show_raw(found: Inspection) -> None:
    with st.expander("The raw key tree", icon=":material/account_tree:"):
        st.json(found.tree, expanded=1)
    if found.names:
        with st.expander("Names in its pickle", icon=":material/list:"):
            st.code("\n".join(found.names), language=None)
