"""axe-core on every page: nothing serious or moderate, in light and dark, on a desk and on a phone."""

import shutil

import pytest
from playwright.sync_api import Page, expect

from fashion_core.resume.plan import ResumeRequest, create
from fashion_core.runs.store import RunStore
from tests.support import axe
from tests.support.browsing import Server, expect_settled, open_page
from tests.support.runs import finish, new_run, resume, set_state, trained

pytestmark = pytest.mark.browser

FILE, MODEL = "checkpoints?run={parent}&epoch=1&show=", "predict?run={parent}&epoch=1&view="
OPEN_ALL = "() => document.querySelectorAll('details:not([open]) > summary').forEach((summary) => summary.click())"
HELPED = "resume?view=Did+resuming+help%3F"
PLACES = {
    "Overview": ("", "?run={child}"),
    "Train": ("train", "train?run={parent}", "train?run={child}", "train?run={stopped}"),
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
    stopped = new_run(module_store, name="stopped")
    several = create(module_store, parent, [ResumeRequest(0, 1, {"learning_rate": rate}) for rate in (0.1, 0.2)])
    for run in (stopped, *several):
        set_state(run, "stopped")
    group = several[0].record.resumption
    assert group
    assert group.group
    runs = {"parent": parent, "lesson": lesson, "child": child, "stopped": stopped}
    return {"group": group.group, **{name: run.id for name, run in runs.items()}}


@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing(
    module_store: RunStore, names: dict[str, str], store: RunStore, server: Server, page: Page, name: str
) -> None:
    shutil.copytree(module_store.root, store.root, dirs_exist_ok=True)
    found: dict[str, list[str]] = {}
    for place in PLACES[name]:
        page.set_viewport_size({"width": 1280, "height": 900})
        open_page(page, f"{server.url}/{place.format(**names)}")
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        expect_settled(page)
        page.evaluate(OPEN_ALL)
        expect(page.locator("details:not([open])")).to_have_count(0)
        expect(page.get_by_test_id("stSpinner")).to_have_count(0)
        expect_settled(page)
        found |= {f"{place}, {where}": broken for where, broken in axe.violations(page).items()}
    print("", *(f"{len(broken)} on /{where}" for where, broken in found.items()), sep="\n")
    assert {where: broken for where, broken in found.items() if broken} == {}
