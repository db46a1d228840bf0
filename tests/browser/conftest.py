"""One browser and one server for all tests of this folder; the store that it shows is emptied after each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from fashion_core.runs.store import RunStore
from tests.benchmarks.serving import serving
from tests.support.browsing import Server, chromium_running
from tests.support.processes import end_workers

QUICK = {"test_one_button_trains_a_first_run"}
"""Enough to see that browser, server and worker meet. The others are slow."""


@pytest.hookimpl(tryfirst=True)  # before slow tests are skipped
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name not in QUICK:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package")
def chromium() -> Iterator[BrowserContext]:
    with chromium_running() as browser:
        yield browser


@pytest.fixture(scope="package")
def places(synthetic_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"FASHION_RUNS": str(tmp_path_factory.mktemp("browser") / "runs"), "FASHION_DATA": str(synthetic_data)}


@pytest.fixture(scope="package")
def shared_server(places: dict[str, str]) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FASHION_SLOTS", "FASHION_ACCESS", "FASHION_HOSTS"):
            patch.delenv(name, raising=False)
        with serving(Path(places["FASHION_RUNS"]).parent, **places) as server:
            yield server


@pytest.fixture
def store(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """The store of all servers, empty; no worker outlives the test."""
    for name, place in places.items():
        monkeypatch.setenv(name, place)
    store = RunStore()
    shutil.rmtree(store.root, ignore_errors=True)
    yield store
    end_workers(store)
    shutil.rmtree(store.root, ignore_errors=True)


@pytest.fixture
def server(shared_server: Server, store: RunStore) -> Server:
    """Started again where a test has ended it."""
    if not shared_server.answers():
        shared_server.start()
    return shared_server
