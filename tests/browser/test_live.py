"""A page that watches a run, in a real browser: it follows what is written, with and without a run of its script."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Error, Page, WebSocket, WebSocketRoute, expect

from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_badge, open_page
from tests.support.processes import wait_until
from tests.support.runs import batch_row, epoch_row, new_run, set_finished, set_running

pytestmark = pytest.mark.browser

SILENCE_MS = 15_000
"""For which the page waits for live metrics, by its own clock."""


@pytest.fixture
def run(store: RunStore) -> Run:
    return watched(store)


def watched(store: RunStore) -> Run:
    """A run that trains, with its first loss."""
    run = new_run(store, name="watched", train_images=64 * 4, batch_size=64)
    set_running(run)
    run.write_status(run.status.model_copy(update={"phase": "training"}))
    metrics.append_row(run.metrics_path, batch_row(0, 0, [4.0]))
    return run


def watch(page: Page, server: Server, run: Run) -> None:
    open_page(page, f"{server.url}/train?run={run.id}")
    expect_badge(page, "running")
    expect_newest(page, "4.000")


def expect_newest(page: Page, loss: str) -> None:
    expect(page.get_by_test_id("stVegaLiteChart").first).to_contain_text(loss)
    expect(page.get_by_test_id("stMain").locator("dd").first).to_have_text(f"{loss}0")


def write_epoch(run: Run) -> None:
    """The first of two, and all batches of the second: the newest loss stands at the right end of its chart."""
    metrics.append_row(run.metrics_path, batch_row(0, 3, [4.0, 4.0, 4.0]))
    metrics.append_row(run.metrics_path, {**epoch_row(0), "accuracy": 0.625})
    metrics.append_row(run.metrics_path, batch_row(1, 3, [4.0, 4.0, 4.0, 4.0]))
    run.write_status(run.status.model_copy(update={"epoch": 1}))


def expect_epoch(page: Page) -> None:
    expect(page.get_by_test_id("stVegaLiteChart").last).to_contain_text("62.50%")
    expect(page.locator("dd").get_by_text("62.50%")).to_be_visible()


CUT_OFF = """() => [...document.querySelectorAll("[data-testid=stVegaLiteChart] svg")].flatMap((chart) => {
  const room = chart.getBoundingClientRect();
  const isOutside = (box) => box.right > room.right + 3 || box.top < room.top - 3 || box.left < room.left - 3;
  const texts = [...chart.querySelectorAll("text")].filter((text) => text.textContent.trim());
  return texts.filter((text) => isOutside(text.getBoundingClientRect())).map((text) => text.textContent);
})"""
"""The labels that do not fit into their chart; letters reach beyond their box by two pixels."""


def test_numbers_and_both_charts_follow_without_a_run_of_the_page(server: Server, run: Run, page: Page) -> None:
    said: list[str] = []

    def listen(socket: WebSocket) -> None:
        if "_stcore" in socket.url:
            socket.on("framereceived", lambda _: said.append("the page ran"))

    page.on("websocket", listen)
    metrics.append_row(run.metrics_path, epoch_row(0))  # the page runs again once there is a first one
    watch(page, server, run)
    page.wait_for_function("document.body.value")  # its first run is over, and the live metrics have begun
    said.clear()
    write_epoch(run)
    expect_epoch(page)
    expect(page.get_by_text("epoch 1 (2 of 2)")).to_be_visible()
    expect_newest(page, "4.000")
    assert page.evaluate(CUT_OFF) == []
    assert said == []
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="All runs")).to_be_visible()
    assert page.evaluate("document.body.value === undefined"), "the live metrics of a page that was left are kept"


def test_page_goes_on_following_after_it_was_told_that_nothing_has_changed(
    server: Server, run: Run, page: Page
) -> None:
    problems, told = list[Error](), list[str | bytes]()

    def overhear(socket: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            told.append(message)
            socket.send(message)

        socket.connect_to_server().on_message(pass_on)

    page.on("pageerror", lambda problem: problems.append(problem))
    page.route_web_socket("**/live", overhear)
    watch(page, server, run)
    wait_until(lambda: page.title() and told.count("") > 1, "the page was told so")
    write_epoch(run)
    expect_epoch(page)
    assert problems == []


@pytest.mark.parametrize(
    ("refuse", "times"), [(WebSocketRoute.close, 3), (lambda _: None, 1)], ids=["closed", "silent"]
)
def test_page_that_no_live_metrics_reach_follows_all_the_same(
    server: Server, run: Run, page: Page, refuse: Callable[[WebSocketRoute], None], times: int
) -> None:
    tried: list[str] = []

    def route(socket: WebSocketRoute) -> None:
        tried.append(socket.url)
        refuse(socket)

    page.route_web_socket("**/live", route)
    page.clock.install()
    watch(page, server, run)
    wait_until(lambda: page.title() and tried, "the page has tried")
    page.clock.fast_forward(SILENCE_MS)
    wait_until(lambda: page.title() and len(tried) > times, "the page has tried again, and found nothing")
    write_epoch(run)
    page.clock.fast_forward(SILENCE_MS)
    expect_epoch(page)


def test_page_follows_again_once_a_damaged_file_is_mended(server: Server, run: Run, page: Page) -> None:
    watch(page, server, run)
    whole = run.status_path.read_bytes()
    run.status_path.write_text("{")
    expect(page.get_by_test_id("stAlert").first).to_contain_text("status.json")
    run.status_path.write_bytes(whole)
    expect_newest(page, "4.000")
    expect(page.get_by_text("status.json")).to_have_count(0)


def test_page_that_was_only_loaded_follows_the_next_server(server: Server, run: Run, page: Page) -> None:
    watch(page, server, run)
    server.kill()
    expect(page.get_by_text("Connection error")).to_be_visible()
    server.start()
    write_epoch(run)
    expect_epoch(page)


def test_page_shows_what_a_run_has_come_to_by_itself(server: Server, run: Run, page: Page) -> None:
    watch(page, server, run)
    run.write_status(run.status.model_copy(update={"state": "failed", "error": "the disk is full."}))
    expect_badge(page, "failed")
    expect(page.get_by_text("The disk is full.")).to_be_visible()
    expect(page.get_by_role("button", name="Continue")).to_be_visible()


MOST_AT_ONCE = """() => {
  const count = () => [...document.querySelectorAll("[data-testid=stVegaLiteChart] text")].filter(
    (text) => text.textContent === "epoch 0").length;
  window.most = 0;
  new MutationObserver(() => { window.most = Math.max(window.most, count()); }).observe(
    document.body, { childList: true, subtree: true, characterData: true });
}"""
"""Notes how often the name of the first epoch stands in the charts at one time, at most."""


def test_run_that_is_watched_from_its_first_loss_to_its_end_shows_each_row_once(
    server: Server, run: Run, page: Page
) -> None:
    watch(page, server, run)
    page.evaluate(MOST_AT_ONCE)
    write_epoch(run)
    expect_epoch(page)
    page.evaluate("document.body.value = undefined")
    set_finished(run)
    expect_badge(page, "finished")
    page.wait_for_function("document.body.value")  # the live metrics of the ended run have come
    assert page.evaluate("window.most") == 1
