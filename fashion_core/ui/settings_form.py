"""A widget for each setting; ``TrainConfig`` itself validates the values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from fashion_core.config import MAX_SEEDS, MODEL_LABELS, Setting, Shape, TrainConfig, settings
from fashion_core.data import fashion_mnist
from fashion_core.data.description import names
from fashion_core.resume.labels import setting_text
from fashion_core.runs import team_models, torch_process
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, login, texts

_WIDGETS_IN_A_ROW = 4
_TABLE_COLUMNS = 3


def ask_settings(asked: Sequence[str], values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Show widgets that begin with these values, and return theirs; ``prefix`` keeps forms apart."""
    by_name, answers = {setting.name: setting for setting in settings()}, {}
    for place, name in enumerate(asked):
        if place % _WIDGETS_IN_A_ROW == 0:
            columns = iter(st.columns(_WIDGETS_IN_A_ROW))
        with next(columns):
            answers[name] = _ask(by_name[name], values[name], prefix)
    return answers


def ask_more(essential: Sequence[str], values: Mapping[str, Any], prefix: str, *without: str) -> dict[str, Any]:
    """Show the essential settings, and in an expander the other ones but those ``without``; return their values."""
    answers = ask_settings(essential, values, prefix)
    others = [setting.name for setting in settings() if setting.name not in (*essential, *without)]
    with st.expander(texts.MORE_SETTINGS):
        return answers | ask_settings(others, values, prefix)


def _ask(setting: Setting, value: Any, prefix: str) -> Any:
    """Pass the value to the widget: one set in the session is lost when a click interrupts the rerun."""
    label, key, why = setting.label, f"{prefix}{setting.name}", setting.explanation
    if setting.choices:
        choices = _choices(setting, value)
        shown = {choice: setting_text(setting.name, choice) for choice in choices}
        return st.selectbox(label, choices, choices.index(value), shown.__getitem__, key=key, help=why)
    if setting.kind is str:
        return st.text_input(label, value, key=key, help=why)
    step, format = (1, None) if setting.kind is int else (float(setting.default) or 0.01, "%g")
    return st.number_input(label, value=value, key=key, help=why, step=step, format=format)


def _choices(setting: Setting, value: Any) -> tuple[str, ...]:
    if setting.name == "dataset":
        return datasets(value)
    return tuple(dict.fromkeys((*team_models.names(), value))) if setting.name == "model" else setting.choices


def datasets(value: str) -> tuple[str, ...]:
    """Those that can be chosen here, and the one of a run though it may be gone."""
    return tuple(dict.fromkeys((*names(), value)))


def ask_seeds(key: str) -> int:
    """Ask how many runs to make that differ in nothing but the seed."""
    return st.number_input(texts.SEEDS, 1, MAX_SEEDS, 1, key=key, help=texts.SEEDS_HELP, width=220)


def show_settings(config: TrainConfig) -> None:
    """All settings of a run but its name, as a small table; in three columns where there is room."""
    own = [one for one in settings() if one.name != "name"]
    shown = {one.label: common.plain(setting_text(one.name, getattr(config, one.name))) for one in own}
    size = -(-len(shown) // _TABLE_COLUMNS)
    for at, column in enumerate(st.columns(_TABLE_COLUMNS)):
        part = dict([*shown.items()][at * size : (at + 1) * size])
        column.table(
            pd.DataFrame({texts.SETTING_COLUMN: part.keys(), texts.VALUE_COLUMN: part.values()}), hide_index=True
        )


def show_team_problems() -> None:
    """Say what is wrong with the modules that list a team's own models; the others can be chosen all the same."""
    with common.problems_shown(), st.spinner(texts.ASKING_MODELS):
        for problem in team_models.problems():
            st.warning(common.sentence(problem), icon=":material/extension_off:")


def show_team_model(name: str, shape: Shape) -> None:
    """What a team's model says of itself. Raises ``ModelError`` if it can't be trained on such images."""
    if name not in MODEL_LABELS:
        info = team_models.info(name, shape)
        said = [common.plain(info.doc)] if info.doc else []
        said += [texts.NOT_WHOLE.format(problem=common.plain(info.whole_problem))] if info.whole_problem else []
        if said:
            st.caption(f"**{common.plain(name)}**: {' '.join(said)}")


def show_cautions(pairs: Iterable[tuple[str, str]]) -> None:
    """Warn where a precision, the first of each pair, does not suit its device, the second."""
    with common.problems_shown(), st.spinner(texts.LOOKING_AT_MACHINE):
        for caution in torch_process.precision_cautions(pairs):
            st.warning(caution, icon=":material/speed:")


def is_ready(store: RunStore, dataset: str) -> bool:
    """Return whether the dataset is on this machine; if not, offer to download it where that is possible."""
    if dataset != "fashion-mnist":
        return dataset in names()
    if fashion_mnist.are_present():
        return True
    folder = common.plain(str(fashion_mnist.raw_folder()))
    st.warning(texts.DATASET_MISSING.format(folder=folder), icon=":material/cloud_download:")
    if login.button(texts.DOWNLOAD_DATASET, icon=":material/download:"):
        bar = st.progress(0.0, text=texts.DOWNLOADING)
        with common.problems_shown():
            login.actions(store).download(lambda done, total: bar.progress(done / total, text=f"{done / 1e6:.1f} MB"))
            common.tell(texts.DOWNLOADED_DATASET)
            st.rerun()
    return False
