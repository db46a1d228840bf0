"""The look of a room, in a real browser: larger, within the screen, where the pointer is, and on the next page too."""

import re

import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_settled, open_page
from tests.support.runs import trained

pytestmark = pytest.mark.browser


def test_room_sees_all_larger_within_the_screen_and_on_the_next_page_too(
    store: RunStore, server: Server, page: Page
) -> None:
    run = trained(store, epochs=2)
    page.set_viewport_size({"width": 1920, "height": 1080})
    open_page(page, f"{server.url}/train?run={run.id}")
    title = page.get_by_role("heading", level=1)
    before = title.bounding_box()
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebar").get_by_text("Present", exact=True).click()
    page.wait_for_url(re.compile("present=1"))
    expect_settled(page)
    expect(page.get_by_test_id("stTopNavLink")).to_have_count(0)
    now = title.bounding_box()
    assert before
    assert now
    assert now["height"] == pytest.approx(1.5 * before["height"], rel=0.02)
    expect(page.locator(".stVegaLiteChart svg").first).to_be_visible()
    chart = page.locator(".stVegaLiteChart svg").first.bounding_box()
    assert chart
    assert chart["x"] + chart["width"] <= 1920
    sizes = "words => words.map(word => 1.5 * parseFloat(getComputedStyle(word).fontSize))"
    assert min(page.locator(".stVegaLiteChart svg text").evaluate_all(sizes)) >= 20
    page.mouse.move(chart["x"] + 0.55 * chart["width"], chart["y"] + 0.4 * chart["height"])
    hint = page.locator("#vg-tooltip-element").inner_text()
    assert 6 <= int(re.findall(r"optimizer step\s+(\d+)", hint)[0]) <= 10  # of 16: the middle
    page.get_by_test_id("stSidebar").get_by_role("link", name="Checkpoints").click()
    page.wait_for_url(re.compile(r"/checkpoints\?present=1"))
    expect_settled(page)
    page.go_back()
    page.wait_for_url(re.compile(rf"/train\?run={run.id}&present=1"))
