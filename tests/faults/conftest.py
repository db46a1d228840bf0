"""How often each thing is broken, and the table of results: ``python -m pytest tests/faults --full``."""

import random
import secrets
from pathlib import Path

import pytest

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.faults.lives import SURVIVED, Tally, settings
from tests.support.runs import trained

LONGEST_SECONDS = 3600


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if config.getoption("--full") and item.path.is_relative_to(Path(__file__).parent):
            longest = pytest.mark.timeout(LONGEST_SECONDS)
            item.add_marker(longest, append=False)  # before its own, which is for few rounds


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    given = request.config.getoption("--seed")
    seed = secrets.randbelow(1 << 32) if given is None else given
    random.seed(seed)
    request.node.add_report_section("setup", "seed", f"--seed {seed} draws the same again")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    return Tally(request.config.getoption("--full"), request.node)


@pytest.fixture(scope="module")
def straight(module_store: RunStore, request: pytest.FixtureRequest) -> Run:
    return trained(module_store, **settings(request.config.getoption("--full")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [(report.nodeid, line) for report in reports for key, line in report.user_properties if key == SURVIVED]
    if lines:
        terminalreporter.section("What it survived")
    for test, line in lines:
        terminalreporter.write_line(f"{test.rpartition('::')[2]}\n    {line}")
