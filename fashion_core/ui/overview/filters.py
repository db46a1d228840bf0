"""Which runs Overview lists, and in which order: chips, a text and a column, all in the address."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from itertools import chain
from operator import or_
from typing import Any, Final, NamedTuple

import pandas as pd
import streamlit as st

from fashion_core.config import model_label
from fashion_core.data.description import images_label
from fashion_core.ui import address, common
from fashion_core.ui.overview import texts

PAGE: Final = ("page",)  # another choice leads to the first page of what it lists
FILTERS: Final = ("text", "dataset", "state", "model", "tag")
_MOST_TAGS: Final = 12
_TITLES: Final = {
    "newest": texts.NEWEST_FIRST,
    "name": texts.NAME_COLUMN,
    "state": texts.STATE_COLUMN,
    "dataset": texts.DATASET_COLUMN,
    "model": texts.MODEL_COLUMN,
    "epochs": texts.EPOCHS_COLUMN,
    "parent": texts.PARENT_COLUMN,
}
_NUMBERS: Final = {"epochs": "last_epoch"}  # of texts that sort by a number in them
_SEARCHED: Final = ("name", "id", "notes", "parent")  # and the tags


class Order(NamedTuple):
    """By which column: early names, low losses and high accuracies come first, unless it is reversed."""

    by: str
    reverse: bool = False


USUAL: Final = Order("newest")


def ask(runs: pd.DataFrame, names: Mapping[str, str]) -> tuple[pd.DataFrame, Order]:
    """Show the filters and the order; return the rows of ``tables.runs_frame`` that pass, not yet in that order."""
    text = address.get("text") or ""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        options = address.follow("text", text, "", PAGE)
        st.text_input(texts.SEARCH, type="search", placeholder=texts.SEARCH_PLACEHOLDER, width=260, **options)
        order = _ask_order(names)
    with st.container(horizontal=True):
        chosen = {name: _ask_chips(name, _frequencies(runs, name)) for name in FILTERS[1:]}
    return passing(runs, chosen, text), order


def _frequencies(runs: pd.DataFrame, name: str) -> Counter[str]:
    """How many runs have each value of this column."""
    if name == "tag":
        return Counter(chain.from_iterable(runs["tags"].dropna()))
    return Counter({str(value): count for value, count in runs[name].value_counts().items()})


def _ask_chips(name: str, values: Counter[str]) -> list[str]:
    """Chips of the values, the most frequent tags only; none where all runs have the same."""
    chosen = address.choices(name, values)
    most = [value for value, _ in values.most_common(_MOST_TAGS)] if name == "tag" else sorted(values)
    if chosen or len(values) > (name != "tag"):
        options = address.follow(name, chosen, [], PAGE)
        shown = list(dict.fromkeys([*most, *chosen]))
        hidden: dict[str, Any] = {"label_visibility": "collapsed", "selection_mode": "multi"}
        st.pills(texts.FILTER_LABELS[name], shown, format_func=partial(_label, name), **hidden, **options)
    return chosen


def _label(name: str, value: str) -> str:
    """Datasets and models by their labels; states and tags are words already."""
    if name == "dataset":
        return common.plain(images_label(value))
    return common.plain(model_label(value) if name == "model" else value)


def passing(runs: pd.DataFrame, chosen: Mapping[str, Sequence[str]], text: str) -> pd.DataFrame:
    """The runs with one of the chosen values of each filter that has any, and with every word of the text."""
    keep = pd.Series(True, index=runs.index)
    for name, values in chosen.items():
        if name == "tag" and values:
            keep &= runs["tags"].explode().isin(values).groupby(level=0).any()
        elif values:
            keep &= runs[name].isin(values)
    if words := text.lower().split():
        columns = [runs[name].str.lower() for name in _SEARCHED]
        columns.append(runs["tags"].map(" ".join, na_action="ignore").astype("str").str.lower())
        for word in words:
            keep &= reduce(or_, (column.str.contains(word, regex=False, na=False) for column in columns))
    return runs[keep]


def titles(numbers: pd.DataFrame) -> dict[str, str]:
    """The columns to sort by, those of ``tables.numbers_by_dataset`` included, with their titles."""
    return _TITLES | {str(name): number_title(str(name), len(numbers.columns) == 2) for name in numbers}


def number_title(name: str, alone: bool) -> str:
    """The title of a column of ``tables.numbers_by_dataset``, ``alone`` if all runs are of one dataset."""
    number, _, dataset = name.partition(" ")
    templates = texts.NUMBER_COLUMNS if alone else texts.NUMBER_COLUMNS_BY_DATASET
    return templates[number].format(dataset=images_label(dataset))


def _ask_order(names: Mapping[str, str]) -> Order:
    order = Order(address.choice("sort", names), address.is_on("reverse"))
    options = address.follow("sort", order.by, USUAL.by, ("reverse", *PAGE))
    st.selectbox(texts.SORT_BY, names, format_func=names.__getitem__, help=texts.SORT_HELP, width=260, **options)
    st.toggle(texts.REVERSED, **address.follow("reverse", order.reverse, False, PAGE))
    return order


def after_click(order: Order, title: str) -> Order:
    """The order after a click on the title of a column: by it, then the other way round, then the usual one."""
    if title != order.by:
        return Order(title)
    return USUAL if order.reverse else Order(title, reverse=True)


def put(order: Order) -> None:
    by = None if order.by == USUAL.by else order.by
    address.go(sort=by, reverse=order.reverse or None, **dict.fromkeys(PAGE))


def ordered(runs: pd.DataFrame, order: Order) -> pd.DataFrame:
    """The runs in this order; those without a value come last, whichever way."""
    if order.by == USUAL.by:
        return runs[::-1] if order.reverse else runs
    falling = order.by.startswith("accuracy") != order.reverse
    folded = (lambda words: words.astype("str").str.lower()) if order.by in ("name", "parent") else None
    by = _NUMBERS.get(order.by, order.by)
    return runs.sort_values(by, ascending=not falling, na_position="last", kind="stable", key=folded)
