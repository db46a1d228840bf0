"""Back, in a real browser: one step a click, and none for what a page fills in by itself."""

import re
import shutil

import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs import metrics
from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_settled, open_page
from tests.support.runs import batch_row, epoch_row, new_run, resume, set_running, set_state, train, trained

pytestmark = pytest.mark.browser

HEADINGS = {
    "Overview": "Fashion Core",
    "Train": "Train",
    "Checkpoints": "Checkpoints",
    "Resume": "Resume",
    "Predict": "Predict",
    "Lesson": "The lesson",
}
FILLED_IN = {"Resume": re.compile(r"/resume\?run=.*&epoch=1"), "Predict": re.compile(r"/predict\?run=.*&epoch=\d")}
LAST_TAB = {"Checkpoints": "Verify and tidy up", "Resume": "Lineage", "Predict": "In plain PyTorch"}


def expect_page(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=HEADINGS[name], exact=True)).to_be_visible()
    if name in FILLED_IN:
        page.wait_for_url(FILLED_IN[name])
        expect(page.locator("script", has_text="replaceState")).to_have_count(0)  # the page ran again, with all of it
    expect_settled(page)


def go_to(page: Page, name: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()
    expect_page(page, name)


def presses_back(page: Page, address: str) -> int:
    """How often Back is pressed until the page is there."""
    for number in range(1, 10):
        page.go_back()
        if page.url == address:
            return number
    raise AssertionError(f"Back does not lead to {address}")


def test_one_step_back_leads_from_every_page_to_the_page_before(store: RunStore, server: Server, page: Page) -> None:
    trained(store, epochs=2)
    open_page(page, server.url)
    expect_page(page, "Overview")
    presses = {}
    for here in HEADINGS:
        if here != "Overview":
            go_to(page, here)
        before = page.url
        for there in HEADINGS:
            if there != here:
                go_to(page, there)
                presses[here, there] = presses_back(page, before)
                expect_page(page, here)
    for here in HEADINGS:
        print(f"{here:<12}", *(presses.get((here, there), "–") for there in HEADINGS))
    assert set(presses.values()) == {1}


@pytest.mark.parametrize("name", LAST_TAB)
def test_tab_is_a_step_and_no_other_page_opens_with_it(store: RunStore, server: Server, page: Page, name: str) -> None:
    trained(store, epochs=2)
    open_page(page, server.url)
    go_to(page, name)
    before = page.url
    page.get_by_role("tab", name=LAST_TAB[name], exact=True).click()
    page.wait_for_url(re.compile("view="))
    expect_settled(page)
    for other in ("Overview", *LAST_TAB):
        if other != name:
            go_to(page, other)
            assert "view=" not in page.url
            expect(page.get_by_test_id("stAlert").filter(has_text="does not know")).to_have_count(0)
            page.go_back()
            expect(page.get_by_role("tab", name=LAST_TAB[name], exact=True)).to_have_attribute("aria-selected", "true")
            page.wait_for_url(re.compile("view="))
    page.go_back()
    page.wait_for_url(before)


def test_link_to_the_form_keeps_leading_there(store: RunStore, server: Server, page: Page) -> None:
    run = trained(store, epochs=1)
    open_page(page, f"{server.url}/train?run={run.id}")
    page.get_by_role("button", name="Set up another run").click()
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    page.get_by_label("Epochs", exact=True).fill("3")
    page.get_by_label("Epochs", exact=True).press("Enter")
    expect_settled(page)
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    assert "run=" not in page.url
    page.go_back()
    expect(page.get_by_role("heading", name=run.title)).to_be_visible()


def test_charts_warn_of_nothing_whatever_they_lack(store: RunStore, server: Server, page: Page) -> None:
    done, unsaved = trained(store, epochs=2), new_run(store)
    metrics.append_row(unsaved.metrics_path, batch_row(0, 3, [4.0, 3.0]))
    metrics.append_row(unsaved.metrics_path, epoch_row(0))
    set_state(unsaved, "stopped")
    first, second = (resume(store, done, 1, 1, learning_rate=rate) for rate in (0.01, 0.02))
    for run in (first, second):
        train(run)
    said: list[str] = []

    def look(*addresses: str) -> None:
        for address in addresses:
            open_page(page, f"{server.url}/{address}")
            expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first).to_be_visible()
            expect_settled(page)

    page.on("console", lambda message: said.append(message.text) if message.type == "warning" else None)
    look(*(f"train?run={run.id}&present=1" for run in (done, unsaved, first)), f"resume?run={done.id}&epoch=1")
    look("resume?view=Helped", f"resume?view=Helped&focus={first.id}", "resume?view=Lineage")
    look(f"checkpoints?run={done.id}&epoch=1", f"predict?run={done.id}&epoch=1&image=3", "predict?view=Evaluation")
    shutil.rmtree(done.path)
    look("resume?view=Helped")
    assert said == []
    set_running(starting := new_run(store))
    open_page(page, f"{server.url}/train?run={starting.id}")
    expect(page.get_by_text("The charts appear with the first batch.")).to_be_visible()
    metrics.append_row(starting.metrics_path, batch_row(0, 3, [4.0, 3.0]))
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(1)
    metrics.append_row(starting.metrics_path, epoch_row(0))
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(2)
    expect_settled(page)
    assert said == []
