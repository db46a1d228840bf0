"""No version that requirements.txt allows has a publicly known hole that can be reached in this app."""

import ast
import socket
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.advisories import COMMAND, ask, unanswered, verdict
from tests.support.processes import ROOT
from tests.test_architecture import MODULES, nodes

MENDED = {
    "torch": ("2.10", "CVE-2026-24747: weights_only=True let a file corrupt memory"),
    "pillow": ("13.0", "CVE-2026-96639 and GHSA-5x8w-8jj5-q52h: GIF, TIFF and JPEG files wrote beyond a buffer"),
    "pyarrow": ("14.0.1", "CVE-2023-47248: reading a file ran code"),
    "streamlit": ("1.54", "CVE-2026-33682: a request made a server on Windows log in elsewhere"),
    "filelock": ("3.20.3", "CVE-2025-68146 and CVE-2026-22701: a lock followed a symbolic link"),
    "authlib": ("1.9", "CVE-2026-27962, CVE-2026-28498 and CVE-2026-114617: forged and replayed id tokens"),
    "starlette": ("1.3.1", "CVE-2025-62727, CVE-2026-48710 and PYSEC-2026-249: slow ranges, a false host, large forms"),
    "python-multipart": ("0.0.18", "CVE-2024-53981: an upload that took all time"),
    "h11": ("0.16", "CVE-2025-43859: two requests taken for one behind a proxy"),
}
REQUIREMENTS = {
    requirement.name: requirement
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for requirement in [Requirement(line)]
}


@pytest.mark.parametrize("name", MENDED)
def test_oldest_allowed_version_is_mended(name: str) -> None:
    version, _ = MENDED[name]
    [oldest] = [bound.version for bound in REQUIREMENTS[name].specifier if bound.operator == ">="]
    assert Version(oldest) >= Version(version)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_has_a_lower_and_an_upper_bound(name: str) -> None:
    assert {bound.operator for bound in REQUIREMENTS[name].specifier} == {">=", "<"}


def test_every_library_that_the_package_imports_is_required_or_an_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [Requirement(text).name for texts in project["optional-dependencies"].values() for text in texts]
    allowed = {canonicalize_name(name) for name in (*REQUIREMENTS, *extras, "pydantic-core")}  # which pydantic pins
    imported = {entry.partition(".")[0] for name in MODULES for entry in external_imports(name)}
    assert len(imported) >= 15, f"only {imported} were found"
    distributions = {**packages_distributions(), "mlflow": ["mlflow-skinny"]}
    missing = {name for name in imported if not allowed & {*map(canonicalize_name, distributions.get(name, ()))}}
    assert missing == set()


def external_imports(module: str) -> Iterator[str]:
    """What it imports of others, in functions too, that comes not with Python."""
    for node in nodes(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        ours = {"fashion_core", "pages", "__future__"}
        yield from (name for name in names if name.partition(".")[0] not in ours | sys.stdlib_module_names)


def package(**more: object) -> dict[str, object]:
    return {"name": "pillow", "version": "11.3.0", **more}


def test_known_hole_is_told_and_fails() -> None:
    hole = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["13.0.0"]}
    status, [line] = verdict([package(vulns=[]), package(vulns=[hole])])
    assert (status, line) == (1, "pillow 11.3.0: PYSEC-1 (CVE-1), mended in 13.0.0")


def test_index_that_tells_nothing_is_said_to_have_been_skipped() -> None:
    status, [line] = verdict([package(skip_reason="not found")])
    assert (status, line.partition(":")[0]) == (0, "SKIPPED")


def test_packages_that_were_not_asked_about_are_counted() -> None:
    status, [line] = verdict([package(vulns=[]), package(skip_reason="not found")])
    assert (status, line) == (0, "Nothing is known against 1 packages; the index tells nothing about 1 others.")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All that leaves this machine goes to a port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{bound.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("closed")
def test_service_that_can_not_be_reached_is_said_to_have_been_skipped(tmp_path: Path) -> None:
    status, [line] = ask([*COMMAND, "--cache-dir", str(tmp_path)])
    assert status == 0
    assert line.startswith("SKIPPED: no service of advisories can be asked here: requests.exceptions.ProxyError")


@pytest.mark.parametrize(
    "said",
    [
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
        "requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://pypi.org/pypi/torch/2.10/json",
        "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='pypi.org', port=443): Read timed out.",
    ],
)
def test_service_that_tells_nothing_is_said_to_have_been_skipped(said: str) -> None:
    status, [line] = unanswered(f"Traceback (most recent call last):\n{said}\n")
    assert (status, line.partition(":")[0]) == (0, "SKIPPED")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-m", "no_such_pip_audit"], "No module named no_such_pip_audit"),
        ([*COMMAND, "--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        ([sys.executable, "-c", "raise MemoryError('a bug')"], "MemoryError: a bug"),
    ],
    ids=["missing", "flag", "crash"],
)
def test_question_that_could_not_be_asked_fails_with_what_was_said(command: list[str], said: str) -> None:
    status, [line] = ask(command)
    assert status == 2
    assert said in line
