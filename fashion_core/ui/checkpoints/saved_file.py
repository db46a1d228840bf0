"""A saved file: which one the address names, what it is good for, and everything that can be seen in it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from fashion_core import files
from fashion_core.cache import identity
from fashion_core.charts import files as file_charts
from fashion_core.data.description import images_label
from fashion_core.errors import ConfigError, RefusedFileError, counted
from fashion_core.formats import inspect
from fashion_core.resume.labels import loss_text
from fashion_core.runs import team_models
from fashion_core.runs.run import Run
from fashion_core.runs.saved_files import OTHER_DIGEST
from fashion_core.runs.schema import VerdictKind
from fashion_core.runs.store import RunStore, epoch_number
from fashion_core.ui import address, common, run_status
from fashion_core.ui.checkpoints import texts

OTHER = "with"  # where the address names a second file
Address = Callable[[Run, str], None]  # puts a run and the name of its file into the address


@dataclass(frozen=True)
class Contents:
    """What is in a file: an inspection, or the reason why there is none; and the size and SHA-256 of its bytes."""

    inspection: inspect.Inspection | None
    problem: str | None
    refused: tuple[str, ...]
    bytes: int
    sha256: str | None


def read_contents(path: Path, weights: str | None = None) -> Contents:
    """Inspect a file, numbers included, once for all viewers. Raises ``DiskError``.

    ``weights`` says which are meant where it holds several.
    """
    return _read_contents(str(path), (identity(path), team_models.digests()), weights)


@st.cache_data(max_entries=64, show_spinner=texts.LOOKING_INSIDE)
def _read_contents(path: str, key: object, weights: str | None) -> Contents:
    try:
        found = inspect.inspect(Path(path), choice=weights)
    except RefusedFileError as error:
        digest = files.digest_of(Path(path))
        return Contents(None, str(error), error.names, digest.bytes, digest.sha256)
    return Contents(found, found.refusal, found.refused, found.bytes, found.sha256)


@dataclass(frozen=True)
class Chosen:
    store: RunStore
    run: Run
    file: Path

    @property
    def name(self) -> str:
        return self.run.name_of(self.file)

    @property
    def epoch(self) -> int | None:
        """The epoch of the checkpoint that holds the same model, if that is saved."""
        if (own := self.run.epoch_of(self.file)) is not None:
            return own
        info = self.run.file_info(self.file)
        return info.epoch if info and info.why != "stop" and info.epoch in self.run.epochs_saved() else None

    @property
    def contents(self) -> Contents:
        return read_contents(self.file)

    @property
    def damage(self) -> str | None:
        """Why it is not what was saved, its bytes included; None if it is."""
        known = self.run.known_damage(self.file)
        info = self.run.file_info(self.file) if known is None else None
        return OTHER_DIGEST if info and self.contents.sha256 not in (None, info.sha256) else known

    @property
    def verdict(self) -> VerdictKind:
        if self.damage:
            return "damaged"
        return self.contents.inspection.verdict if self.contents.inspection else "not usable"


def addressed_epoch() -> int | None:
    """The epoch that the address names, if any. Raises ``ConfigError`` if it is no number."""
    if (given := address.get("epoch")) is None:
        return None
    if (epoch := epoch_number(given)) is None:
        raise ConfigError(texts.WRONG_EPOCH.format(given=given))
    return epoch


def addressed_file(store: RunStore) -> Chosen | None:
    """The file that the address names, by its epoch or its name. Raises ``RunNotFoundError`` or ``ConfigError``."""
    if (run_id := address.get("run")) is None:
        return None
    run = store.get(run_id)
    name = address.get("file")
    if name is None and (epoch := addressed_epoch()) is not None:
        name = run.name_of(run.checkpoint_path(epoch))
    return None if name is None else Chosen(store, run, run.saved_file(name))


def addressed_other(store: RunStore) -> tuple[Run | None, Path | None]:
    """The second run that the address names, and its file, if any. Raises ``RunNotFoundError``."""
    run_id, _, name = (address.get(OTHER) or "").partition("/")
    run = store.get(run_id) if run_id else None
    return run, run.saved_file(name) if run and name else None


def address_other(run: Run, file: str) -> None:
    address.go(**{OTHER: f"{run.id}/{file}", "differing-page": None})


def neighbour(chosen: Chosen) -> Chosen:
    """The file before this one, else the one after it, else itself; the last one if this one has just been deleted."""
    saved = chosen.run.saved_files()
    place = saved.index(chosen.file) if chosen.file in saved else len(saved)
    before, after = saved[:place], saved[place + 1 :]
    return Chosen(chosen.store, chosen.run, [*before[-1:], *after[:1], chosen.file][0])


def ask_run_and_file(
    wanted: Chosen, runs: Mapping[str, str], files: list[str], labels: tuple[str, str], take: Address
) -> None:
    """Two boxes that show which file is used; another choice goes into the address. ``runs`` are names by id."""
    best = f"model_save/{wanted.run.best_epoch()}"
    names = {name: texts.BEST_FILE.format(name=name) if name == best else name for name in files}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        address.ask(labels[0], runs, wanted.run.id, lambda run: take(wanted.store.at(run), ""), 420)
        address.ask(labels[1], names, wanted.name, lambda name: take(wanted.run, name), 220)


def show_verdict(verdict: VerdictKind, found: inspect.Inspection | None) -> None:
    icon, color = run_status.BADGES[verdict]
    said = [texts.GOOD_FOR[verdict]]
    if found and found.missing and verdict != "not usable":
        said.append(texts.MISSING.format(missing="; ".join(inspect.MISSING[what] for what in found.missing)))
    st.markdown(f":{color}[{icon} **{verdict}**] · {' '.join(said)}")


def show_problem(found: Contents) -> None:
    """Why the file can't be used, if it can't, and what is known of one that could not be read at all."""
    if found.problem:
        st.error(common.sentence(found.problem), icon=":material/gpp_bad:")
    if found.refused:
        st.caption(texts.REFUSED_GLOBALS)
        st.code("\n".join(found.refused), language=None)
    if not found.inspection:
        st.caption(f"{file_charts.bytes_text(found.bytes)} · {texts.DIGEST.format(digest=found.sha256)}")


def show_inside(found: inspect.Inspection, key: str) -> None:
    name = found.optimizer.name if found.optimizer else texts.NO_OPTIMIZER
    optimizer = file_charts.OPTIMIZERS.get(name, name)
    _show_numbers(found, optimizer)
    for note in found.notes:
        st.info(common.plain(note), icon=":material/info:")
    if found.model and found.shape:
        common.model_expander(found.model, found.shape)
    _show_layers(found)
    tensors = file_charts.tensors_frame(found)
    _show_tensors(texts.TENSORS, tensors[tensors["part"] != "optimizer"], f"tensors {key}")
    if found.optimizer:
        with st.expander(texts.OPTIMIZER_STATE.format(optimizer=optimizer)):
            if settings := file_charts.optimizer_settings(found):
                st.caption("param_groups[0]")
                values = {name: str(value) for name, value in settings.items()}
                common.show_table(pd.DataFrame([values]), hide_index=True)
            _show_slots(tensors[tensors["part"] == "optimizer"], found.optimizer.bytes, key)
    with st.expander(texts.KEY_TREE):
        st.json(json.dumps(found.tree), expanded=1)  # which would take a text for JSON
    if found.names:
        with st.expander(texts.GLOBALS):
            st.code("\n".join(found.names), language=None)


def _show_layers(found: inspect.Inspection) -> None:
    layers = file_charts.layers_frame(found)
    if layers.empty:
        return
    st.subheader(texts.LAYERS)
    st.caption(texts.LAYERS_KEY if layers["second"].any() else texts.NO_OPTIMIZER_STATE)
    spec = file_charts.bar_chart(layers, ("weights", "optimizer"), texts.LAYERS_CHART_AXIS).to_dict()
    st.vega_lite_chart(spec, alt=texts.LAYERS_CHART_ALT)


def _show_slots(slots: pd.DataFrame, size: int, key: str) -> None:
    """The tensors that an optimizer keeps, of this many bytes together."""
    if slots.empty:
        st.write(texts.OPTIMIZER_WITHOUT_STATE)
        return
    text = counted(len(slots), texts.OPTIMIZER_SIZE_ONE, texts.OPTIMIZER_SIZE_MANY, size=file_charts.bytes_text(size))
    st.caption(text)
    _show_tensors(texts.OPTIMIZER_TENSORS, slots, f"slots {key}")


def _show_numbers(found: inspect.Inspection, optimizer: str) -> None:
    count = found.parameters
    numbers = {
        texts.SIZE: file_charts.bytes_text(found.bytes),
        texts.PARAMETERS: texts.UNKNOWN if count is None else f"{count:,}" if count < 1e6 else f"{count / 1e6:.2f} M",
        texts.EPOCH: texts.UNKNOWN if found.epoch is None else f"{found.epoch:,}",
        texts.LOSS: loss_text(found.loss, 4),
        texts.OPTIMIZER: optimizer,
    }
    with st.container(horizontal=True):
        for label, number in numbers.items():
            if found.weights or number not in (texts.UNKNOWN, texts.NO_OPTIMIZER):
                st.metric(label, number, width=150)
    container = texts.CHECKSUMMED if found.has_checksum else texts.NOT_CHECKSUMMED
    about = [found.format, container.format(container=found.container)]
    if said := found.trained_on:
        dataset = common.plain(images_label(said["dataset"]))
        about.append(texts.TRAINED_ON_PIXELS.format(dataset=dataset, pixels=said["pixels"]))
    about.append(texts.DIGEST.format(digest=found.sha256) if found.sha256 else texts.NO_DIGEST)
    st.caption(" · ".join(about))


def _show_tensors(name: str, tensors: pd.DataFrame, key: str) -> None:
    if tensors.empty:
        return
    st.subheader(f"{name} ({len(tensors):,})")
    bad = tensors[(tensors["nan"].fillna(0) + tensors["inf"].fillna(0)) > 0]
    if len(bad):
        text = texts.NOT_FINITE.format(tensors=common.plain(", ".join(bad["tensor"])))
        st.warning(text, icon=":material/warning:")
    columns = ("tensor", "histogram", "shape", "dtype", "low", "high", "mean", "std", "nan", "inf", "bytes")
    order = [name for name in columns if tensors[name].notna().any()]  # numbers that were not read leave no gaps
    column = st.column_config
    style = {
        "tensor": column.TextColumn(width="medium"),
        "histogram": column.BarChartColumn(help=texts.HISTOGRAM_HELP, width="small", y_min=0),
        **dict.fromkeys(("low", "high", "mean", "std"), column.NumberColumn(format="%.3g")),
        "bytes": column.NumberColumn(format="localized"),
    }
    common.show_table(tensors, hide_index=True, key=key, column_order=order, column_config=style, alt=name)
