"""A report: made on a page, and read from the disk where there is no network."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_settled, open_page
from tests.support.runs import finish, resume, trained

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DRAWN = "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
WIDTHS = "() => [document.documentElement.scrollWidth, ...[...document.images].map((image) => image.naturalWidth)]"


def test_report_of_a_page_opens_from_the_disk_without_a_network(
    server: Server, page: Page, store: RunStore, tmp_path: Path
) -> None:
    child = finish(resume(store, trained(store, epochs=1, optimizer="adam"), 0, 1))
    open_page(page, f"{server.url}/train?run={child.id}")
    expect_settled(page)
    page.get_by_role("button", name="Make report").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download report").click()
    waiting.value.save_as(tmp_path / "report.html")
    assert page.context.browser
    context = page.context.browser.new_context(offline=True, color_scheme="dark")
    alone, asked = context.new_page(), []
    alone.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    for width, widest in ((1280, 1100), (390, 390)):
        alone.set_viewport_size({"width": width, "height": 900})
        alone.goto((tmp_path / "report.html").as_uri())
        expect(alone.get_by_role("heading", name="Did resuming help?")).to_be_visible()
        alone.wait_for_function(DRAWN)
        own, *pictures = alone.evaluate(WIDTHS)
        assert own == width
        assert len(pictures) == 5
        assert all(picture <= widest for picture in pictures)
    assert {*asked} <= {"file", "data"}
    assert alone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()
