"""The table of runs: a sparkline each, rows to choose, and a menu that leads from each row to the other pages."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from fashion_core.config import model_label
from fashion_core.data.description import images_label
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
    _select(list(runs["id"].isin(chosen).to_numpy().nonzero()[0].tolist()), marked(titles, order))
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
        model=runs["model"].map(model_label, na_action="ignore"),
        newest=common.ages(runs["created"]),
        menu=runs["id"].map(lambda _: list(_LINKS)),
    )


def _columns(runs: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, Any]:
    """What the table has from left to right, and how it looks."""
    losses, accuracies = ([name for name in titles if name.startswith(number)] for number in ("best_loss", "accuracy"))
    column, repeated = st.column_config, ["seeds"] if (runs["seeds"] != "").any() else []
    return {
        "name": column.TextColumn(texts.NAME_COLUMN, width="medium"),
        "menu": column.ButtonColumn(texts.MENU_COLUMN, type="tertiary", key=_MENU, on_click=lambda: _leave(runs)),
        "curve": column.LineChartColumn(texts.CURVE_COLUMN, width=110, help=texts.CURVE_HELP),
        "state": column.TextColumn(texts.STATE_COLUMN, width=85),
        **{name: column.NumberColumn(titles[name], format="%.4f", help=texts.BEST_LOSS_HELP) for name in losses},
        **{name: column.TextColumn(texts.SEEDS_COLUMN, width=190, help=texts.SEEDS_HELP) for name in repeated},
        **{name: column.NumberColumn(titles[name], format="percent", help=texts.ACCURACY_HELP) for name in accuracies},
        "epochs": texts.EPOCHS_COLUMN,
        "dataset": texts.DATASET_COLUMN,
        "model": texts.MODEL_COLUMN,
        "newest": column.TextColumn(texts.AGE_COLUMN),
        "parent": column.TextColumn(texts.PARENT_COLUMN, width=150),
        "tags": column.ListColumn(texts.TAGS_COLUMN),
    }


def marked(titles: Mapping[str, str], order: Order) -> list[str]:
    """The column that the rows stand in the order of, if it is shown."""
    return [] if order == filters.USUAL or order.by not in titles else [order.by]


def _select(rows: list[int], columns: list[str]) -> None:
    """Let the table show what the address says, unless it does: then another click may be on its way."""
    known = st.session_state.get(_TABLE, {}).get("selection", {})
    if (known.get("rows", []), known.get("columns", [])) != (rows, columns):
        st.session_state[_TABLE] = {"selection": {"rows": rows, "columns": columns}}


def _take(runs: pd.DataFrame, titles: Mapping[str, str], order: Order, chosen: Sequence[str]) -> None:
    """Put what was clicked into the address: rows, beside the chosen ones that are on no row; or a column's title."""
    selection, known = st.session_state[_TABLE].selection, marked(titles, order)
    if selection.columns == known:
        elsewhere = [run_id for run_id in chosen if run_id not in set(runs["id"])]
        address.go(run=[*elsewhere, *runs["id"].iloc[selection.rows]])
        return
    (clicked,) = selection.columns or known  # the marked one, when a second click has unmarked it
    if clicked in titles:
        filters.put(filters.after_click(order, clicked))


def _leave(runs: pd.DataFrame) -> None:
    """Keep where the menu of a row leads; the page goes there first of all, because its rows may be others by then."""
    click = st.session_state[_MENU]
    page, name = _LINKS[click.label]
    st.session_state[LEAVING] = {"page": page, name: str(runs["id"].iloc[click.row])}
