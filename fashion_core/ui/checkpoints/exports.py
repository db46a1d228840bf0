"""One model outside this app: five formats compared, to download, and loaded and used in plain PyTorch."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from fashion_core.cache import Identity, identity
from fashion_core.charts import files
from fashion_core.charts.texts import LOAD_TIME, SAVE_TIME
from fashion_core.errors import DamagedFileError
from fashion_core.runs import team_models, torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.saved_files import OTHER_DIGEST
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat
from fashion_core.runs.store import RunStore
from fashion_core.ui import common
from fashion_core.ui.checkpoints import saved_file, texts
from fashion_core.ui.snippets import scripts

STORED = "stored"


def show_five_ways(chosen: saved_file.Chosen) -> None:
    if chosen.epoch is None:
        st.info(texts.NO_CHECKPOINT, icon=":material/info:")
        return
    path = chosen.run.checkpoint_path(chosen.epoch)
    asked = (str(chosen.store.root), chosen.run.id, chosen.epoch, (identity(path), team_models.digests()))
    measured, found = _measured(*asked), saved_file.read_contents(path).inspection
    keeps = found.optimizer.name if found and found.optimizer else None
    weights = int(files.layers_frame(found)["first"].sum()) if found else 0
    st.markdown(files.sizes_sentence(measured, keeps))
    st.caption(texts.FORMATS_KEY)
    frame = files.sizes_frame(files.format_sizes(measured), weights)
    spec = files.bar_chart(frame, ("weights", "beside"), texts.FORMATS_CHART_AXIS).to_dict()
    st.vega_lite_chart(spec, alt=texts.FORMATS_CHART_ALT)
    milliseconds = st.column_config.NumberColumn(format="%.1f", help=texts.MILLISECONDS_HELP)
    style = dict.fromkeys((SAVE_TIME, LOAD_TIME), milliseconds)
    st.dataframe(
        files.formats_frame(measured, keeps), hide_index=True, column_config=style, alt=texts.FORMATS_TABLE_ALT
    )
    st.caption(texts.OUTPUTS[measured["what"]].format(images=measured["images"]))
    for problem in measured["left_out"].values():
        st.caption(common.plain(problem))
    if st.button(texts.MEASURE_AGAIN, icon=":material/refresh:"):
        _measured.clear(*asked)
        st.rerun(scope="fragment")


@st.cache_data(max_entries=64, show_spinner=texts.MEASURING)
def _measured(root: str, run_id: str, epoch: int, key: object) -> dict[str, Any]:
    store = RunStore(Path(root))
    return torch_process.compare_formats(store, store.get(run_id), epoch)


def show_loading_script(chosen: saved_file.Chosen) -> None:
    target = scripts.stored_target(chosen.contents.inspection, chosen.file)
    if target is None:
        st.info(texts.NO_LOADING_SCRIPT, icon=":material/info:")
        return
    format = _choose_format(chosen, texts.LOAD)
    if format and chosen.epoch is not None:
        checkpoint = saved_file.read_contents(chosen.run.checkpoint_path(chosen.epoch)).inspection
        name = scripts.download_name(chosen.run.title, format, chosen.epoch)
        target = scripts.export_target(scripts.stored_target(checkpoint, chosen.file) or target, format, name)
        st.caption(texts.DOWNLOADED_NAME)
    script = scripts.loading_script(target, chosen.run.record.config.pixels, chosen.run.record.description)
    st.code(script, language="python")


def show_using_script(chosen: saved_file.Chosen) -> None:
    target, record = scripts.stored_target(chosen.contents.inspection, chosen.file), chosen.run.record
    if target is None:
        st.info(texts.NO_USING_SCRIPT, icon=":material/info:")
        return
    one, all_images = texts.ONE_IMAGE, texts.ALL_IMAGES
    use = st.segmented_control(
        texts.USE_FOR, [one, all_images], default=one, required=True, label_visibility="collapsed"
    )
    if use == one:
        st.caption(texts.PREPARING_IMPORTED)
    elif record.config.dataset != "fashion-mnist":
        st.caption(texts.IMAGES_IMPORTED)
    script = scripts.using_script(
        "predicting" if use == one else "evaluating", target, record.config, record.description
    )
    st.code(script, language="python")


def _choose_format(chosen: saved_file.Chosen, label: str) -> ExportFormat | None:
    """One of the formats that can be made of the file, or None for the file as it is stored."""
    info = chosen.run.file_info(chosen.file)
    exports = [format for format in EXPORT_NAMES if chosen.epoch is not None and not (info and info.format == format)]
    labels: dict[str, str] = {STORED: texts.AS_STORED, **{format: files.FORMATS[format].label for format in exports}}
    options: dict[str, Any] = {"required": True, "label_visibility": "collapsed", "format_func": labels.__getitem__}
    key = f"{label} {chosen.run.id} {chosen.name}"
    choice = st.segmented_control(label, list(labels), default=STORED, key=key, **options)
    return next((format for format in exports if format == choice), None)


def show_download(chosen: saved_file.Chosen) -> None:
    if chosen.damage:
        text = texts.DAMAGED_DOWNLOAD.format(reason=common.plain(chosen.damage))
        st.error(text, icon=":material/broken_image:")
        return
    format, info = _choose_format(chosen, texts.DOWNLOAD), chosen.run.file_info(chosen.file)
    data: bytes | Callable[[], bytes]
    if format and chosen.epoch is not None:  # exported before the button is drawn: a failure must not be a lost click
        key = identity(chosen.run.checkpoint_path(chosen.epoch))
        data = _exported(str(chosen.store.root), chosen.run.id, chosen.epoch, format, key)
        name, details = scripts.download_name(chosen.run.title, format, chosen.epoch), files.bytes_text(len(data))
    elif info:
        data = partial(_stored_bytes, chosen.run, chosen.file)
        name = scripts.stored_name(chosen.run.title, chosen.name, info.format, info.epoch)
        details = f"{files.bytes_text(info.bytes)} · {texts.DIGEST.format(digest=info.sha256)}"
    else:
        return
    st.caption(f"{common.plain(name)} · {details}")
    mime, icon = "application/octet-stream", ":material/download:"
    st.download_button(texts.DOWNLOAD, data, name, mime, on_click="ignore", icon=icon, type="primary")


def _stored_bytes(run: Run, file: Path) -> bytes:
    """Read and check the file once more before the download. Raises ``DamagedFileError``."""
    if not run.is_whole(file):
        raise DamagedFileError(file, OTHER_DIGEST)
    return file.read_bytes()


@st.cache_data(max_entries=4, ttl="10m", show_spinner=texts.MAKING_FILE)
def _exported(root: str, run_id: str, epoch: int, format: ExportFormat, key: Identity | None) -> bytes:
    store = RunStore(Path(root))
    return torch_process.export(store, store.get(run_id), epoch, format)
