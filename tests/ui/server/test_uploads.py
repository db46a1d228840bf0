"""Who may upload how much, while it arrives; in Streamlit's place stands what takes each body and keeps nothing."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from fashion_core.access.roles import Role
from fashion_core.errors import RequestRefusedError
from fashion_core.runs.store import RunStore
from fashion_core.ui import login
from fashion_core.ui.server import uploads
from fashion_core.ui.server.uploads import MIB
from tests.support.pages import dashboard, streamlit_option


@pytest.fixture(autouse=True)
def fresh_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators may fill 10 MiB in all, viewers 5."""
    monkeypatch.setattr(login, "_login_asked", threading.Event())
    monkeypatch.setattr(uploads, "_owners", {})
    monkeypatch.setattr(uploads, "_TOTALS", {"operator": 10 * MIB, "viewer": 5 * MIB})


def opened(session: str, role: Role) -> None:
    uploads._owners[session] = uploads._Owner(role)


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    await Response(status_code=507 if scope["path"] == "/full" else 204)(scope, receive, send)


async def sent(
    session: str, file: str, parts: Iterator[int], *, says: int | None = None, method: str = "PUT", path: str = "/"
) -> int:
    """The status of an upload that comes in parts of so many MiB, and may say how many it has."""
    answers: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0)  # others go on
        size = next(parts, 0)
        return {"type": "http.request", "body": bytes(size * MIB), "more_body": size > 0}

    async def send(message: Message) -> None:
        answers.append(message)

    headers = [] if says is None else [(b"content-length", str(says * MIB).encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    try:
        await uploads.pass_on(behind, scope, receive, send, session, file)
    except RequestRefusedError as refused:
        return refused.status
    return int(answers[0]["status"])


def put(session: str, file: str, mib: int, *, method: str = "PUT", path: str = "/") -> int:
    return asyncio.run(sent(session, file, iter([1] * mib), method=method, path=path))


@pytest.mark.parametrize(("role", "largest"), [("operator", 160), ("viewer", uploads.IMAGE_MIB)])
def test_file_that_says_it_is_too_large_for_a_role_is_refused_unread(role: Role, largest: int) -> None:
    opened("session", role)
    parts = iter([1] * 3)
    assert asyncio.run(sent("session", "file", parts, says=largest + 2)) == 413
    assert len([*parts]) == 3


def test_file_that_says_it_is_larger_than_the_room_left_is_refused_unread() -> None:
    opened("anna", "operator")
    assert put("anna", "a", 5) == 204
    parts = iter([1] * 6)
    assert asyncio.run(sent("anna", "b", parts, says=6)) == 503
    assert len([*parts]) == 6


@pytest.mark.parametrize("session", ["made-up", "", "stranger's"])
def test_who_may_see_no_page_uploads_nothing(session: str) -> None:
    opened("stranger's", "stranger")
    parts = iter([1])
    assert asyncio.run(sent(session, "file", parts)) == 403
    assert asyncio.run(sent(session, "file", parts, says=1)) == 403


@pytest.mark.parametrize("says", [True, False])
def test_all_uploads_together_have_a_limit_and_viewers_leave_room_for_operators(says: bool) -> None:
    def upload(session: str, file: str, mib: int) -> int:
        return asyncio.run(sent(session, file, iter([1] * mib), says=mib if says else None))

    for session in ("bert", "carl"):
        opened(session, "viewer")
    opened("anna", "operator")
    assert [upload("bert", "a", 3), upload("carl", "b", 3), upload("carl", "c", 2)] == [204, 503, 204]
    assert [upload("anna", "d", 6), upload("anna", "d", 5), upload("anna", "e", 1)] == [503, 204, 503]


def test_uploads_at_once_together_stay_below_the_limit() -> None:
    """Each would fit alone; a slow one takes no room for what has not come."""

    async def at_once() -> list[int]:
        slow, fast = (sent("anna", file, iter([1] * 7), says=7) for file in "ab")
        return sorted(await asyncio.gather(slow, fast))

    opened("anna", "operator")
    assert asyncio.run(at_once()) == [204, 503]
    assert put("anna", "c", 3) == 204


def test_file_that_is_removed_or_replaced_or_was_not_kept_makes_room() -> None:
    opened("anna", "operator")
    assert put("anna", "a", 10, path="/full") == 507
    assert [put("anna", "a", 10), put("anna", "b", 1)] == [204, 503]
    assert put("anna", "a", 0, method="DELETE", path="/full") == 507
    assert put("anna", "b", 1) == 503
    assert put("anna", "a", 0, method="DELETE") == 204
    assert put("anna", "b", 10) == 204


def test_upload_that_goes_on_after_its_owner_has_left_is_refused() -> None:
    def parts() -> Iterator[int]:
        yield 1
        del uploads._owners["anna"]
        yield 1

    opened("anna", "operator")
    assert asyncio.run(sent("anna", "a", parts())) == 403


def test_page_admits_its_session_by_the_role_of_its_last_run(store: RunStore) -> None:
    def admitted() -> list[str]:
        app.run()
        return [owner.role for owner in uploads._owners.values()]

    app = dashboard()
    assert admitted() == ["operator"]
    with streamlit_option("server.address", "0.0.0.0"):
        assert admitted() == ["viewer"]
    app.secrets = {"auth": {"client_id": "x"}}
    assert admitted() == ["stranger"]
