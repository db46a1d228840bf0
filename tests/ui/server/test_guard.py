"""What the guard lets through to Streamlit and what it answers itself, request by request."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from fashion_core.ui import login
from fashion_core.ui.server.guard import Guard
from tests.support.pages import streamlit_option

HERE, WEBSOCKET = "localhost:8501", "websocket"
Answer = tuple[int, str]


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where Streamlit stands: says under which Host it was asked."""
    await PlainTextResponse(f"passed {Headers(scope=scope).get('host')}")(scope, receive, send)


def ask(*headers: tuple[str, str], method: str = "GET", path: str = "/") -> Answer:
    """The status and the text of the answer; a websocket is a method here."""
    sent = messages(*headers, method=method, path=path)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()


def messages(*headers: tuple[str, str], method: str = "GET", path: str = "/") -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    kind = {"type": WEBSOCKET} if method == WEBSOCKET else {"type": "http", "method": method}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope: dict[str, Any] = {**kind, "path": path, "headers": encoded, "extensions": {"websocket.http.response": {}}}
    asyncio.run(Guard(behind)(scope, receive, send))
    return sent


def passed(host: str = HERE) -> Answer:
    return 200, f"passed {host}"


@pytest.fixture(autouse=True)
def fresh_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server for this machine alone, without a login and without names for proxies."""
    monkeypatch.setattr(login, "_login_asked", threading.Event())
    monkeypatch.delenv("FASHION_HOSTS", raising=False)
    with streamlit_option("server.address", "localhost"):
        yield


@pytest.fixture
def shared() -> Iterator[None]:
    with streamlit_option("server.address", "0.0.0.0"):
        yield


@pytest.fixture
def with_login() -> None:
    login._login_asked.set()


FOREIGN = ("http://localhost:9999", "http://evil.test", "null", "https://localhost", "http://localhost:8501@a.test", "")
PATHS = ("/_stcore/stream", "/live", "//_stcore/stream", "/deep/_stcore/stream/", "/anything")
WRITING = (WEBSOCKET, "PUT", "POST", "DELETE", "PATCH")


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", WRITING)
def test_page_of_another_origin_neither_connects_nor_writes(origin: str, method: str) -> None:
    for path in PATHS:
        status, text = ask(("host", HERE), ("origin", origin), method=method, path=path)
        assert status == 403
        assert "may not use this server" in text


@pytest.mark.parametrize("method", WRITING)
def test_own_page_and_a_program_without_origin_pass(method: str) -> None:
    assert ask(("host", HERE), ("origin", f"http://{HERE}"), method=method) == passed()
    assert ask(("host", HERE), method=method) == passed()


def test_two_origins_are_none() -> None:
    own = ("origin", f"http://{HERE}")
    assert ask(("host", HERE), own, own, method=WEBSOCKET)[0] == 403


@pytest.mark.parametrize("host", ["LOCALHOST:8501", "localhost.:8501"])
def test_streamlit_is_shown_the_host_that_its_own_check_lets_in(host: str) -> None:
    """It asks the internet before it refuses a host that is only written in another way."""
    assert ask(("host", host), ("origin", f"http://{HERE}"), method=WEBSOCKET) == passed()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8501", "[::1]:8501", "LocalHost:1", "localhost."])
def test_names_of_this_machine_pass(host: str) -> None:
    assert ask(("host", host)) == passed(host)


OTHER_NAMES = ("evil.test", "evil.test:8501", "localhost.evil.test", "localhost@evil.test", "192.0.2.7", "0.0.0.0:8501")


@pytest.mark.parametrize("host", [*OTHER_NAMES, "", "rebound.localhost:8501", "127.1", "2130706433", "[::2]", "a b"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", WEBSOCKET])
def test_other_names_are_refused_on_every_request(host: str, method: str) -> None:
    status, text = ask(("host", host), method=method, path="/media/some.png")
    assert status == 403
    assert f"does not answer to the name {host}: open http://localhost:" in text


def test_header_of_a_proxy_does_not_change_the_name() -> None:
    assert ask(("host", "evil.test"), ("x-forwarded-host", HERE), ("forwarded", f"host={HERE}"))[0] == 403


def test_no_other_site_frames_a_page() -> None:
    """It could lay the page under a visitor's click."""
    sent = messages(("host", HERE))
    assert Headers(raw=sent[0]["headers"])["x-frame-options"] == "SAMEORIGIN"


