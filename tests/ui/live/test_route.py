"""The WebSocket of a run's page: a real server, and listeners that are no browsers."""

import asyncio
import json
from contextlib import aclosing

import pytest
from websockets.exceptions import ConnectionClosed

from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui.live import route
from tests.benchmarks.serving import Server
from tests.benchmarks.sessions import Session, open_session
from tests.support.pages import streamlit_option
from tests.support.runs import batch_row, new_run, set_running, set_state

PATIENCE_SECONDS = 30
pytestmark = pytest.mark.anyio


@pytest.fixture
def run(module_store: RunStore) -> Run:
    run = new_run(module_store, name="watched", train_images=64 * 4, batch_size=64)
    set_running(run)
    return run


async def opened(server: Server, run: Run) -> Session:
    session, seen = await open_session(server.port, "train", {"run": run.id}, prompt=True)
    assert not seen.problems
    return session


async def heard(session: Session, count: int = 2) -> list[str]:
    """What comes, at most so often, until nothing comes any more."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(session.hear()) as live_metrics:
        async for told in live_metrics:
            found.append(told)
            if len(found) == count:
                break
    return found


async def test_listener_hears_what_was_written_since(run: Run, server: Server) -> None:
    session = await opened(server, run)
    metrics.append_row(run.metrics_path, batch_row(0, 1, [4.0, 3.5]))
    found = json.loads((await heard(session, 1))[0])
    assert [row[1] for row in found["losses"]["batches"]["data"]] == [4.0, 3.5]
    assert "batch" in found["numbers"]


@pytest.mark.slow
async def test_what_stands_still_is_told_once(run: Run, server: Server) -> None:
    """An ended run with many epochs would else be sent again and again, to all who have it open."""
    set_state(run, "stopped")
    first, *others = await heard(await opened(server, run), 3)
    assert json.loads(first)["numbers"]
    assert others == ["", ""]


@pytest.mark.slow
async def test_all_who_listen_at_once_hear_the_same(run: Run, server: Server) -> None:
    """While rows are written all the time, so that another look would find others."""

    async def write() -> None:
        for number in range(10_000):
            metrics.append_row(run.metrics_path, batch_row(number, 0, [4.0]))
            await asyncio.sleep(0.001)

    metrics.append_row(run.metrics_path, batch_row(0, 0, [4.0]))  # once there is a loss, a tick is a second
    sessions = [await opened(server, run) for _ in range(3)]
    writing = asyncio.create_task(write())
    told = [set(each) - {""} for each in await asyncio.gather(*(heard(session, 4) for session in sessions))]
    writing.cancel()
    assert len(set.intersection(*told)) >= 3  # one may have come a tick later than the others


async def test_messages_about_a_run_end_when_somebody_deletes_it(
    module_store: RunStore, run: Run, server: Server
) -> None:
    session = await opened(server, run)
    set_state(run, "stopped")
    module_store.delete(run)
    assert await heard(session) == []


async def test_ticket_that_somebody_made_up_is_told_nothing(run: Run, server: Server) -> None:
    session = await opened(server, run)
    for bad in ("", "made-up", "WyJydW4iLDEuMCx7fV0.AAAA", "ü", b"\xff"):
        session.live_metrics["ticket"] = bad
        assert await heard(session) == []
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
async def test_server_that_ends_lets_listeners_go_and_the_next_one_tells_their_tickets_nothing(
    module_store: RunStore, run: Run, server: Server
) -> None:
    """The page runs again and gets another ticket."""
    session = await opened(server, run)
    messages = session.hear()
    await anext(messages)
    server.process.terminate()
    with pytest.raises(ConnectionClosed):
        async for _ in messages:
            pass
    server.process.wait(PATIENCE_SECONDS)
    server.start({"FASHION_RUNS": str(module_store.root)})
    assert await heard(session) == []


def test_address_lies_below_the_path_of_all_pages() -> None:
    with streamlit_option("server.baseUrlPath", "/deep/down/"):
        assert route.address() == "/deep/down/live"
