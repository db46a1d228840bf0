"""Login: who may see the store, who may press what, and how they log in and out."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from fashion_core import files
from fashion_core.access import roles as access
from fashion_core.access.gate import Actions
from fashion_core.config import variable
from fashion_core.errors import ConfigError
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, streamlit_internals, texts
from fashion_core.ui.server import uploads

_DISABLED, _LAST_WHY = "why buttons are disabled", "why they will be"
# Once a server has required a login, it does so until it exits: secrets caught mid-rewrite must let nobody in.
_login_asked = threading.Event()


def actions(store: RunStore) -> Actions:
    """What the visitor may do at this moment. Raises ``ConfigError``."""
    return Actions(store, actor())


def actor() -> access.Actor:
    """The visitor, as the login, the secrets and the network address say at this moment. Raises ``ConfigError``."""
    listed = roles()
    if listed is not None:
        return access.with_login(claims(), listed)
    return access.without_login(_request(), os.environ)


def is_shared() -> bool:
    """Whether other machines can reach this server: by its address, or by the name or proxy of this visit."""
    return not _request().is_of_this_machine()


def everyone_may_act() -> bool:
    """Whether whoever reaches this server is an operator. Raises ``ConfigError``."""
    return roles() is None and bool(variable("FASHION_ACCESS"))


def _request() -> access.Request:
    return access.Request(st.get_option("server.address"), st.context.headers, st.context.ip_address)


def claims() -> dict[str, Any]:
    """The claims of the visitor's login; empty on a server without logins."""
    claims = st.user.to_dict() if _login_asked.is_set() else {}
    return {name: claims[name] for name in access.COUNTED_CLAIMS if name in claims}


def roles() -> access.Roles | None:
    """The roles on a server with logins; None on one without. Raises ``ConfigError``."""
    secrets = _secrets()
    if "auth" in secrets:
        _login_asked.set()
    if _login_asked.is_set():
        return access.read_roles(secrets.get("access", {}))
    if "access" in secrets:
        raise ConfigError(texts.ROLES_WITHOUT_LOGIN)
    return None


def _secrets() -> Mapping[str, Any]:
    """Streamlit's secrets; empty where there is no file. Raises ``ConfigError`` if one can't be read."""
    try:
        if streamlit_internals.load_secrets():
            return st.secrets
    except (OSError, UnicodeDecodeError) as error:
        files.working_folder()  # where they are looked for: says so if it is gone
        raise ConfigError(texts.UNREADABLE_SECRETS.format(error=error)) from error
    if any(Path(path).exists() for path in st.get_option("secrets.files")):
        raise ConfigError(texts.WRONG_SECRETS)
    return {}


def visitor() -> access.Actor | None:
    with suppress(ConfigError):
        return found if (found := actor()).role != "stranger" else None
    return None


def send_strangers_away() -> None:
    """Call this first in every fragment that reruns on its own: the login may have ended since."""
    if visitor() is None:
        st.rerun()


def button(label: str, kind: Callable[..., bool] = st.button, *, disabled: bool = False, **options: Any) -> bool:
    """A button for operators: for others it is disabled, with the reason."""
    why = st.session_state.get(_DISABLED, "")
    options.setdefault("key", f"act {label}")  # the same button, whatever the reason
    return kind(label, disabled=disabled or bool(why), help=common.plain(why) if why else None, **options)


def let_in() -> bool:
    """Return whether to draw the page; if not, show the login instead. Raises ``ConfigError``."""
    try:
        found = actor()
    except ConfigError:
        st.title(texts.APP, anchor=False)
        raise
    uploads.admit(found.role)
    if found.role == "stranger":
        _show_login(found)
        return False
    # Streamlit drops a press of a button that has been disabled since. So one that was enabled on the last run stays
    # enabled for one more: then the gate refuses the press, says so and audits it.
    was_enabled = st.session_state.get(_LAST_WHY) == ""
    st.session_state[_DISABLED] = "" if was_enabled else found.why
    st.session_state[_LAST_WHY] = found.why
    if found.why and found.logged_in:
        st.caption(f":material/visibility: {common.plain(found.why)}")
    elif found.why:
        st.warning(common.plain(found.why), icon=":material/visibility:")
    return True


def _show_login(found: access.Actor) -> None:
    st.title(texts.APP, anchor=False)
    st.write(common.plain(found.why))
    if found.logged_in:
        if st.button(texts.LOG_OUT, icon=":material/logout:"):
            st.logout()
        return
    for provider in access.providers(_secrets().get("auth", {})):
        label = texts.LOG_IN_WITH.format(provider=provider) if provider else texts.LOG_IN
        if st.button(common.plain(label), type="primary", icon=":material/login:"):
            try:
                st.login(provider) if provider else st.login()
            except streamlit_internals.login_errors() as error:
                st.error(common.sentence(str(error)), icon=":material/error:")


def navigation(pages: list[st.Page]) -> st.Page:
    """The menu of pages, with *Log out* for those who have logged in; hidden from those who may not see the store."""
    found = visitor()
    position: Literal["top", "hidden"] = "top" if found and not common.is_presenting() else "hidden"
    if found is None or not found.logged_in:
        return st.navigation(pages, position=position)
    log_out = st.Page(st.logout, title=texts.LOG_OUT, icon=":material/logout:", url_path="logout")
    name = found.name if len(found.name) <= 40 else f"{found.name[:39]}…"
    return st.navigation({"": pages, f"{common.plain(name)} · {found.role}": [log_out]}, position=position)
