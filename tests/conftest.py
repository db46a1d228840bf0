"""Fixtures: an empty store of runs, the synthetic garments, the real dataset if present, a server and a browser.

Nothing here imports torch or the browser's library: only the tests that need them pay for that.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from fashion_core.data import fashion_mnist, images
from fashion_core.data.description import BUILT_IN
from fashion_core.runs.store import RunStore
from tests.support.processes import ROOT, end_workers

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.faults.workers import Nursery
    from tests.support.browsing import Server

settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of torch that wait for each other would take the other core

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # a test may multiply before ``devices.make_reproducible`` sets it

_GIVEN = os.environ.get("FASHION_DATA")  # before any fixture sets it
_MAIN = sys.modules["__main__"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="tests/faults: as many rounds as the README says")
    parser.addoption("--seed", type=int, help="tests/faults: draw the same again as a failed test did")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests unless in CI, or asked for by ``-m slow`` or ``--full``; begin with the longest."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)  # at the end, one core would wait for them
    if os.environ.get("CI") == "true" or "slow" in config.getoption("-m") or config.getoption("--full"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: set CI=true or use -m slow to run it"))


@pytest.fixture(autouse=True)
def main_module_restored() -> Iterator[None]:
    """AppTest leaves a page as ``__main__``, which every process forked later would run: also from a wider fixture."""
    sys.modules["__main__"] = _MAIN
    yield
    sys.modules["__main__"] = _MAIN


@pytest.fixture(scope="session")
def synthetic_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that holds the synthetic garments and nothing else, drawn once for all workers of pytest-xdist."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "synthetic"
    with pytest.MonkeyPatch.context() as patch, FileLock(f"{folder}.lock"):
        patch.setenv("FASHION_DATA", str(folder))
        images.read(BUILT_IN["synthetic"])
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A data folder with the official files: that of FASHION_DATA, else the app's own, else one beside the clone."""
    beside = ROOT.parent / "shared" / "fashion-mnist"
    for folder in [Path(_GIVEN)] if _GIVEN else [ROOT / "data", beside]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FASHION_DATA", str(folder))
            if fashion_mnist.are_present():
                return folder
    return pytest.skip("Fashion-MNIST is not here: put its four files into data/, or press Download in the app")


@pytest.fixture
def store(tmp_path: Path, synthetic_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """An empty store that commands and workers use too; no worker outlives the test."""
    monkeypatch.setenv("FASHION_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("FASHION_DATA", str(synthetic_data))
    monkeypatch.delenv("FASHION_SLOTS", raising=False)
    monkeypatch.delenv("FASHION_LAUNCHER", raising=False)
    monkeypatch.delenv("FASHION_ACCESS", raising=False)
    monkeypatch.delenv("FASHION_HOSTS", raising=False)
    store = RunStore()
    yield store
    end_workers(store)


@pytest.fixture(scope="module")
def module_store(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Iterator[RunStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(synthetic_data))
        store = RunStore(tmp_path_factory.mktemp("runs"))
        yield store
        end_workers(store)


@pytest.fixture
def forked() -> "Iterator[Nursery]":
    """Workers that train at once: they are forked from a process that has imported torch."""
    from tests.faults.workers import nursery

    with nursery() as found:
        yield found


@pytest.fixture
def server(store: RunStore, tmp_path: Path) -> "Iterator[Server]":
    from tests.benchmarks.serving import serving

    with serving(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> "Iterator[BrowserContext]":
    from tests.support.browsing import chromium_running

    with chromium_running() as browser:
        yield browser


@pytest.fixture
def page(chromium: "BrowserContext") -> "Iterator[Page]":
    """A page in a browser that has forgotten all pages before."""
    from tests.support.browsing import forget

    yield chromium.new_page()
    forget(chromium)
