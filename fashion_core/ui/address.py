"""The address of a page: what it names, how it changes, and the widgets that follow it.

A click is one step of the browser's history (``go``); what a page chooses without being asked is none (``fill``). No
widget is bound by Streamlit itself: its value would go on to the next page, and make further steps there. One parameter
goes on by every link: ``present=1``, the look of a room.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, NoReturn, TypeVar
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from fashion_core.errors import ConfigError, DamagedFileError, DiskError, RunNotFoundError, printable
from fashion_core.runs.store import epoch_number
from fashion_core.ui import texts
from fashion_core.ui.common import PRESENT, Show, is_presenting, problems_shown, sentence

PAGE_ROWS = 500
PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {  # what the address of each page may say, in any of its views
    "": ("run", "text", "dataset", "state", "model", "tag", "sort", "reverse", "page", "show"),  # the first page
    "train": ("run", "like"),
    "checkpoints": ("view", "of", "format", "at", "best", "page", "run", "epoch", "file", "show", "with"),
    "resume": ("view", "run", "epoch", "group", "now", "sort", "from", "focus", "trees"),
    "predict": (
        *("view", "run", "epoch", "file", "with", "show", "class", "image", "cell"),
        *("gallery-page", "mistakes-page", "cell-page", "differing-page"),
    ),
    "lesson": ("run", "focus"),
}
Value = str | int | bool | Sequence[str] | None
View = tuple[str, Show]  # the label of a tab, and what it shows
T = TypeVar("T", str, int)


def get(name: str) -> str | None:
    """What the address says under this name, if anything."""
    return st.query_params.get(name) or None


def every(name: str) -> list[str]:
    """All that the address says under this name, each once."""
    return list(dict.fromkeys(filter(None, st.query_params.get_all(name))))


def go(**query: Value) -> None:
    """Change these values of the address in one step of the history, for a click; None removes a value."""
    # An empty list leaves no trace in the address, while removing a value would be a step of its own.
    st.query_params.update({name: _texts(value) for name, value in query.items()})


def begin_anew(**query: Value) -> None:
    """Like ``go``, and remove everything else but the look of a room."""
    go(**{**dict.fromkeys(st.query_params), **query, **_carried()})


def _carried() -> dict[str, str]:
    return {PRESENT: "1"} if is_presenting() else {}


def link(page: str | st.Page, label: str, icon: str | None = None, query: Mapping[str, str] = {}) -> None:
    """A link to another page."""
    st.page_link(page, label=label, icon=icon, query_params={**query, **_carried()} or None)


def fill(**query: Value) -> None:
    """Add what the page has chosen to an address that leaves it out, without a step of the history.

    Streamlit would make it a step. So the browser replaces the address and reports that as it reports Back: the page
    runs again, now with the whole address.
    """
    missing = {name: _texts(value) for name, value in query.items() if get(name) is None}
    if not any(missing.values()):
        return
    whole = {name: st.query_params.get_all(name) for name in st.query_params} | missing
    _let_browser(f"history.replaceState({{}}, '', location.pathname + '?{urlencode(whole, doseq=True)}')")


def open_page(page: str, **query: str) -> NoReturn:
    """Open another page, by the name in its address, in one step of the history: ``st.switch_page`` makes two."""
    pages = f"(\\/({'|'.join(filter(None, PARAMETERS))}))?\\/?$"
    there = f"/{page}?{urlencode(query | _carried())}"
    _let_browser(f"history.pushState({{}}, '', location.pathname.replace(/{pages}/, '{there}'))")
    st.stop()


def _let_browser(change: str) -> None:
    """Let the browser change its address, and report that as it reports Back: the page of that address runs."""
    # What urlencode returns can end neither the text nor the script.
    st.html(f"<script>{change}; dispatchEvent(new PopStateEvent('popstate'))</script>", unsafe_allow_javascript=True)


def _texts(value: Value) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(value)] if isinstance(value, (str, int)) else list(value)


@contextmanager
def wrong_shown(instead: str) -> Iterator[None]:
    """Show what is wrong with the address, and this sentence on what happens instead."""
    try:
        yield
    except (ConfigError, RunNotFoundError, DamagedFileError, DiskError) as error:
        st.error(f"{sentence(error)} {instead}", icon=":material/error:")


def say_unknown(page: str) -> None:
    """Say which parts of the address have names that this page never reads; Streamlit keeps its own to itself."""
    unknown = [name for name in st.query_params if name not in (PRESENT, *PARAMETERS.get(page, ()))]
    if unknown:
        said = ", ".join(f"{name}={st.query_params[name]}" for name in unknown)
        told = texts.UNKNOWN_IN_ADDRESS.format(said=printable(said))
        st.error(f"{sentence(told)} {texts.CHANGES_NOTHING}", icon=":material/error:")


def choice(name: str, labels: Mapping[str, str]) -> str:
    """Which of these the address names: the first if it names none, or another, which is said.

    In addresses stand ids, the keys; people read the labels.
    """
    first = next(iter(labels))
    with wrong_shown(texts.FIRST_SHOWN_INSTEAD.format(first=labels[first])):
        _check(name, labels)
        return get(name) or first
    return first


def is_on(name: str, off: str = "false", on: str = "true") -> bool:
    """Whether the address switches this on; what is neither is said, and off."""
    with wrong_shown(texts.OFF_INSTEAD):
        _check(name, (off, on))
        return get(name) == on
    return False


def choices(name: str, known: Collection[str]) -> list[str]:
    """Which of these the address names: none if it names others too, which is said."""
    with wrong_shown(texts.ALL_SHOWN_INSTEAD):
        _check(name, known)
        return every(name)
    return []


def _check(name: str, known: Collection[str]) -> None:
    for given in every(name):
        if given not in known:
            raise ConfigError(texts.UNKNOWN_IN_ADDRESS.format(said=f"{name}={printable(given)}"))


def number(name: str, instead: str, least: int = 0, most: int = 999_999_999) -> int | None:
    """The whole number that the address names, if any; what is wrong with it is shown, and ``instead``."""
    if (given := get(name)) is None:
        return None
    with wrong_shown(instead):
        if (found := epoch_number(given)) is not None and least <= found <= most:
            return found
        text = texts.NO_WHOLE_NUMBER.format(name=name, given=printable(given), least=least, most=most)
        raise ConfigError(text)
    return None


def follow(name: str, value: Any, default: Any = None, drop: Sequence[str] = ()) -> dict[str, Any]:
    """Options of a widget that shows ``value``, which the address names.

    A choice in it goes there, the default by removing the name; ``drop`` goes with it: a page of other rows.
    """
    st.session_state[name] = value

    def take() -> None:
        chosen = st.session_state[name]
        go(**{name: None if chosen == default else chosen, **dict.fromkeys(drop)})

    return {"key": name, "on_change": take}


def show_tabs(views: Mapping[str, View], name: str = "view", closed: Mapping[str, Show] = {}) -> None:
    """Show a tab for each view, and run the open one, whose id is in the address; ``closed`` runs while it is not."""
    labels = {view: label for view, (label, _) in views.items()}
    ids = {label: view for view, label in labels.items()}
    st.session_state[name] = labels[choice(name, labels)]

    def take() -> None:
        chosen = ids.get(st.session_state[name])
        go(**{name: None if chosen == next(iter(views)) else chosen})

    for view, tab in zip(views, st.tabs(list(ids), key=name, on_change=take), strict=True):
        show = views[view][1] if tab.open else closed.get(view)
        with tab, problems_shown():
            if show:
                show()


def ask(
    label: str, names: Mapping[T, str], named: T, take: Callable[[T], None], width: int | Literal["stretch"]
) -> None:
    """A box that shows what the address names; ``take`` puts another choice there, which the next run reads."""
    key = f"choose {label}"
    st.session_state[key] = named
    st.selectbox(label, names, 0, names.__getitem__, key, on_change=lambda: take(st.session_state[key]), width=width)


def ask_page(pages: int, name: str, wanted: int = 0) -> int:
    """Ask which page of a long list to show, from 0; in the address they count from 1. ``wanted`` until one is chosen.

    A page that the address names and that is not there is said.
    """
    shown = number(name, texts.PAGE_SHOWN_INSTEAD.format(page=wanted + 1), 1, max(1, pages)) or wanted + 1
    if pages > 1:
        st.pagination(pages, **follow(name, shown, wanted + 1))
    return shown - 1


def ask_rows(rows: pd.DataFrame, name: str, wanted: int = 0) -> pd.DataFrame:
    """One page of a long table; at first the one with row ``wanted``."""
    page = ask_page(-(-len(rows) // PAGE_ROWS), name, wanted // PAGE_ROWS)
    return rows.iloc[page * PAGE_ROWS : (page + 1) * PAGE_ROWS]


def offer_to_clear(text: str, *filters: str) -> None:
    """Say that nothing passes these filters, and offer to clear them."""
    st.info(text, icon=":material/filter_alt_off:")
    st.button(texts.CLEAR_FILTERS, icon=":material/clear_all:", on_click=lambda: go(**dict.fromkeys(filters)))


def show_link(label: str, icon: str, **query: Value) -> None:
    """A link to another address of this page: the browser's address would not follow ``link`` there."""
    st.button(label, icon=icon, type="tertiary", key=f"link {label}", on_click=lambda: begin_anew(**query))
