"""A real server, and requests that no page of it sends."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fashion_core.runs.store import RunStore
from tests.benchmarks import guard
from tests.benchmarks.serving import Server
from tests.benchmarks.sessions import Session, open_session
from tests.support.impatient import impatient
from tests.support.processes import wait_until
from tests.support.requests import raw, upload

MB, MOST_MS = 1_000_000, 50
pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(server: Server, **headers: str) -> AsyncIterator[Session]:
    session, _ = await open_session(server.port, "predict", {}, prompt=True, **headers)
    try:
        yield session
    finally:
        await session.connection.close()


def megabytes(server: Server) -> float:
    return psutil.Process(server.process.pid).memory_info().rss / MB


AS_VIEWER = {"X_Forwarded_For": "192.0.2.1"}
ATTACKS = {
    "rebound name": ("GET / HTTP/1.1\nHost: evil.test", 403),
    "rebound name, old HTTP": ("GET / HTTP/1.0\nHost: evil.test", 403),
    "name with a user": ("GET / HTTP/1.1\nHost: localhost@evil.test", 403),
    "no name, in a header": ("GET / HTTP/1.1\nHost:", 403),
    "every interface": ("GET / HTTP/1.1\nHost: 0.0.0.0", 403),
    "two names": ("GET / HTTP/1.1\nHost: localhost\nHost: evil.test", 400),
    "a proxy's word for it": ("GET / HTTP/1.1\nHost: evil.test\nX-Forwarded-Host: localhost", 403),
    "whole address, rebound": ("GET http://localhost/ HTTP/1.1\nHost: evil.test", 403),
    "whole address of what is closed": ("GET http://localhost/_stcore/metrics HTTP/1.1\nHost: localhost", 404),
    "metrics, encoded": ("GET /%5fstcore/%6detrics HTTP/1.1\nHost: localhost", 404),
    "metrics, two slashes": ("GET /_stcore//metrics HTTP/1.1\nHost: localhost", 404),
    "metrics": ("GET /_stcore/metrics HTTP/1.1\nHost: localhost", 404),
    "health, for a program": ("GET /_stcore/health HTTP/1.0", 200),
    "health": ("GET /_stcore/health HTTP/1.1\nHost: localhost", 200),
    "upload, no session": ("PUT /_stcore/upload_file HTTP/1.1\nHost: localhost\nContent-Length: 9", 403),
    "upload of a page elsewhere": (
        "PUT /_stcore/upload_file/x/y HTTP/1.1\nHost: localhost\nOrigin: http://localhost:9\nContent-Length: 9",
        403,
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_request_is_answered_with(server: Server, attack: str) -> None:
    head, status = ATTACKS[attack]
    assert raw(server.port, head).status == status


@pytest.mark.parametrize("path", ["_stcore/stream", "live", "/_stcore/stream", "%5fstcore/stream", "_stcore/stream/"])
@pytest.mark.parametrize("origin", ["http://localhost:9999", "http://evil.test", "null"])
async def test_page_of_another_origin_connects_to_no_websocket(server: Server, path: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as raised:
        await connect(f"ws://localhost:{server.port}/{path}", additional_headers={"Origin": origin})
    assert raised.value.response.status_code == 403


async def test_page_of_this_server_connects(server: Server) -> None:
    async with opened(server, Origin=server.url) as session:
        assert session.id


async def test_viewer_uploads_images_and_no_more(server: Server) -> None:
    async with opened(server, **AS_VIEWER) as session:
        assert upload(server.port, session.id, "a", 20 * MB).status == 204
        refused = upload(server.port, session.id, "b", 30 * MB)
    assert (refused.status, refused.text) == (413, "The file is too large: you may upload files of at most 20 MB here.")


async def test_operator_uploads_a_checkpoint(server: Server) -> None:
    async with opened(server) as session:
        assert upload(server.port, session.id, "a", 30 * MB).status == 204


async def test_upload_that_hides_its_size_is_refused_once_too_much_has_come(server: Server) -> None:
    async with opened(server, **AS_VIEWER) as session:
        assert upload(server.port, session.id, "a", MB, chunked=True).status == 204
        refused = upload(server.port, session.id, "b", 100 * MB, chunked=True)
    assert refused.status == 413
    assert refused.sent < 50 * MB


async def test_session_that_has_shown_no_page_uploads_nothing(server: Server) -> None:
    for session in (str(uuid.uuid4()), "..", "x"):
        assert upload(server.port, session, "a", MB).status == 403


async def test_upload_is_kept_from_whoever_lacks_its_token(server: Server) -> None:
    async with opened(server) as session:
        head = f"PUT /_stcore/upload_file/{session.id}/a HTTP/1.1\nHost: localhost\nContent-Length: 9"
        assert raw(server.port, head).status == 403


@pytest.mark.slow
async def test_uploads_of_somebody_who_has_left_are_let_go_of(store: RunStore, tmp_path: Path) -> None:
    with impatient(tmp_path) as server:
        before = megabytes(server)
        async with opened(server) as session:
            for number in range(3):
                assert upload(server.port, session.id, str(number), 100 * MB).status == 204
            assert megabytes(server) > before + 250
        wait_until(lambda: megabytes(server) < before + 50, "their memory is free again", 20)


@pytest.mark.slow
async def test_refusals_take_no_time_and_pages_answer_as_usual_meanwhile(server: Server) -> None:
    """`python -m tests.benchmarks guard` prints the figures."""
    times = await guard.measured(server)
    alone, meanwhile = median(times.pop(guard.ALONE)), median(times.pop(guard.MEANWHILE))
    assert {name: ms for name, found in times.items() if (ms := median(found)) > MOST_MS} == {}
    assert meanwhile < 2 * alone + MOST_MS
