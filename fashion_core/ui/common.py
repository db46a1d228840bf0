"""What pages share: text that is safe to show, errors and small widgets."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import is_not
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
import streamlit as st

from fashion_core.charts.base import ChartSpec
from fashion_core.config import FASHION, Shape
from fashion_core.errors import FashionError, counted, one_line
from fashion_core.files import REFUSALS, refusal
from fashion_core.runs import torch_process
from fashion_core.runs.run import Run
from fashion_core.ui import texts

_ESCAPES: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]()<>#+-!|~:$&"})
_WORD_JOINER: Final = "\u2060"
_MADE_OF_TEXT: Final = re.compile(r":(?=[\w+-]+:|material/|//)|@(?=[\w-]+\.)|www(?=\.)", re.IGNORECASE)
_FORMULA: Final = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # how a cell begins that a spreadsheet may compute
_NUMBER: Final = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?( ?%)?")
_AGES: Final = (
    (86400, texts.DAYS_AGO_ONE, texts.DAYS_AGO_MANY),
    (3600, texts.HOURS_AGO_ONE, texts.HOURS_AGO_MANY),
    (60, texts.MINUTES_AGO_ONE, texts.MINUTES_AGO_MANY),
)
Show = Callable[[], None]
PRESENT: Final = "present"
_DIALOG: Final = "a dialog is open"


def is_presenting() -> bool:
    """Whether the address asks for the look of a room, with ``present=1``."""
    return st.query_params.get(PRESENT) == "1"


def press_key(button: str) -> str:
    """Return a key for a button that starts something. ``count_press`` changes it, so a double click has no effect."""
    return f"{button} {st.session_state.get('presses', 0)}"


def count_press() -> None:
    st.session_state["presses"] = st.session_state.get("presses", 0) + 1


def tell(done: str) -> None:
    """Say in a toast, once the page has run again, that this was done."""
    st.session_state["told"] = done


def begin_page() -> None:
    """Begin a run of the whole page: no dialog is open yet."""
    st.session_state.pop(_DIALOG, None)
    show_told()


def show_told() -> None:
    if done := st.session_state.pop("told", None):
        st.toast(done, icon=":material/check:")


def dialog(
    title: str, on_dismiss: Literal["rerun"] | Callable[[], None] = "rerun", **options: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Like ``st.dialog``, for one that ``refresh_page`` leaves open."""
    st.session_state[_DIALOG] = True
    return st.dialog(title, on_dismiss=on_dismiss, **options)


def refresh_page() -> None:
    """Run the whole page again, for a part of it that watches the store; under an open dialog once that is closed."""
    if _DIALOG not in st.session_state:
        st.rerun()


def sentence(error: FashionError | str) -> str:
    """The error's text with a capital unless a name begins it, safe to show: nothing in it is read as Markdown."""
    first, _, _ = str(error).partition(" ")
    return plain(str(error)[:1].upper() + str(error)[1:] if first.isalpha() else str(error))


def plain(text: str) -> str:
    """Escape text so that Markdown shows it literally, on one line: names and paths may hold any character.

    Streamlit makes icons, links and e-mail addresses after it has removed escapes. An invisible joiner prevents that;
    other text, which people copy, has none.
    """
    return _MADE_OF_TEXT.sub(rf"\g<0>{_WORD_JOINER}", one_line(text)).translate(_ESCAPES)


@contextmanager
def problems_shown() -> Iterator[None]:
    """Show an error that a person can fix as one sentence; anything else is a bug and is raised."""
    try:
        yield
    except REFUSALS as error:
        if (told := refusal(error)) is None:
            raise
        st.error(sentence(told), icon=":material/error:")


def run_names(titles: Mapping[str, str]) -> dict[str, str]:
    """What a box calls each run, by its id: its title, with the id where others have the same."""
    often = Counter(titles.values())
    return {run_id: title if often[title] == 1 else f"{title} · {run_id}" for run_id, title in titles.items()}


def file_query(run: Run, file: Path) -> dict[str, str]:
    epoch = run.epoch_of(file)
    return {"run": run.id, **({"epoch": str(epoch)} if epoch is not None else {"file": run.name_of(file)})}


def duration(seconds: float | None) -> str:
    if seconds is None:
        return texts.NO_DURATION
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return texts.HOURS.format(hours=minutes // 60, minutes=minutes % 60)
    return (texts.MINUTES if minutes else texts.SECONDS).format(minutes=minutes, seconds=rest)


def ages(moments: "pd.Series[pd.Timestamp]") -> "pd.Series[str]":
    """How long ago these moments are, in words; nothing where one is missing."""
    seconds = (pd.Timestamp.now("UTC") - moments).dt.total_seconds()
    return seconds.map(_age, na_action="ignore")


def _age(seconds: float) -> str:
    for size, one, many in _AGES:
        if seconds >= size:
            return counted(int(seconds // size), one, many)
    return texts.JUST_NOW


def model_expander(name: str, shape: Shape = FASHION, source: str | None = None) -> None:
    """``print(model)``, the table of layers and its source; torch is asked only once it is opened."""
    expander = st.expander(texts.MODEL, on_change="rerun")
    if not expander.open:
        return
    if source:
        expander.caption(texts.MODEL_SOURCE)
        expander.code(source, language="python", height=300)
    with expander, problems_shown(), st.spinner(texts.BUILDING_MODEL):
        described = torch_process.describe_model(name, shape)
        st.code(f">>> print(model)\n{described['text']}", language=None)
        layers = pd.DataFrame(described["layers"])
        layers["output_shape"] = [" × ".join(map(str, shape)) for shape in layers["output_shape"]]
        layers.columns = pd.Index(texts.LAYER_COLUMNS)
        style = {texts.PARAMETERS_COLUMN: st.column_config.NumberColumn(format="localized")}
        st.dataframe(layers, hide_index=True, column_config=style)
        st.caption(texts.PARAMETERS.format(count=described["parameters"]))


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
    written = table.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz", "timedelta"])
    columns = {str(name): written[name].to_numpy(object) for name in written}
    inert = {name: [_inert(cell) for cell in cells] for name, cells in columns.items()}
    return table.assign(**{name: cells for name, cells in inert.items() if any(map(is_not, cells, columns[name]))})


def _inert(cell: Any) -> Any:
    if isinstance(cell, str):
        return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
    if isinstance(cell, list):
        return [_inert(part) if isinstance(part, str) else part for part in cell]
    return cell
