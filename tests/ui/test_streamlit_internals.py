"""The app without the names of Streamlit that its documentation does not promise."""

from pathlib import Path

import pytest
import streamlit as st

from fashion_core.ui import streamlit_internals
from tests.support.pages import streamlit_option


@pytest.mark.parametrize(
    "name",
    [
        "streamlit.cli_util.open_browser",
        "streamlit.config.is_manually_set",
        "streamlit.errors.Error",
        "streamlit.web.server.server_util.get_url",
        "streamlit.web.server.server_util.get_display_address",
    ],
)
def test_server_starts_without_the_names_that_open_a_browser(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(name)
    streamlit_internals.open_browser()


@pytest.mark.parametrize(
    ("option", "value", "host"),
    [
        ("server.address", "127.0.0.1", "127.0.0.1"),
        ("server.address", "0.0.0.0", "localhost"),
        ("browser.serverAddress", "fashion.example.org", "fashion.example.org"),
    ],
)
def test_browser_is_opened_under_the_name_that_people_chose(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str, host: str
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("streamlit.cli_util.open_browser", opened.append)
    with streamlit_option(option, value):
        streamlit_internals.open_browser()
    assert opened == [f"http://{host}:{st.get_option('server.port')}"]


@pytest.mark.parametrize("has_method", [True, False])
@pytest.mark.parametrize(("content", "found"), [(None, False), ("[auth]\nname = 1\n", True), ("[auth\n", False)])
def test_secrets_are_found_with_and_without_the_method_that_looks_for_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, found: bool, has_method: bool
) -> None:
    if content:
        (tmp_path / "secrets.toml").write_text(content)
    monkeypatch.setattr(st, "secrets", type(st.secrets)())
    if not has_method:
        monkeypatch.delattr(type(st.secrets), "load_if_toml_exists")
    with streamlit_option("secrets.files", [str(tmp_path / "secrets.toml")]):
        assert streamlit_internals.load_secrets() is found


def test_without_its_error_streamlit_shows_what_is_wrong_with_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [error.__name__ for error in streamlit_internals.login_errors()] == ["StreamlitAuthError"]
    monkeypatch.delattr("streamlit.errors.StreamlitAuthError")
    assert streamlit_internals.login_errors() == ()


def test_without_the_names_of_sessions_nobody_may_upload_and_none_counts_as_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("scriptrunner.get_script_run_ctx", "Runtime.is_active_session", "Runtime.close_session"):
        monkeypatch.delattr(f"streamlit.runtime.{name}")
    monkeypatch.setattr("streamlit.runtime.exists", lambda: True)
    monkeypatch.setattr("streamlit.runtime.get_instance", object)
    assert streamlit_internals.session_id() is None
    assert streamlit_internals.is_connected("id")
    streamlit_internals.close_session("id")
