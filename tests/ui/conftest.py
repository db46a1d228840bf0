"""A real server, which tests of what it sends and refuses ask over its sockets."""

from collections.abc import Iterator

import pytest

from fashion_core.runs.store import RunStore
from tests.benchmarks.serving import Server, serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server(module_store: RunStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), FASHION_RUNS=str(module_store.root)) as server:
        yield server
