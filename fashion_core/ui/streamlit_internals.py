"""Every use of an undocumented Streamlit name, and the fallback where it is missing."""

from contextlib import suppress

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
