"""How fast the guard refuses, and how long pages of others take meanwhile."""

import asyncio
from typing import Final

from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, disk_folder
from tests.benchmarks.serving import Server, serving
from tests.benchmarks.sessions import open_session
from tests.support.requests import raw, upload

ROUNDS, UPLOADS, UPLOAD_BYTES = 20, 20, 30_000_000
ALONE, MEANWHILE = "a page runs, nobody attacks", "a page runs meanwhile"
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
_SOCKET = f"Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: {_KEY}"
ATTACKS: Final = {
    "websocket of another site": f"GET /_stcore/stream HTTP/1.1\nHost: localhost\nOrigin: http://evil.test\n{_SOCKET}",
    "live metrics of another site": f"GET /live HTTP/1.1\nHost: localhost\nOrigin: http://evil.test\n{_SOCKET}",
    "websocket of another port": f"GET /_stcore/stream HTTP/1.1\nHost: localhost\nOrigin: http://localhost:9\n{_SOCKET}",
    "page under another name": "GET / HTTP/1.1\nHost: evil.test",
}
UPLOADED: Final = f"each of {UPLOADS} uploads of 30 MB"


def run() -> Comparison:
    with disk_folder() as folder:
        store = RunStore(folder / "runs")
        with serving(folder, FASHION_RUNS=str(store.root)) as server:
            times = asyncio.run(measured(server))
    return Comparison("Refuse what no page sends", ALONE, times)


async def measured(server: Server) -> dict[str, list[float]]:
    session, _ = await open_session(server.port, "", {}, prompt=True)
    times = {ALONE: [(await session.run()).seconds * 1000 for _ in range(ROUNDS)], MEANWHILE: []}
    viewer, _ = await open_session(server.port, "predict", {}, prompt=True, X_Forwarded_For="192.0.2.1")
    attacking = asyncio.create_task(asyncio.to_thread(_attack, server.port, viewer.id))
    while not attacking.done():
        times[MEANWHILE].append((await session.run()).seconds * 1000)
    return times | await attacking


def _attack(port: int, session: str) -> dict[str, list[float]]:
    """The milliseconds that each refusal took."""
    answers = {name: [raw(port, head) for _ in range(ROUNDS)] for name, head in ATTACKS.items()}
    answers[UPLOADED] = [upload(port, session, str(file), UPLOAD_BYTES) for file in range(UPLOADS)]
    assert {answer.status for found in answers.values() for answer in found} == {403, 413}
    return {name: [answer.seconds * 1000 for answer in found] for name, found in answers.items()}
