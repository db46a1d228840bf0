"""The table of Overview in a real browser: what a click on a row, on a title and in the menu of a row does."""

import re

import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, expect_settled, fill, open_page
from tests.support.runs import new_run, set_running, set_state

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROW = 35  # pixels
CHECKBOX, NAME, MENU = 16, 120, 256  # pixels from the left of the table


def click(page: Page, x: int, row: int) -> None:
    """Click in a row of the table, counted from 1; 0 is that of the titles."""
    expect_settled(page)
    expect(page.get_by_test_id("data-grid-canvas")).to_be_attached()  # what is clicked before is lost
    page.get_by_test_id("stDataFrame").click(position={"x": x, "y": ROW * row + ROW // 2})
    expect_settled(page)


@pytest.fixture
def page_of_three(store: RunStore, server: Server, page: Page) -> Page:
    for name in ("bravo", "alpha", "charlie"):
        set_state(new_run(store, name=f"run {name}"), "finished")
    open_page(page, server.url)
    expect(page.get_by_text("Choose a run, by keyboard")).to_be_visible()
    return page


def test_rows_are_chosen_in_the_address_and_back_takes_each_step_back(page_of_three: Page) -> None:
    page = page_of_three
    click(page, CHECKBOX, 1)
    expect(page.get_by_label("Name", exact=True)).to_have_value("run charlie")
    click(page, CHECKBOX, 2)
    expect(page.get_by_text("2 runs", exact=True)).to_be_visible()
    assert page.url.count("run=") == 2
    page.go_back()
    expect(page.get_by_label("Name", exact=True)).to_have_value("run charlie")
    click(page, CHECKBOX, 3)  # to the one row that is chosen now comes another
    expect(page.get_by_text("2 runs", exact=True)).to_be_visible()
    page.get_by_role("button", name="Choose none").click()
    expect(page.get_by_text("Choose a run, by keyboard")).to_be_visible()
    click(page, CHECKBOX, 2)
    expect(page.get_by_label("Name", exact=True)).to_have_value("run alpha")


def test_title_sorts_and_a_choice_stays_with_its_run(page_of_three: Page) -> None:
    page = page_of_three
    click(page, CHECKBOX, 1)
    expect(page.get_by_label("Name", exact=True)).to_have_value("run charlie")
    click(page, NAME, 0)
    page.wait_for_url(re.compile("sort=name"))
    expect(page.get_by_label("Name", exact=True)).to_have_value("run charlie")
    click(page, CHECKBOX, 1)
    expect(page.get_by_text("2 runs", exact=True)).to_be_visible()
    click(page, CHECKBOX, 3)
    expect(page.get_by_label("Name", exact=True)).to_have_value("run alpha")
    click(page, NAME, 0)
    page.wait_for_url(re.compile("sort=name&reverse=true"))
    click(page, NAME, 0)
    page.wait_for_url(re.compile(r"/\?run=[^&]*$"))
    fill(page, "Search", "run bravo")
    expect(page.get_by_text("1 of 3 runs")).to_be_visible()
    click(page, CHECKBOX, 1)
    expect(page.get_by_text("2 runs", exact=True)).to_be_visible()  # the one that the filter hides stays chosen
    fill(page, "Search", "")
    expect(page.get_by_text("1 of 3 runs")).to_be_hidden()
    click(page, CHECKBOX, 2)
    expect(page.get_by_label("Name", exact=True)).to_have_value("run bravo")


@pytest.mark.parametrize(("item", "leads_to"), [("Resume", "resume?run="), ("Checkpoints", "checkpoints?of=")])
def test_menu_of_a_row_leads_to_the_other_pages(store: RunStore, page_of_three: Page, item: str, leads_to: str) -> None:
    page, run = page_of_three, store.runs()[1]
    click(page, CHECKBOX, 3)
    expect(page.get_by_label("Name", exact=True)).to_have_value("run bravo")
    before = page.url
    store.delete(store.runs()[0])  # the page does not know yet, and shows the rows below where they were
    click(page, MENU, 2)
    page.get_by_role("menuitem", name=item).click()
    page.wait_for_url(re.compile(re.escape(leads_to) + run.id))
    expect_settled(page)
    page.go_back()
    expect(page.get_by_label("Name", exact=True)).to_have_value("run bravo")
    assert page.url == before


def test_dialog_stays_open_while_a_run_begins(store: RunStore, server: Server, page_of_three: Page) -> None:
    page, runs = page_of_three, store.runs()
    open_page(page, f"{server.url}?run={runs[0].id}&run={runs[1].id}")
    page.get_by_role("button", name="Tag…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    set_running(new_run(store, name="another"))
    expect(page.get_by_text("Running now")).to_be_visible()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
