"""The table of runs: a sparkline each, rows to choose, and a menu that leads from each row to the other pages."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import pandas as pd
import streamlit as st

from fashion_core.config import DATASET_LABELS, MODEL_LABELS
from fashion_core.ui import address, common
from fashion_core.ui.overview import filters, texts
from fashion_core.ui.overview.filters import Order

_TABLE, _MENU = "table of runs", "menu of a run"
_LINKS: Final = {  # the page, and what it calls the run
    f":material/open_in_new: {texts.OPEN}": ("train", "run"),
    f":material/replay: {texts.RESUME}": ("resume", "run"),
    f":material/image_search: {texts.PREDICT}": ("predict", "run"),
    f":material/save: {texts.CHECKPOINTS}": ("checkpoints", "of"),
}


def show(runs: pd.DataFrame, titles: Mapping[str, str], order: Order, chosen: Collection[str]) -> None:
    """Show these rows of ``tables.runs_frame`` with ``tables.numbers_by_dataset``; those with the ids ``chosen`` are.

    A click on the title of a column in ``titles`` sorts by it.
    """
    numbers = [name for name in titles if name.startswith(("best_loss", "accuracy"))]
    shown = runs.assign(
        dataset=runs["dataset"].map(DATASET_LABELS, na_action="ignore"),
        model=runs["model"].map(MODEL_LABELS, na_action="ignore"),
        newest=runs["created"].map(common.age, na_action="ignore"),
        menu=runs["id"].map(lambda _: list(_LINKS)),
    )
    marked = [] if order == filters.USUAL else [order.by]
    _select(list(runs["id"].isin(chosen).to_numpy().nonzero()[0].tolist()), marked)
    repeated = ["seeds"] if (runs["seeds"] != "").any() else []
    first, column = ["name", "menu", "curve", "state", *numbers], st.column_config
    columns = [*first, *repeated, "epochs", "dataset", "model", "newest", "parent", "tags"]
    common.show_table(
        shown[columns],
        hide_index=True,
        on_select=lambda: _take(runs, titles, order, marked),
        selection_mode=["multi-row", "single-column"],
        key=_TABLE,
        column_order=columns,
        column_config={
            "name": column.TextColumn(texts.NAME_COLUMN, width="medium"),
            "menu": column.ButtonColumn(texts.MENU_COLUMN, type="tertiary", key=_MENU),
            "curve": column.LineChartColumn(texts.CURVE_COLUMN, width=110, help=texts.CURVE_HELP),
            "state": texts.STATE_COLUMN,
            **{name: _number_column(name, titles[name]) for name in numbers},
            "seeds": column.TextColumn(texts.SEEDS_COLUMN, help=texts.SEEDS_HELP),
            "epochs": texts.EPOCHS_COLUMN,
            "dataset": texts.DATASET_COLUMN,
            "model": texts.MODEL_COLUMN,
            "newest": column.TextColumn(texts.AGE_COLUMN),
            "parent": column.TextColumn(texts.PARENT_COLUMN, width=150),
            "tags": column.ListColumn(texts.TAGS_COLUMN),
        },
        placeholder="",
        alt=texts.RUNS_TABLE,
    )
    if click := st.session_state[_MENU]:
        _leave(runs, click.row, click.label)


def _number_column(name: str, title: str) -> Any:
    if name.startswith("best_loss"):
        return st.column_config.NumberColumn(title, format="%.4f", help=texts.BEST_LOSS_HELP)
    return st.column_config.NumberColumn(title, format="percent", help=texts.ACCURACY_HELP)


def _select(rows: list[int], columns: list[str]) -> None:
    """Let the table show what the address says, unless it does: then another click may be on its way."""
    known = st.session_state.get(_TABLE, {}).get("selection", {})
    if (known.get("rows", []), known.get("columns", [])) != (rows, columns):
        st.session_state[_TABLE] = {"selection": {"rows": rows, "columns": columns}}


def _take(runs: pd.DataFrame, titles: Mapping[str, str], order: Order, marked: list[str]) -> None:
    """Put what was clicked into the address: rows, or the title of a column."""
    selection = st.session_state[_TABLE].selection
    if selection.columns == marked:
        address.go(run=list(runs["id"].iloc[selection.rows]))
        return
    (clicked,) = selection.columns or marked  # the marked one, when a second click has unmarked it
    if clicked in titles:
        filters.put(filters.after_click(order, clicked))


def _leave(runs: pd.DataFrame, row: int, label: str) -> None:
    page, name = _LINKS[label]
    address.open_page(page, **{name: str(runs["id"].iloc[row])})
