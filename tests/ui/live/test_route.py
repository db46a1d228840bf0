"""The address at which a page hears of its run: real servers, and listeners that are no browsers."""

import asyncio
import json
from contextlib import aclosing

import pytest
from streamlit import config
from websockets.exceptions import ConnectionClosed

from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui.live import route
from tests.benchmarks.sessions import Session, open_session
from tests.support.browsing import Server
from tests.support.runs import batch_row, new_run, set_running, set_state

PATIENCE_SECONDS = 30


@pytest.fixture
def run(store: RunStore) -> Run:
    run = new_run(store, name="watched", train_images=64 * 4, batch_size=64)
    set_running(run)
    return run


async def opened(server: Server, run: Run) -> Session:
    session, seen = await open_session(server.port, "train", {"run": run.id}, prompt=True)
    assert not seen.problems
    return session


async def heard(session: Session, count: int = 2) -> list[str]:
    """What comes, at most so often, until nothing comes any more."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(session.hear()) as feed:
        async for told in feed:
            found.append(told)
            if len(found) == count:
                break
    return found


def test_listener_hears_what_was_written_since(run: Run, server: Server) -> None:
    async def told() -> str:
        session = await opened(server, run)
        metrics.append_row(run.metrics_path, batch_row(0, 1, [4.0, 3.5]))
        (found,) = await heard(session, 1)
        return found

    found = json.loads(asyncio.run(told()))
    assert [row[1] for row in found["losses"]["batches"]["data"]] == [4.0, 3.5]
    assert "batch" in found["numbers"]


def test_what_stands_still_is_told_once(run: Run, server: Server) -> None:
    """An ended run with many epochs would else be sent again and again, to all who have it open."""
    set_state(run, "stopped")

    async def told() -> list[str]:
        return await heard(await opened(server, run), 3)

    first, *others = asyncio.run(told())
    assert json.loads(first)["numbers"]
    assert others == ["", ""]


def test_all_who_listen_at_once_hear_the_same(run: Run, server: Server) -> None:
    """While rows are written all the time, so that another look would find others."""

    async def write() -> None:
        for number in range(10_000):
            metrics.append_row(run.metrics_path, batch_row(number, 0, [4.0]))
            await asyncio.sleep(0.001)

    async def told() -> list[set[str]]:
        sessions = [await opened(server, run) for _ in range(3)]
        writing = asyncio.create_task(write())
        found = await asyncio.gather(*(heard(session, 4) for session in sessions))
        writing.cancel()
        return [set(each) - {""} for each in found]

    metrics.append_row(run.metrics_path, batch_row(0, 0, [4.0]))  # once there is a loss, a tick is a second
    assert len(set.intersection(*asyncio.run(told()))) >= 3  # one may have come a tick later than the others


def test_feed_of_a_run_that_somebody_deletes_ends(store: RunStore, run: Run, server: Server) -> None:
    async def told() -> list[str]:
        session = await opened(server, run)
        set_state(run, "stopped")
        store.delete(run)
        return await heard(session)

    assert asyncio.run(told()) == []


@pytest.mark.parametrize("bad", ["", "made-up", "WyJydW4iLDEuMCx7fV0.AAAA", "ü", b"\xff"])
def test_ticket_that_somebody_made_up_is_told_nothing(run: Run, server: Server, bad: str | bytes) -> None:
    async def told() -> list[str]:
        session = await opened(server, run)
        session.feed["ticket"] = bad
        return await heard(session)

    assert asyncio.run(told()) == []
    assert "Traceback" not in server.log.read_text()


def test_ticket_of_a_server_that_ended_is_told_nothing_by_the_next_one(run: Run, server: Server) -> None:
    """Its page runs again and gets another one."""

    async def told() -> list[str]:
        session = await opened(server, run)
        server.kill()
        server.start()
        return await heard(session)

    assert asyncio.run(told()) == []


def test_listener_is_let_go_when_the_server_ends(run: Run, server: Server) -> None:
    async def told() -> None:
        session = await opened(server, run)
        async for _ in session.hear():
            server.process.terminate()

    with pytest.raises(ConnectionClosed):
        asyncio.run(told())
    server.process.wait(PATIENCE_SECONDS)


def test_feed_lies_below_the_path_of_all_pages() -> None:
    before = config.get_option("server.baseUrlPath")
    try:
        config.set_option("server.baseUrlPath", "/deep/down/")
        assert route.address() == route.route().path == "/deep/down/live"
    finally:
        config.set_option("server.baseUrlPath", before)