def test_two_hosts_are_none() -> None:
    assert ask(("host", HERE), ("host", HERE))[0] == 403


def test_program_that_names_no_host_passes() -> None:
    assert ask() == passed("None")


def test_name_in_the_answer_is_one_printable_line() -> None:
    assert "\x1b" not in ask(("host", "\x1b[31mevil"))[1]


@pytest.mark.usefixtures("with_login")
@pytest.mark.parametrize("host", ["dash.example.org", "192.0.2.7"])
def test_behind_a_login_any_name_passes_and_a_foreign_page_does_not(host: str) -> None:
    assert ask(("host", host)) == passed(host)
    assert ask(("host", host), ("origin", f"https://{host}"), method=WEBSOCKET) == passed(host)
    assert ask(("host", host), ("origin", "https://evil.test"), method=WEBSOCKET)[0] == 403


@pytest.mark.usefixtures("shared")
def test_shared_server_answers_to_any_name_until_names_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(("host", "a.example")) == passed("a.example")
    monkeypatch.setenv("FASHION_HOSTS", "dash.example.org")
    assert ask(("host", "a.example"))[0] == 403
    assert ask(("host", "dash.example.org:8501")) == passed("dash.example.org:8501")
    assert ask(("host", HERE)) == passed()


@pytest.mark.parametrize("host", [HERE, "dash.example.org"])
def test_named_host_passes_whether_or_not_its_proxy_passes_on_the_name(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("FASHION_HOSTS", "dash.example.org")
    assert ask(("host", host)) == passed(host)
    for origin in ("https://dash.example.org", "http://dash.example.org"):
        assert ask(("host", host), ("origin", origin), method=WEBSOCKET) == passed("dash.example.org")
    for origin in ("https://dash.example.org:9999", "https://x.dash.example.org", "null"):
        assert ask(("host", host), ("origin", origin), method=WEBSOCKET)[0] == 403


def test_named_host_may_have_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_HOSTS", "dash.example.org:8443")
    right, wrong = "https://dash.example.org:8443", "https://dash.example.org"
    assert ask(("host", HERE), ("origin", right), method=WEBSOCKET) == passed("dash.example.org:8443")
    assert ask(("host", HERE), ("origin", wrong), method=WEBSOCKET)[0] == 403


def test_setting_that_is_wrong_is_the_answer_to_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_HOSTS", "https://dash.example.org")
    assert ask(("host", HERE)) == (500, ask(("host", HERE))[1])
    assert ask(("host", HERE))[1].startswith("FASHION_HOSTS should be names such as dash.example.org")


CLOSED = ("metrics", "metrics/", "script-health-check", "agent/interact", "agent/openapi.json", "unheard-of", "")
BASES = ("", "/deep/down")


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("base", [*BASES, "/", "http://localhost:8501"])
def test_addresses_of_streamlit_that_no_page_needs_are_closed(path: str, base: str) -> None:
    assert ask(("host", HERE), path=f"{base}/_stcore/{path}")[0] == 404


def test_websocket_where_uploads_go_is_no_upload() -> None:
    assert ask(("host", HERE), path="/_stcore/upload_file/a/b", method=WEBSOCKET) == passed()
    assert ask(("host", HERE), path="/_stcore/upload_file/a/b", method="PUT")[0] == 403


@pytest.mark.parametrize("path", ["health", "host-config", "bidi-components/x/y.js"])
@pytest.mark.parametrize("base", BASES)
def test_addresses_of_streamlit_that_pages_need_are_open(path: str, base: str) -> None:
    assert ask(("host", HERE), path=f"{base}/_stcore/{path}") == passed()
