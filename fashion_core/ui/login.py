"""The door of the app: who comes in, who may press what, and how they log in and out."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import streamlit as st
from streamlit.errors import StreamlitAuthError
from streamlit.navigation.page import StreamlitPage

from fashion_core.access import roles as access
from fashion_core.access.gate import Actions
from fashion_core.access.roles import Actor
from fashion_core.errors import ConfigError
from fashion_core.runs.store import RunStore
from fashion_core.ui.common import plain, sentence

_NAME_WIDTH: Final = 40  # characters
_ICON: Final = ":material/visibility:"
_OUT_OF_REACH: Final = "why buttons are out of reach"
_LAST_WHY: Final = "why they will be"
_login_asked = threading.Event()
"""A server that has asked for a login asks until it ends: secrets that are being written anew must open no door."""


def actions(store: RunStore) -> Actions:
    """What whoever looks at this page may do, now. Raises ``ConfigError``."""
    return Actions(store, actor())


def actor() -> Actor:
    """Who looks at this page, as the login, the secrets and the address say at this moment. Raises ``ConfigError``."""
    listed = roles()
    if listed is not None:
        return access.with_login(claims(), listed)
    request = access.Request(st.get_option("server.address"), st.context.headers, st.context.ip_address)
    return access.without_login(request, os.environ)


def claims() -> dict[str, Any]:
    """What the login of whoever looks at this page says; nothing where nobody logs in."""
    said = st.user.to_dict() if _login_asked.is_set() else {}
    return {name: said[name] for name in access.COUNTED_CLAIMS if name in said}


def roles() -> access.Roles | None:
    """Who may do what once they have logged in; None on a server where nobody does. Raises ``ConfigError``."""
    secrets = _secrets()
    if "auth" in secrets:
        _login_asked.set()
    if _login_asked.is_set():
        return access.read_roles(secrets.get("access", {}))
    if "access" in secrets:
        raise ConfigError("The secrets have [access] and no [auth]: add how people log in, or take [access] away.")
    return None


def _secrets() -> Mapping[str, Any]:
    """Streamlit's secrets; none at all where there is no file. Raises ``ConfigError`` if there is one it can't read."""
    try:
        if st.secrets.load_if_toml_exists():
            return st.secrets
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The secrets can't be read: {error}.") from error
    if any(Path(path).exists() for path in st.get_option("secrets.files")):
        raise ConfigError("The secrets can't be read: mend secrets.toml; the server's log says what is wrong with it.")
    return {}


def visitor() -> Actor | None:
    """Who looks at this page, if they may see the store."""
    with suppress(ConfigError):
        found = actor()
        return None if found.role == "stranger" else found
    return None


def send_strangers_away() -> None:
    """To be called first by each part of a page that runs by itself: a login may have ended since."""
    if visitor() is None:
        st.rerun()


def button(label: str, kind: Callable[..., bool] = st.button, *, disabled: bool = False, **options: Any) -> bool:
    """A button for something that is an operator's: others find it disabled, with the reason."""
    why = st.session_state.get(_OUT_OF_REACH, "")
    options.setdefault("key", f"act {label}")  # it stays the same button, whatever the reason
    return kind(label, disabled=disabled or bool(why), help=plain(why) if why else None, **options)


def _remember(why: str) -> None:
    """Why buttons are out of reach on this run of the page.

    Streamlit drops a press of a button that is disabled by now. So one that was within reach on the last run stays so
    for one more: then the gate refuses the press, says so and notes it.
    """
    reached = st.session_state.get(_LAST_WHY) == ""
    st.session_state[_OUT_OF_REACH] = "" if reached else why
    st.session_state[_LAST_WHY] = why


def let_in() -> bool:
    """To be called before anything of a page is drawn: whether to draw it. Else the door has been drawn."""
    try:
        found = actor()
    except ConfigError as error:
        st.title("Fashion Core", anchor=False)
        st.error(sentence(error), icon=":material/error:")
        return False
    if found.role == "stranger":
        _show_door(found)
        return False
    _remember(found.why)
    if found.why and found.logged_in:
        st.caption(f"{_ICON} {plain(found.why)}")
    elif found.why:
        st.warning(plain(found.why), icon=_ICON)
    return True


def _show_door(found: Actor) -> None:
    """One title, one sentence, one button."""
    st.title("Fashion Core", anchor=False)
    st.write(plain(found.why))
    if found.logged_in:
        if st.button("Log out", icon=":material/logout:"):
            st.logout()
        return
    for provider in access.providers(_secrets().get("auth", {})):
        label = f"Log in with {provider}" if provider else "Log in"
        if st.button(plain(label), type="primary", icon=":material/login:"):
            _log_in(provider)


def _log_in(provider: str | None) -> None:
    try:
        st.login(provider) if provider else st.login()
    except StreamlitAuthError as error:
        st.error(sentence(str(error)), icon=":material/error:")


def log_out() -> None:
    """The page that ends a login."""
    st.logout()


def navigation(pages: list[StreamlitPage]) -> StreamlitPage:
    """The bar of pages, with the way out for those who have logged in; none for those who may not come in."""
    found = visitor()
    if found is None:
        return st.navigation(pages, position="hidden")
    if not found.logged_in:
        return st.navigation(pages, position="top")
    way_out = st.Page(log_out, title="Log out", icon=":material/logout:", url_path="logout")
    name = found.name if len(found.name) <= _NAME_WIDTH else f"{found.name[: _NAME_WIDTH - 1]}…"
    return st.navigation({"": pages, f"{plain(name)} · {found.role}": [way_out]}, position="top")
