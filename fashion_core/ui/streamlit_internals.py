"""Every use of an undocumented Streamlit name, and the fallback where it is missing."""

from contextlib import suppress
from typing import Any

import streamlit as st


def open_browser() -> None:
    """Open a browser at the address that the server prints.

    ``streamlit run`` does so for a script but not for an ``st.App``. Without these names no browser opens, and people
    click the address in the terminal.
    """
    try:
        from streamlit.cli_util import open_browser
        from streamlit.config import is_manually_set
        from streamlit.errors import Error
        from streamlit.web.server.server_util import get_display_address, get_url
    except ImportError:
        return
    if is_manually_set("browser.serverAddress"):
        host = str(st.get_option("browser.serverAddress"))
    else:
        host = get_display_address(st.get_option("server.address") or "localhost")
    with suppress(OSError, Error):  # where no browser can be opened, the terminal shows the address all the same
        open_browser(get_url(host))


def load_secrets() -> bool:
    """Return whether there are secrets. Without the method, asking ``st.secrets`` logs an error if there are none."""
    if load := getattr(st.secrets, "load_if_toml_exists", None):
        return bool(load())
    with suppress(FileNotFoundError):
        return bool(st.secrets.to_dict())
    return False


def login_errors() -> tuple[type[Exception], ...]:
    """What ``st.login`` raises if the secrets describe no usable login; without the name, Streamlit shows the error."""
    try:
        from streamlit.errors import StreamlitAuthError
    except ImportError:
        return ()
    return (StreamlitAuthError,)


def session_id() -> str | None:
    """The session whose script runs. Without the name, sessions can't be told apart, and nobody may upload."""
    try:
        from streamlit.runtime.scriptrunner import get_script_run_ctx
    except ImportError:
        return None
    context = get_script_run_ctx()
    return str(context.session_id) if context else None


def is_connected(session: str) -> bool:
    """Whether a browser is connected to this session; without the name, each counts as connected for ever."""
    ask = getattr(_runtime(), "is_active_session", None)
    return bool(ask(session)) if ask else True


def close_session(session: str) -> None:
    """End a session, and let go of its uploads; without the names, Streamlit does so when it comes to it."""
    running = _runtime()
    uploads = getattr(running, "uploaded_file_mgr", None)  # Streamlit may have ended the session, and missed an upload
    for close in (getattr(running, "close_session", None), getattr(uploads, "remove_session_files", None)):
        if close:
            close(session)


def _runtime() -> Any:
    from streamlit import runtime

    return runtime.get_instance() if runtime.exists() else None
