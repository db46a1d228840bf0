"""One browser and one server for all tests of this folder; the store that it shows is emptied after each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from fashion_core.runs.store import RunStore
from tests.support.browsing import Server, chromium_running
from tests.support.processes import end_workers


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with chromium_running() as browser:
        yield browser


@pytest.fixture(scope="package")
def shared_server(synthetic_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_RUNS", str(folder / "runs"))
        patch.setenv("FASHION_DATA", str(synthetic_data))
        for name in ("FASHION_SLOTS", "FASHION_ACCESS"):
            patch.delenv(name, raising=False)
        server = Server(folder / "server.log")
        server.start()
    yield server
    server.kill()


@pytest.fixture
def store(shared_server: Server, synthetic_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """The store of the shared server, empty; no worker outlives the test."""
    monkeypatch.setenv("FASHION_RUNS", str(shared_server.log.parent / "runs"))
    monkeypatch.setenv("FASHION_DATA", str(synthetic_data))
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
