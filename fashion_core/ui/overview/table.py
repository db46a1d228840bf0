"""The table of runs: a sparkline each, rows to choose, and a menu that leads from each row to the other pages."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from fashion_core.config import MODEL_LABELS
from fashion_core.data.digests import images_label
from fashion_core.ui import address, common
from fashion_core.ui.overview import filters, texts
from fashion_core.ui.overview.filters import Order

LEAVING: Final = "menu led to"
_TABLE, _MENU = "table of runs", "menu of a run"
_LINKS: Final = {  # the page, and what it calls the run
    f":material/open_in_new: {texts.OPEN}": ("train", "run"),
    f":material/replay: {texts.RESUME}": ("resume", "run"),
    f":material/image_search: {texts.PREDICT}": ("predict", "run"),
    f":material/save: {texts.CHECKPOINTS}": ("checkpoints", "of"),
}


def show(runs: pd.DataFrame, titles: Mapping[str, str], order: Order, chosen: Sequence[str]) -> None:
    """Show these rows of ``tables.runs_frame`` with ``tables.numbers_by_dataset``; those with the ids ``chosen`` are.

    A click on the title of a column in ``titles`` sorts by it.
    """
    marked = [] if order == filters.USUAL else [order.by]
    _select(list(runs["id"].isin(chosen).to_numpy().nonzero()[0].tolist()), marked)
    columns = _columns(runs, titles)
    common.show_table(
        _cells(runs)[list(columns)],
        hide_index=True,
        on_select=lambda: _take(runs, titles, order, chosen),
        selection_mode=["multi-row", "single-column"],
        key=_TABLE,
        column_order=list(columns),
        column_config=columns,
        placeholder="",
        alt=texts.RUNS_TABLE,
    )


def _cells(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(
        dataset=runs["dataset"].map(images_label, na_action="ignore"),
        model=runs["model"].map(MODEL_LABELS, na_action="ignore"),
        newest=runs["created"].map(common.age, na_action="ignore"),
        menu=runs["id"].map(lambda _: list(_LINKS)),
    )


def _columns(runs: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, Any]:
    """What the table has from left to right, and how it looks."""
    numbers = [name for name in titles if name.startswith(("best_loss", "accuracy"))]
    column, repeated = st.column_config, ["seeds"] if (runs["seeds"] != "").any() else []
    return {
        "name": column.TextColumn(texts.NAME_COLUMN, width="medium"),
        "menu": column.ButtonColumn(texts.MENU_COLUMN, type="tertiary", key=_MENU, on_click=lambda: _leave(runs)),
        "curve": column.LineChartColumn(texts.CURVE_COLUMN, width=110, help=texts.CURVE_HELP),
        "state": texts.STATE_COLUMN,
        **{name: _number_column(name, titles[name]) for name in numbers},
        **{name: column.TextColumn(texts.SEEDS_COLUMN, help=texts.SEEDS_HELP) for name in repeated},
        "epochs": texts.EPOCHS_COLUMN,
        "dataset": texts.DATASET_COLUMN,
        "model": texts.MODEL_COLUMN,
        "newest": column.TextColumn(texts.AGE_COLUMN),
        "parent": column.TextColumn(texts.PARENT_COLUMN, width=150),
        "tags": column.ListColumn(texts.TAGS_COLUMN),
    }


def _number_column(name: str, title: str) -> Any:
    if name.startswith("best_loss"):
        return st.column_config.NumberColumn(title, format="%.4f", help=texts.BEST_LOSS_HELP)
    return st.column_config.NumberColumn(title, format="percent", help=texts.ACCURACY_HELP)


def _select(rows: list[int], columns: list[str]) -> None:
    """Let the table show what the address says, unless it does: then another click may be on its way."""
    known = st.session_state.get(_TABLE, {}).get("selection", {})
    if (known.get("rows", []), known.get("columns", [])) != (rows, columns):
        st.session_state[_TABLE] = {"selection": {"rows": rows, "columns": columns}}


def _take(runs: pd.DataFrame, titles: Mapping[str, str], order: Order, chosen: Sequence[str]) -> None:
    """Put what was clicked into the address: rows, beside the chosen ones that are on no row; or a column's title."""
    selection, marked = st.session_state[_TABLE].selection, [] if order == filters.USUAL else [order.by]
    if selection.columns == marked:
        elsewhere = [run_id for run_id in chosen if run_id not in set(runs["id"])]
        address.go(run=[*elsewhere, *runs["id"].iloc[selection.rows]])
        return
    (clicked,) = selection.columns or marked  # the marked one, when a second click has unmarked it
    if clicked in titles:
        filters.put(filters.after_click(order, clicked))


def _leave(runs: pd.DataFrame) -> None:
    """Keep where the menu of a row leads; the page goes there first of all, because its rows may be others by then."""
    click = st.session_state[_MENU]
    page, name = _LINKS[click.label]
    st.session_state[LEAVING] = {"page": page, name: str(runs["id"].iloc[click.row])}
