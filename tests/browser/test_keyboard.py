"""Everything without a mouse: a first run, a resumed one, the comparison, a prediction."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_badge, expect_settled, open_page
from tests.support.runs import trained

pytestmark = pytest.mark.browser

MOST_STOPS = 80
IS_FOCUSED = "(element) => element === document.activeElement"


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until this has the focus, which must be seen there."""
    expect_settled(page)
    expect(target).to_have_count(1)
    expect(target).to_be_visible()
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if target.evaluate(IS_FOCUSED):
            return
    raise AssertionError(f"{MOST_STOPS} presses of Tab do not lead to {target}")


def press(page: Page, target: Locator, *keys: str) -> None:
    tab_to(page, target)
    for key in keys:
        page.keyboard.press(key)


def test_first_run_is_trained_resumed_compared_and_used_by_keyboard_alone(
    store: RunStore, server: Server, page: Page
) -> None:
    main = page.get_by_test_id("stMain")
    open_page(page, server.url)
    press(page, main.get_by_role("button", name="Watch it train"), "Enter")
    expect_badge(page, "finished", seconds=180)
    press(page, main.get_by_role("link", name="Resume"), "Enter")
    checkpoint = page.get_by_role("combobox", name="Checkpoint", exact=True)
    press(page, checkpoint, "ArrowDown", "Home", "Enter")
    page.wait_for_url(re.compile("epoch=0"))
    press(page, page.get_by_label("Additional epochs", exact=True), "Control+A", "2", "Enter")
    press(page, main.get_by_role("button", name="Start"), "Enter")
    page.wait_for_url(re.compile(r"/train\?run="))
    expect_badge(page, "finished", seconds=180)
    child, parent = store.runs()
    assert (child.record.parent, child.epochs_saved()) == (Parent(run=parent.id, epoch=0), [1, 2])

    press(page, page.get_by_test_id("stTopNavLink").filter(has_text="Resume"), "Enter")
    press(page, page.get_by_role("tab", name="Resume", exact=True), "ArrowRight")
    expect(page.get_by_test_id("stApp")).to_contain_text("1 of 1 resumed run")

    press(page, page.get_by_test_id("stTopNavLink").filter(has_text="Predict"), "Enter")
    press(page, page.get_by_label("Test image", exact=True), "3", "Enter")
    page.wait_for_url(re.compile("image=3"))
    expect(page.get_by_role("heading", name=re.compile("^Test image 3 · "))).to_be_visible()


def test_row_of_a_table_is_chosen_as_its_note_says(store: RunStore, server: Server, page: Page) -> None:
    run = trained(store, epochs=2)
    open_page(page, f"{server.url}/checkpoints")
    note = page.get_by_text("Shift+Space")
    expect(note).to_be_visible()
    press(page, page.get_by_test_id("stDataFrame").locator("canvas").first, "ArrowDown", "Shift+Space")
    page.wait_for_url(re.compile(f"run={run.id}"))
    expect(note).to_be_hidden()


def test_cell_of_the_confusion_matrix_is_chosen_in_a_box_too(store: RunStore, server: Server, page: Page) -> None:
    run = trained(store, epochs=1)
    open_page(page, f"{server.url}/predict?run={run.id}&epoch=0&view=Evaluation")
    press(page, page.get_by_role("combobox", name="Cell", exact=True), *"Shirt predicted as Bag", "Enter")
    page.wait_for_url(re.compile(r"cell=\d-\d"))
    expect(page.get_by_role("heading", name="Shirt predicted as Bag")).to_be_visible()


FOCUSED = """() => {
  const element = document.activeElement, at = element.getBoundingClientRect();
  return [element.outerHTML.slice(0, 120), element === document.body, at.x, at.y, at.width, at.height];
}"""


def picture(page: Page, x: float, y: float, width: float, height: float) -> bytes:
    """What is seen there and 8 pixels around, where a focus is drawn."""
    left, top = max(0, x - 8), max(0, y - 8)
    wide, high = min(width + 16, 1280 - left), min(height + 16, 900 - top)
    return page.screenshot(clip={"x": left, "y": top, "width": wide, "height": high}, animations="disabled")


@pytest.mark.parametrize("place", ["train", "resume?run={run}&epoch=1"])
def test_focus_is_seen_at_every_stop(store: RunStore, server: Server, page: Page, place: str) -> None:
    run = trained(store, epochs=2)
    open_page(page, f"{server.url}/{place.format(run=run.id)}")
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    expect_settled(page)
    unseen, stops = [], 0
    while stops < MOST_STOPS:
        stops += 1
        page.keyboard.press("Tab")
        html, is_over, x, y, width, height = page.evaluate(FOCUSED)
        if is_over:
            break
        focused = picture(page, x, y, width, height)
        page.evaluate("() => { document.activeElement.blur() }")
        if picture(page, x, y, width, height) == focused:
            unseen.append(html)
    assert stops >= 20
    assert unseen == []
