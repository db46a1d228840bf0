"""What pages share: text that is safe to show, errors, addresses and small widgets."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import pandas as pd
import streamlit as st

from fashion_core.charts.base import ChartSpec
from fashion_core.errors import ConfigError, FashionError, RunNotFoundError, one_line
from fashion_core.files import REFUSALS, refusal
from fashion_core.runs import torch_process
from fashion_core.runs.run import Run

PAGE_ROWS = 500
_ESCAPES: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]()<>#+-!|~:$&"})
_WORD_JOINER: Final = "\u2060"
_FORMULA: Final = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # how a cell begins that a spreadsheet may compute
_NUMBER: Final = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?( ?%)?")
Show = Callable[[], None]
T = TypeVar("T", str, int)


def press_key(button: str) -> str:
    """Return a key for a button that starts something. ``count_press`` changes it, so a double click has no effect."""
    return f"{button} {st.session_state.get('presses', 0)}"


def count_press() -> None:
    st.session_state["presses"] = st.session_state.get("presses", 0) + 1


def sentence(error: FashionError | str) -> str:
    """The error's text with a capital, safe to show: nothing in it is read as Markdown."""
    return plain(str(error)[:1].upper() + str(error)[1:])


def plain(text: str) -> str:
    """Escape text so that Markdown shows it literally, on one line: names and paths may hold any character.

    Streamlit makes icons, links and e-mail addresses after it has removed escapes; an invisible joiner prevents that.
    """
    return re.sub(r"(:|@|(?i:www))(?=\S)", rf"\1{_WORD_JOINER}", one_line(text).translate(_ESCAPES))


def show_tabs(views: Mapping[str, Show], key: str = "view", closed: Mapping[str, Show] = {}) -> None:
    """Show a tab for each view, and run the open one, whose name is in the address; ``closed`` runs while it is not."""
    for name, tab in zip(views, st.tabs(list(views), key=key, on_change="rerun", bind="query-params"), strict=True):
        shown = views if tab.open else closed
        with tab, problems_shown():
            if name in shown:
                shown[name]()


@contextmanager
def problems_shown() -> Iterator[None]:
    """Show an error that a person can fix as one sentence; anything else is a bug and is raised."""
    try:
        yield
    except REFUSALS as error:
        if (told := refusal(error)) is None:
            raise
        st.error(sentence(told), icon=":material/error:")


@contextmanager
def wrong_address_shown(used: str) -> Iterator[None]:
    """Show what is wrong with the address, and that this is used instead."""
    try:
        yield
    except (ConfigError, RunNotFoundError) as error:
        st.error(f"{sentence(error)} {used} is used instead.", icon=":material/error:")


def address(**query: str | int | None) -> None:
    """Put these values into the address, one step of the history, and remove those that are None, a step each."""
    changed = {name: str(value) for name, value in query.items() if value is not None}
    if any(st.query_params.get(name) != value for name, value in changed.items()):
        st.query_params.update(changed)
    for name in query:
        if name not in changed:
            st.query_params.pop(name, None)


def file_query(run: Run, file: Path) -> dict[str, str]:
    epoch = run.epoch_of(file)
    return {"run": run.id, **({"epoch": str(epoch)} if epoch is not None else {"file": run.name_of(file)})}


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def age(moment: datetime) -> str:
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def model_expander(name: str) -> None:
    """``print(model)`` and the table of layers; torch is asked only once it is opened."""
    expander = st.expander("The model: print(model) and its layers", icon=":material/layers:", on_change="rerun")
    if not expander.open:
        return
    with expander, problems_shown(), st.spinner("Building the model…"):
        described = torch_process.describe_model(name)
        st.code(f">>> print(model)\n{described['text']}", language=None)
        layers = pd.DataFrame(described["layers"])
        layers["output_shape"] = [" × ".join(map(str, shape)) for shape in layers["output_shape"]]
        layers.columns = pd.Index(["layer", "class", "output of one image", "parameters"])
        style = {"parameters": st.column_config.NumberColumn(format="localized")}
        st.dataframe(layers, hide_index=True, column_config=style)
        st.caption(f"{described['parameters']:,} parameters")


def ask_addressed(
    label: str, names: Mapping[T, str], named: T, take: Callable[[T], None], width: int | Literal["stretch"]
) -> None:
    """A box that shows what the address names; ``take`` puts another choice there, which the next run reads."""
    key = f"choose {label}"
    st.session_state[key] = named
    st.selectbox(label, names, 0, names.__getitem__, key, on_change=lambda: take(st.session_state[key]), width=width)


def show_clickable(chart: ChartSpec, key: str, param: str, take: Callable[[dict[str, Any]], None], alt: str) -> None:
    """Show a chart; ``take`` gets the point that is clicked, or an empty one for a click beside the points."""

    def take_click() -> None:
        (point, *_) = st.session_state[key].selection.get(param) or [{}]
        take(point)

    st.vega_lite_chart(chart.to_dict(), key=key, on_select=take_click, selection_mode=param, alt=alt)


def offer_csv(label: str, table: Callable[[], pd.DataFrame], file_name: str) -> None:
    data, icon = lambda: csv_text(table()), ":material/download:"
    st.download_button(label, data, file_name, "text/csv", icon=icon, on_click="ignore")


def csv_text(table: pd.DataFrame) -> str:
    """The table as CSV, with an apostrophe before text that a spreadsheet would compute: names may be anyone's.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return _without_formulas(table).to_csv(index=False)


def show_table(table: pd.DataFrame, **options: Any) -> Any:
    """``st.dataframe`` of it, whose toolbar offers what is shown as CSV too."""
    return st.dataframe(_without_formulas(table), **options)


def _without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    texts = table.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz", "timedelta"])
    return table.assign(**{str(name): texts[name].map(_inert) for name in texts})


def _inert(cell: Any) -> Any:
    if isinstance(cell, list):
        return list(map(_inert, cell))
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def ask_page(pages: int, key: str, wanted: int = 0) -> int:
    """Ask which page of a long list to show, from 0, and keep it in the URL; ``wanted`` until one is chosen."""
    if pages <= 1:
        return 0
    if not 1 <= st.session_state.get(key, 1) <= pages:
        del st.session_state[key]  # there were more pages before
    return st.pagination(pages, default=wanted + 1, key=key, bind="query-params") - 1


def ask_rows(rows: pd.DataFrame, key: str, wanted: int = 0) -> pd.DataFrame:
    """One page of a long table; at first the one with row ``wanted``."""
    number = ask_page(-(-len(rows) // PAGE_ROWS), key, wanted // PAGE_ROWS)
    return rows.iloc[number * PAGE_ROWS : (number + 1) * PAGE_ROWS]
