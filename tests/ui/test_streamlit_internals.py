"""The app without the names of Streamlit that its documentation does not promise."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config

from fashion_core.ui import streamlit_internals


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
    before, where = st.get_option(option), config.get_where_defined(option)
    config.set_option(option, value)
    try:
        streamlit_internals.open_browser()
    finally:
        config.set_option(option, before, where)
    assert opened == [f"http://{host}:{st.get_option('server.port')}"]


@pytest.fixture
def secrets_file(tmp_path: Path) -> Iterator[Path]:
    before = st.get_option("secrets.files")
    config.set_option("secrets.files", [str(tmp_path / "secrets.toml")])
    yield tmp_path / "secrets.toml"
    config.set_option("secrets.files", before)


@pytest.mark.parametrize("has_method", [True, False])
@pytest.mark.parametrize(("content", "found"), [(None, False), ("[auth]\nname = 1\n", True), ("[auth\n", False)])
def test_secrets_are_found_with_and_without_the_method_that_looks_for_them(
    monkeypatch: pytest.MonkeyPatch, secrets_file: Path, content: str | None, found: bool, has_method: bool
) -> None:
    if content:
        secrets_file.write_text(content)
    monkeypatch.setattr(st, "secrets", type(st.secrets)())
    if not has_method:
        monkeypatch.delattr(type(st.secrets), "load_if_toml_exists")
    assert streamlit_internals.load_secrets() is found


def test_without_its_error_streamlit_shows_what_is_wrong_with_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [error.__name__ for error in streamlit_internals.login_errors()] == ["StreamlitAuthError"]
    monkeypatch.delattr("streamlit.errors.StreamlitAuthError")
    assert streamlit_internals.login_errors() == ()
