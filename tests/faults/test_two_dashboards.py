"""Two dashboards over one store: opposite presses at the same time have one consistent end each."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fashion_core.access import audit
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import texts
from fashion_core.ui.checkpoints.texts import DELETE as DELETE_FOR_GOOD
from fashion_core.ui.overview.texts import DELETE, NAME, SAVE
from pages.texts import START_ONE, STOP
from tests.benchmarks.saving import mlp_checkpoint
from tests.benchmarks.serving import Server, serving
from tests.benchmarks.sessions import Ran, Session, open_session
from tests.benchmarks.stores import write_run
from tests.faults.lives import Tally
from tests.support.runs import new_run, save_again, set_running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Two = tuple[Server, Server]
LEAD_SECONDS = 0.3  # as long as a resume takes before it makes its run


@pytest.fixture
def two(store: RunStore, tmp_path: Path) -> Iterator[Two]:
    """Two servers over one store, whose slot this process takes: what they queue stays queued."""
    set_running(new_run(store, name="takes the slot"))
    (tmp_path / "other").mkdir()
    with serving(tmp_path) as one, serving(tmp_path / "other") as other:
        yield one, other


async def both_open(two: Two, page: str, **query: str) -> tuple[Session, Session]:
    (one, _), (other, _) = [await open_session(server.port, page, query, prompt=True) for server in two]
    return one, other


async def after(seconds: float, session: Session, button: str) -> Ran:
    await asyncio.sleep(seconds)
    return await session.press(button)


def presses(store: RunStore, what: str) -> list[audit.Entry]:
    return [line for line in audit.read(store.root) if line.what == what]


def assert_nothing_half_made(store: RunStore) -> None:
    names = {path.name for path in store.root.iterdir() if not store.has(path.name)}
    assert names == {".queue.lock", audit.NAME}
    for run in store.runs():
        for path in run.path.glob("*.json"):
            json.loads(path.read_text())
        assert [path.name for path in run.path.rglob(".tmp-*")] == []


def test_of_two_renames_at_once_one_is_kept_and_the_other_is_told(store: RunStore, two: Two, tally: Tally) -> None:
    run, rounds = new_run(store), tally.rounds(40, 200)

    async def rename() -> None:
        one, other = await both_open(two, "", run=run.id)
        for number in range(rounds):
            names = [f"one {number}", f"other {number}"]
            told = await asyncio.gather(*(s.press(SAVE, {NAME: n}) for s, n in zip((one, other), names, strict=True)))
            done = [line.detail for line in presses(store, "relabel")[-2:] if line.outcome == audit.DONE]
            assert [run.labels.name] == done, told
            assert sum(bool(ran.problems) for ran in told) == 1, told
            await asyncio.gather(one.run(), other.run())

    asyncio.run(rename())
    assert len(presses(store, "relabel")) == 2 * rounds
    assert_nothing_half_made(store)


def test_stop_and_continue_at_once_leave_the_run_as_one_of_them_says(store: RunStore, two: Two, tally: Tally) -> None:
    run, rounds, ends = new_run(store), tally.rounds(30, 150), Counter[str]()

    async def stop_and_continue() -> None:
        one, other = await both_open(two, "train", run=run.id)
        for number in range(rounds):
            await one.run()
            queue.stop(run)
            await other.run()
            if number % 2:
                queue.continue_run(store, run)
            told = await asyncio.gather(one.press(STOP), other.press(texts.CONTINUE))
            assert all("is " in problem for ran in told for problem in ran.problems), told
            ends[run.state()] += 1
            seen = await asyncio.gather(one.run(), other.run())
            assert [ran.problems for ran in seen] == [(), ()]
            assert not run.stop_path.exists()
            if run.state() == "stopped":
                queue.continue_run(store, run)

    asyncio.run(stop_and_continue())
    assert ends.keys() <= {"queued", "stopped"}
    tally.survived(f"{rounds} times Stop against Continue: {dict(ends)}")
    assert_nothing_half_made(store)


def test_what_is_resumed_from_and_deleted_at_once_is_one_of_both(store: RunStore, two: Two, tally: Tally) -> None:
    rounds, deleted = tally.rounds(30, 150), 0

    async def delete_and_resume(number: int) -> bool:
        run = Run(store.root / f"20260101-000000-000-{number:04x}")
        write_run(run.path, number, 4, None)
        save_again(run, 3, mlp_checkpoint())
        one, _ = await open_session(two[0].port, "", {"run": run.id}, prompt=True)
        other, _ = await open_session(two[1].port, "resume", {"run": run.id, "epoch": "3"}, prompt=True)
        await one.press(DELETE)
        told = await asyncio.gather(after(draw.uniform(0, LEAD_SECONDS), one, DELETE_FOR_GOOD), other.press(START_ONE))
        children = store.children(run)
        assert store.has(run.id) == (len(children) == 1), told
        assert len(children) <= 1, told
        for child in children:
            store.delete(child)
        await one.connection.close()
        await other.connection.close()
        return not store.has(run.id)

    for number in range(rounds):
        draw = random.Random(number)
        deleted += asyncio.run(delete_and_resume(number))
    tally.survived(f"{rounds} deletions against as many resumes: {deleted} times it was deleted, else resumed from")
    assert_nothing_half_made(store)
