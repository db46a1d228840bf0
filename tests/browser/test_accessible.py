"""axe-core on every page: nothing serious or moderate, in light and dark, on a desk and on a phone."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fashion_core.resume.plan import ResumeRequest, create
from fashion_core.runs.schema import Drill
from fashion_core.runs.store import RunStore
from tests.support import axe
from tests.support.browsing import Server, expect_settled, open_page, reachable_server
from tests.support.logins import write_secrets
from tests.support.runs import another, finish, new_run, resume, set_state, trained

pytestmark = pytest.mark.browser

FILE, MODEL = "checkpoints?run={parent}&epoch=1&show=", "predict?run={parent}&epoch=1&view="
OPEN_ALL = "() => document.querySelectorAll('details:not([open]) > summary').forEach((summary) => summary.click())"
PHONES = "QR code for phones"
HELPED = "resume?view=Helped"
BOTH = "?run={parent}&run={child}"
PLACES = {  # addresses, some with a button that opens a dialog there
    "First screen": ("",),
    "Overview": ("", "?run={child}", "?run={parent} Delete…", f"{BOTH}&show=Overlay+curves", f"{BOTH}&show=Compare"),
    "Tags": (f"{BOTH} Tag…",),
    "Train": ("train", "train?run={parent}", "train?run={child}", "train?run={stopped}", "train?run={drilled}"),
    "Checkpoints": ("checkpoints", "checkpoints?view=Import", "checkpoints?view=Verify+and+tidy+up&of={parent}"),
    "a file": tuple(
        f"{FILE}{part}" for part in ("Look+inside", "Five+ways", "In+plain+PyTorch", "Compare", "Download")
    ),
    "Resume": (
        "resume?run={parent}&epoch=1",
        "resume?group={group}",
        "resume?view=Lineage",
        HELPED,
        HELPED + "&focus={child}",
    ),
    "Predict": tuple(f"{MODEL}{view}" for view in ("Test+images&image=3", "Your+images", "Checkpoint+history")),
    "Evaluation": tuple(f"{MODEL}{view}" for view in ("Evaluation&cell=0-6", "Two+models", "In+plain+PyTorch")),
    "Present": ("?present=1", "train?run={child}&present=1", HELPED + "&present=1"),
    "Lesson": ("lesson", "lesson?run={lesson}"),
}


@pytest.fixture(scope="module")
def names(module_store: RunStore) -> dict[str, str]:
    """What the addresses name: runs in ``module_store``, of every kind that a page shows differently."""
    parent, lesson = (trained(module_store, name=name, epochs=2, optimizer="adam") for name in ("base", "Lesson"))
    child = finish(resume(module_store, parent, 0, 1, learning_rate=0.01))
    finish(resume(module_store, lesson, 0, 1, name="Lesson, resumed"))
    drilled = finish(another(module_store, parent))
    drilled.write_drill(Drill(killed=0, pid=4242, epoch=0, batch=5, continued=True))
    stopped = new_run(module_store, name="stopped")
    several = create(module_store, parent, [ResumeRequest(0, 1, {"learning_rate": rate}) for rate in (0.1, 0.2)])
    for run in (stopped, *several):
        set_state(run, "stopped")
    group = several[0].record.resumption
    assert group
    assert group.group
    runs = {"parent": parent, "lesson": lesson, "child": child, "stopped": stopped, "drilled": drilled}
    return {"group": group.group, **{name: run.id for name, run in runs.items()}}


def broken_at(page: Page, url: str) -> dict[str, list[str]]:
    """What axe finds at this address, all expanders open, and the dialog of the button that is named after it."""
    address, _, button = url.partition(" ")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")
    open_page(page, address)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect_settled(page)
    page.evaluate(OPEN_ALL)
    expect(page.locator("details:not([open])")).to_have_count(0)
    expect(page.get_by_test_id("stSpinner")).to_have_count(0)
    expect_settled(page)
    if button:
        if button == PHONES:
            page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("dialog").get_by_role("button")).not_to_have_count(0)
        expect_settled(page)
    return {f"{url}, {look}": broken for look, broken in axe.violations(page).items()}


def expect_nothing(found: dict[str, list[str]]) -> None:
    print("", *(f"{len(broken)} at {where}" for where, broken in found.items()), sep="\n")
    assert {where: broken for where, broken in found.items() if broken} == {}


@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing(
    module_store: RunStore, names: dict[str, str], store: RunStore, server: Server, page: Page, name: str
) -> None:
    if name != "First screen":
        shutil.copytree(module_store.root, store.root, dirs_exist_ok=True)
    found: dict[str, list[str]] = {}
    for place in PLACES[name]:
        found |= broken_at(page, f"{server.url}/{place.format(**names)}")
    expect_nothing(found)


def test_axe_finds_nothing_where_a_server_is_shared(store: RunStore, tmp_path: Path, page: Page) -> None:
    """The way in for a room's phones, and the page on which people log in."""
    secrets = tmp_path / "secrets.toml"
    server = reachable_server(tmp_path / "server.log", "--secrets.files", str(secrets))
    server.start()
    try:
        found = broken_at(page, f"{server.url}/?present=1 {PHONES}")
        write_secrets(secrets, server.port, "http://localhost")
        found |= broken_at(page, f"{server.url}/")
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
    finally:
        server.kill()
    expect_nothing(found)
