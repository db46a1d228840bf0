"""A widget for each setting of ``TrainConfig``; the values are checked once, by the configuration itself."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from fashion_core.config import DATASET_LABELS, MODEL_LABELS, Setting, TrainConfig, settings
from fashion_core.data import fashion_mnist
from fashion_core.runs import machine
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, login

_CHOICE_LABELS = {**DATASET_LABELS, **MODEL_LABELS}
_WIDGETS_IN_A_ROW = 4


def ask_settings(names: Sequence[str], values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Widgets four in a row where there is room, in the same order where there is not; gives what stands in them.

    ``values`` is what they begin with; ``prefix`` keeps forms apart.
    """
    by_name = {setting.name: setting for setting in settings()}
    group = [by_name[name] for name in names]
    answers = {}
    for first in range(0, len(group), _WIDGETS_IN_A_ROW):
        row = group[first : first + _WIDGETS_IN_A_ROW]
        for setting, column in zip(row, st.columns(_WIDGETS_IN_A_ROW), strict=False):
            with column:
                answers[setting.name] = _ask(setting, values[setting.name], prefix)
    return answers


def _ask(setting: Setting, value: Any, prefix: str) -> Any:
    """The value goes with the widget: one that the session sets is lost where a click cuts the page's drawing short."""
    key = f"{prefix}{setting.name}"
    if setting.choices:
        index = setting.choices.index(value)
        return st.selectbox(setting.label, setting.choices, index, _choice_label, key=key, help=setting.explanation)
    if setting.kind is str:
        return st.text_input(setting.label, value, key=key, help=setting.explanation)
    if setting.kind is int:
        return st.number_input(setting.label, value=value, key=key, help=setting.explanation, step=1)
    step = float(setting.default) or 0.01
    return st.number_input(setting.label, value=value, key=key, help=setting.explanation, step=step, format="%g")


def _choice_label(choice: str) -> str:
    return _CHOICE_LABELS.get(choice, choice)


def show_cautions(pairs: Iterable[tuple[str, str]]) -> None:
    """Where a precision, the first of each pair, does not suit the device, the second."""
    with common.problems_shown(), st.spinner("Looking at this machine…"):
        for caution in machine.precision_cautions(pairs):
            st.warning(caution, icon=":material/speed:")


def offer_download(store: RunStore, config: TrainConfig) -> None:
    """Fashion-MNIST must be fetched once; the synthetic garments never."""
    if config.dataset != "fashion-mnist" or fashion_mnist.are_present():
        return
    folder = common.plain(str(fashion_mnist.raw_folder()))
    st.warning(
        f"Fashion-MNIST is not on this machine yet. Download it (30 MB), or copy its four .gz files into {folder}.",
        icon=":material/cloud_download:",
    )
    if login.button("Download Fashion-MNIST", icon=":material/download:"):
        bar = st.progress(0.0, text="Downloading…")
        with common.problems_shown():
            login.actions(store).download(lambda done, total: bar.progress(done / total, text=f"{done / 1e6:.1f} MB"))
            st.rerun()
