"""How often each thing is broken, and the table of what was survived: ``python -m pytest tests/faults --full``."""

import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.workers import Nursery, nursery

LONGEST_SECONDS = 3600
SURVIVED = "survived"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The full form of a test may take long."""
    for item in items:
        if config.getoption("--full") and item.path.is_relative_to(Path(__file__).parent):
            longest = pytest.mark.timeout(LONGEST_SECONDS)
            item.add_marker(longest, append=False)  # before its own, which is for few rounds


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """What is left to chance can be drawn again: the report of a failing test tells its seed."""
    given = request.config.getoption("--seed")
    seed = secrets.randbelow(1 << 32) if given is None else given
    random.seed(seed)
    request.node.add_report_section("setup", "seed", f"--seed {seed} draws the same again")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Chooses between a short number of rounds and the full one."""
    full = request.config.getoption("--full")
    return lambda few, many: many if full else few


@pytest.fixture
def survived(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes one line for the table: what was broken, how often, and what came of it."""
    return lambda line: request.node.user_properties.append((SURVIVED, line))


@pytest.fixture
def forked() -> Iterator[Nursery]:
    """Workers that train at once, for they are forked from a process that has imported torch."""
    with nursery() as found:
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [(report.nodeid, line) for report in reports for key, line in report.user_properties if key == SURVIVED]
    if lines:
        terminalreporter.section("What it survived")
    for test, line in lines:
        terminalreporter.write_line(f"{test.rpartition('::')[2]}\n    {line}")
