"""The server is killed while runs train: they go on, and the next server finds them, each with its one worker."""

import random
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Page

from fashion_core.errors import RunStateError
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, State
from fashion_core.runs.store import RunStore
from tests.faults.lives import Tally
from tests.support.browsing import Server, open_page
from tests.support.processes import known_workers, wait_until, workers_of
from tests.support.runs import new_run

LONG = 10_000
"""More epochs than a test can last."""
ALIVE: frozenset[State] = UNDER_WAY_STATES | {"stopped"}
"""Where presses may bring a run; it is lost or failed only if its worker died with the server."""
THERE = "() => document.querySelector('[data-testid=stApp]')"
BADGE_SAYS_ONE_OF = (
    "states => [...document.querySelectorAll('.stMarkdownBadge')].some("
    "badge => states.some(state => badge.innerText.includes(state)))"
)

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def press(page: Page, server: Server, run: Run, draw: random.Random) -> str:
    if draw.random() < 0.3:
        page.goto(f"{server.url}/train")
        button = "Start"
    else:
        button = "Stop" if run.state() == "running" else "Continue"
    page.get_by_test_id("stMain").get_by_role("button", name=button, exact=True).click()
    return button


def show(page: Page, server: Server, run: Run) -> tuple[float, float]:
    """Seconds until the page shows the run's state: from the server's first page, and from the request.

    Each frame is looked at, where ``expect`` looks after 0.85 s and then after 1.85. The state may change meanwhile: a
    queued run begins, one that is stopping stops.
    """
    asked = time.monotonic()
    page.goto(f"{server.url}/train?run={run.id}", wait_until="commit")
    page.wait_for_function(THERE)
    there = time.monotonic()
    page.wait_for_function(BADGE_SAYS_ONE_OF, arg=[*ALIVE, run.state()])
    shown = time.monotonic()
    wait_until(lambda: page.evaluate(BADGE_SAYS_ONE_OF, [run.state()]), "the page says which state the run is in")
    return shown - there, shown - asked


def started_by_a_server(store: RunStore, page: Page, server: Server) -> Run:
    run = new_run(store, epochs=LONG, keep="last")
    server.start()
    try:
        open_page(page, f"{server.url}/train?run={run.id}")
        wait_until(lambda: run.status.phase == "training", "the page has started what waited")
    finally:
        server.kill()
    settle(store, run)
    assert run.state() == "running"
    return run


def test_killed_server_loses_no_run_and_the_next_one_shows_it(
    store: RunStore, page: Page, tmp_path: Path, tally: Tally
) -> None:
    run = started_by_a_server(store, page, Server(tmp_path / "server.log"))
    count, pressed, seconds = tally.rounds(2, 50), Counter(["nothing"]), []
    for number in range(1, count):
        draw = random.Random(number)
        server = Server(tmp_path / "server.log")
        server.start()
        try:
            seconds.append(show(page, server, run))
            pressed[press(page, server, run, draw) if draw.random() < 0.7 else "nothing"] += 1
            time.sleep(draw.uniform(0, 0.5))  # the random moment
        finally:
            server.kill()
        settle(store, run)
    shown, asked = zip(*seconds, strict=True)
    presses = ", ".join(f"{count} {button}" for button, count in sorted(pressed.items()))
    tally.survived(
        f"{count} SIGKILLs of the server ({presses} before them): each worker known to its run and none twice; "
        f"shown by the next server {median(shown):.2f} s after its first page (at most {max(shown):.2f} s), "
        f"{median(asked):.2f} s after somebody asked for it (at most {max(asked):.2f} s)"
    )


def settle(store: RunStore, run: Run) -> None:
    """Check what every kill must leave: workers and runs that know each other, and training that continues."""
    wait_until(lambda: workers_of(store) == known_workers(store), "each worker belongs to the run that names it")
    assert len(workers_of(store)) <= 1, "there is one slot"
    assert_goes_on(run)
    if run.state() == "running":
        before = run.status
        wait_until(
            lambda: (run.status.epoch, run.status.batch) > (before.epoch, before.batch) or run.state() != "running",
            "training goes on without a server",
        )
    for other in store.runs():
        assert_goes_on(other)
        if other.id != run.id:
            with suppress(RunStateError):  # it never began
                queue.stop(other)
            wait_until(lambda other=other: other.state() in ("stopped", "lost"), "it has stopped")  # type: ignore[misc]
            store.delete(other)


def assert_goes_on(run: Run) -> None:
    """Or waits for Continue, if the kill came between the status *running* and its worker."""
    never_began = run.state() == "lost" and run.status.process is None
    assert run.state() in ALIVE or never_began, f"{run.state()} without a server: {run.log_tail(20)}"
