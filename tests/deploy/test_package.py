"""What the wheel and the source archive hold, and that what they install trains and serves from any folder."""

import json
import os
import subprocess
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from playwright.sync_api import Page, expect

from fashion_core import __version__
from fashion_core.runs.store import RunStore
from tests.support.browsing import expect_badge, open_page
from tests.support.dockerfile import Image
from tests.support.processes import ROOT, wait_for_epochs
from tests.test_advisories import REQUIREMENTS

pytestmark = pytest.mark.slow
INSIDE = "fashion_core/dashboard"
SMALLEST, LARGEST = 300_000, 1_000_000  # bytes of a wheel


def members(archives: tuple[Path, Path]) -> tuple[set[str], set[str]]:
    wheel, source = archives
    with zipfile.ZipFile(wheel) as one, tarfile.open(source) as other:
        return {*one.namelist()}, {name.partition("/")[2] for name in other.getnames()}


def test_wheel_holds_the_package_and_inside_it_the_dashboard(archives: tuple[Path, Path]) -> None:
    names, _ = members(archives)
    assert {name.partition("/")[0] for name in names} == {"fashion_core", f"fashion_core-{__version__}.dist-info"}
    ours = {path.relative_to(ROOT) for path in (ROOT / "fashion_core").rglob("*") if path.is_file()}
    pages = {path.relative_to(ROOT) for path in (ROOT / "pages").glob("*.py")}
    held = {str(path) for path in ours if path.suffix != ".pyc"} | {f"{INSIDE}/{path}" for path in pages}
    held |= {f"{INSIDE}/app.py", f"{INSIDE}/.streamlit/config.toml"}
    assert {name for name in names if name.startswith("fashion_core/")} == held
    assert SMALLEST < archives[0].stat().st_size < LARGEST


def test_no_archive_holds_secrets_or_runs(archives: tuple[Path, Path], clone: Path) -> None:
    assert (clone / ".streamlit" / "secrets.toml").exists()
    for names in members(archives):
        assert not [name for name in names if "secrets" in name or ".env" in name or "runs/run.json" in name]


def test_package_needs_what_requirements_txt_says(archives: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(archives[0]) as wheel:
        metadata = message_from_bytes(wheel.read(f"fashion_core-{__version__}.dist-info/METADATA"))
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", ())]
    always = {one.name: one.specifier for one in needed if one.marker is None}
    assert always == {one.name: one.specifier for one in REQUIREMENTS.values()}
    assert (metadata["Version"], metadata["License-Expression"]) == (__version__, "Apache-2.0")


def test_wheel_itself_is_all_that_the_command_needs(installed_wheel: Path, elsewhere: Path) -> None:
    command = [str(installed_wheel / "bin" / "fashion-core"), "runs"]
    variables = {**os.environ, "FASHION_RUNS": str(elsewhere / "runs")}
    done = subprocess.run(command, cwd=elsewhere, env=variables, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    [package] = installed_wheel.glob("lib/python3*/site-packages/fashion_core")
    assert (package / "dashboard" / "app.py").exists()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder outside the clone, whose modules are called like ours and like Python's."""
    for name in ("fashion_core/__init__.py", "pages/__init__.py", "random.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('not this one')")
    return tmp_path


def installed(image: Image, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = {name: os.environ[name] for name in ("FASHION_RUNS", "FASHION_DATA")}
    command = [str(image.root / "bin" / "fashion-core"), *arguments]
    variables = {**image.variables(), **places}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("store")
def test_installed_command_trains_from_any_folder_and_tells_its_own_name(image: Image, elsewhere: Path) -> None:
    done = installed(image, elsewhere, "train", "--train-images", "640", "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "finished"
    assert "or with `fashion-core runs`." in installed(image, elsewhere, "show", "x").stderr
    assert installed(image, elsewhere, "--help").stdout.startswith("usage: fashion-core ")


@pytest.mark.browser
def test_installed_dashboard_has_its_colours_and_trains_from_any_folder(
    image: Image, elsewhere: Path, store: RunStore, page: Page
) -> None:
    with image.serving(elsewhere, **{name: os.environ[name] for name in ("FASHION_RUNS", "FASHION_DATA")}) as url:
        open_page(page, url)
        button = page.get_by_role("button", name="Watch it train")
        expect(button).to_have_css("background-color", "rgb(0, 114, 178)")  # of config.toml
        button.click()
        expect_badge(page, "running")
        expect(page.get_by_text("Images per second")).to_be_visible()
        expect(page.get_by_role("button", name="Deploy")).not_to_be_attached()
    [run] = store.runs()
    wait_for_epochs(run, 1)  # training outlives the server
