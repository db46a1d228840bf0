"""Logging in with a real provider, in a real browser: who comes in, who may act, and what is noted."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from fashion_core.access import audit
from fashion_core.access.texts import EXPIRED, LOGIN_FIRST
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.browsing import (
    PATIENCE_MS,
    Server,
    expect_badge,
    fill,
    open_page,
    page_of_another_browser,
    reachable_server,
    requests_outside,
)
from tests.support.logins import ANNA, BERT, CARL, log_in, provider, shown, write_secrets
from tests.support.processes import wait_until
from tests.support.runs import new_run, set_state

pytestmark = pytest.mark.browser

LOGIN_SECONDS = (6, 12, 24)
"""How long a login lasts that is to end during a test; the next one where a busy machine took longer to draw pages."""


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with provider() as address:
        yield address


@contextmanager
def guarding(folder: Path, issuer: str, **environment: str) -> Iterator[Server]:
    """The app with a login: Anna operates, Bert looks, nobody else comes in."""
    server = Server(folder / "server.log", "--secrets.files", str(folder / "secrets.toml"))
    write_secrets(folder / "secrets.toml", server.port, issuer, [ANNA], [BERT])
    server.start(environment)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def guarded(places: dict[str, str], tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[Server]:
    with guarding(tmp_path_factory.mktemp("guarded"), issuer, **places) as server:
        yield server


@pytest.fixture
def fresh(store: RunStore, tmp_path: Path, issuer: str) -> Iterator[Server]:
    with guarding(tmp_path, issuer) as server:
        yield server


@pytest.fixture
def stopped(store: RunStore) -> Run:
    run = new_run(store, name="to be seen", epochs=2000)
    set_state(run, "stopped")
    return run


def audited(store: RunStore) -> list[tuple[str, str, str]]:
    return [(line.who, line.what, line.outcome) for line in audit.read(store.root)]


def log_out(page: Page, role: str = "viewer") -> None:
    page.get_by_text(f" · {role}").click()
    page.get_by_text("Log out").click()
    page.get_by_role("button", name="End session").click()  # the provider's own question


OTHER_PAGES = ("", "checkpoints", "resume", "predict", "lesson")


@pytest.mark.parametrize("path", ["train", *(pytest.param(path, marks=pytest.mark.slow) for path in OTHER_PAGES)])
def test_first_address_of_a_fresh_server_is_a_door(fresh: Server, stopped: Run, page: Page, path: str) -> None:
    open_page(page, f"{fresh.url}/{path}?run={stopped.id}")
    expect(page.get_by_text(LOGIN_FIRST)).to_be_visible()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.get_by_text("to be seen")).to_have_count(0)
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)


def test_viewer_sees_runs_may_not_act_and_logs_out(store: RunStore, guarded: Server, stopped: Run, page: Page) -> None:
    log_in(page, guarded, BERT)
    expect(page.get_by_text(shown(BERT, "viewer"))).to_be_visible()
    open_page(page, f"{guarded.url}/train?run={stopped.id}")
    expect(page.get_by_role("heading", name="to be seen")).to_be_visible()
    expect(page.get_by_role("button", name="Continue")).to_be_disabled()
    log_out(page)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    open_page(page, f"{guarded.url}/train?run={stopped.id}")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert audited(store) == []


def test_operator_starts_and_stops_a_run_under_their_name(store: RunStore, guarded: Server, page: Page) -> None:
    log_in(page, guarded, ANNA)
    open_page(page, f"{guarded.url}/train")
    fill(page, "Epochs", "2000")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"run="))
    expect_badge(page, "running")
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    expect_badge(page, "stopped")
    assert audited(store) == [(ANNA, "start", "done"), (ANNA, "stop", "done")]


def test_role_taken_away_while_a_dialog_is_open_refuses_its_button(
    store: RunStore, fresh: Server, stopped: Run, tmp_path: Path, issuer: str, page: Page
) -> None:
    log_in(page, fresh, ANNA)
    open_page(page, f"{fresh.url}/?run={stopped.id}")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_enabled()

    write_secrets(tmp_path / "secrets.toml", fresh.port, issuer, [], [ANNA])
    other = page_of_another_browser(page)
    log_in(other, fresh, ANNA)
    wait_until(lambda: sees(other, fresh, "viewer"), "the server has read its secrets again")
    other.close()

    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_test_id("stAlert")).to_contain_text("You are not allowed to do that")
    assert store.has(stopped.id)
    assert audited(store) == [(ANNA, "delete", "refused")]


def sees(page: Page, server: Server, word: str) -> bool:
    open_page(page, server.url)
    expect(page.get_by_text(shown(ANNA, ""))).to_be_visible()
    return page.get_by_text(shown(ANNA, word)).is_visible()


def test_who_is_in_no_list_is_told_so_and_sees_nothing(guarded: Server, stopped: Run, page: Page) -> None:
    log_in(page, guarded, CARL)
    expect(page.get_by_text("ask its owner to add you")).to_be_visible()
    expect(page.get_by_text("to be seen")).to_have_count(0)
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_text(LOGIN_FIRST)).to_be_visible()


def test_views_that_refresh_end_with_the_login(stopped: Run, tmp_path: Path, page: Page) -> None:
    """Nobody reloads: the pages find out by themselves, and offer to log in again."""
    shown = {"All runs": ("", page), "to be seen": ("train", page.context.new_page())}
    for seconds in LOGIN_SECONDS:
        with provider(timedelta(seconds=seconds)) as short, guarding(tmp_path, short) as server:
            log_in(page, server, ANNA)
            urls = {heading: f"{server.url}/{path}?run={stopped.id}" for heading, (path, _) in shown.items()}
            if not all(is_drawn(view, urls[heading], heading) for heading, (_, view) in shown.items()):
                continue
            for heading, (_, view) in shown.items():
                expect(view.get_by_text(EXPIRED)).to_be_visible(timeout=seconds * 1000 + PATIENCE_MS)
                expect(view.get_by_role("heading", name=heading)).to_have_count(0)
                view.get_by_role("button", name="Log in").click()
                expect(view.get_by_role("button", name="Authorize")).to_be_visible()
            return
    pytest.fail(f"the pages are not drawn within {LOGIN_SECONDS[-1]} seconds")


def is_drawn(page: Page, url: str, heading: str) -> bool:
    """Whether the page is before the login ends."""
    open_page(page, url)
    drawn = page.get_by_role("heading", name=heading)
    expect(drawn.or_(page.get_by_role("button", name="Log in"))).to_be_visible()
    return drawn.is_visible()


def test_page_that_hears_of_a_run_ends_once_its_viewer_is_in_no_list(
    fresh: Server, stopped: Run, tmp_path: Path, issuer: str, page: Page
) -> None:
    log_in(page, fresh, BERT)
    open_page(page, f"{fresh.url}/train?run={stopped.id}")
    expect(page.get_by_role("heading", name="to be seen")).to_be_visible()
    page.wait_for_function("document.body.value")
    write_secrets(tmp_path / "secrets.toml", fresh.port, issuer, [ANNA])
    expect(page.get_by_text("ask its owner to add you")).to_be_visible()
    expect(page.get_by_role("heading", name="to be seen")).to_have_count(0)


def test_open_tab_keeps_a_login_that_another_one_ended_until_it_is_loaded_again(
    store: RunStore, guarded: Server, stopped: Run, page: Page
) -> None:
    """The README says so where it explains logins."""
    log_in(page, guarded, ANNA)
    other = page.context.new_page()
    open_page(other, f"{guarded.url}/?run={stopped.id}")
    expect(other.get_by_role("button", name="Save")).to_be_enabled()
    log_out(page, "operator")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    other.get_by_role("button", name="Save").click()
    wait_until(lambda: audited(store) == [(ANNA, "relabel", "done")], "the open tab has acted")
    other.reload()
    expect(other.get_by_role("button", name="Log in")).to_be_visible()
    expect(other.get_by_text("to be seen")).to_have_count(0)


def test_name_of_a_person_is_shown_as_text(fresh: Server, tmp_path: Path, issuer: str, page: Page) -> None:
    name = "![i](//a.org/i.png)<b>@a.org"
    write_secrets(tmp_path / "secrets.toml", fresh.port, issuer, [ANNA], ["*"])
    asked = requests_outside(page, fresh)
    log_in(page, fresh, name)
    expect(page.get_by_text(shown(name, "viewer"))).to_be_visible()
    assert not [url for url in asked if "//a.org" in url]


@pytest.mark.parametrize("everyone", [False, True], ids=["as it comes", "FASHION_ACCESS=everyone"])
def test_shared_without_a_login(store: RunStore, tmp_path: Path, page: Page, everyone: bool) -> None:
    server = reachable_server(tmp_path / "server.log")
    server.start({"FASHION_ACCESS": "everyone"} if everyone else {})
    try:
        open_page(page, server.url)
        button = page.get_by_role("button", name="Watch it train")
        if not everyone:
            expect(page.get_by_test_id("stAlert")).to_contain_text("Read-only")
            expect(button).to_be_disabled()
            return
        button.click()
        expect_badge(page, "running")
    finally:
        server.kill()
    assert audited(store) == [(f"{urlsplit(server.url).hostname}, not logged in", "start", "done")]
