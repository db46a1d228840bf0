"""The Dockerfile's own commands, in a folder that stands for the image: no Docker is needed."""

import json
import re
from pathlib import Path

import pytest

from tests.deploy.test_nginx import printed
from tests.support.dockerfile import Image, context_names, read_lines
from tests.support.processes import ROOT

TORCH = "https://download.pytorch.org/whl/"


def test_image_is_for_a_cpu_unless_an_argument_says_otherwise() -> None:
    [argument] = [rest for word, rest in read_lines(ROOT / "Dockerfile") if word == "ARG"]
    assert argument == f"TORCH_INDEX={TORCH}cpu"
    assert f"--build-arg TORCH_INDEX={TORCH}cu" in (ROOT / "docs" / "deploy.md").read_text()


def test_build_gets_the_package_and_no_secrets() -> None:
    names = context_names()
    assert {".streamlit/config.toml", "app.py", "fashion_core", "pages", "pyproject.toml", "requirements.txt"} <= {
        *names
    }
    assert not [name for name in names if name == ".streamlit" or "secrets" in name]


def test_compose_mounts_the_secrets_where_the_server_looks_for_them() -> None:
    """It is started in the last WORKDIR."""
    *_, folder = (rest for word, rest in read_lines(ROOT / "Dockerfile") if word == "WORKDIR")
    compose = (ROOT / "compose.yaml").read_text()
    assert f"target: {folder}/.streamlit/secrets.toml" in compose
    [volume] = (rest for word, rest in read_lines(ROOT / "Dockerfile") if word == "VOLUME")
    assert f'["store:{volume}"]' in compose
    assert re.search(r'ports: \["127\.0\.0\.1:', compose), "this machine alone"


def test_compose_serves_at_the_name_and_the_path_of_the_proxy() -> None:
    """As the command below that proxy, which a test runs behind it."""
    found = re.search(r"FASHION_HOSTS=(\S+) fashion-core app .*--server.baseUrlPath (\S+)", printed("behind nginx"))
    assert found
    compose = (ROOT / "compose.yaml").read_text()
    assert f"FASHION_HOSTS: {found[1]}\n" in compose
    assert f"STREAMLIT_SERVER_BASE_URL_PATH: {found[2]}\n" in compose


def test_development_container_is_set_up_as_contributors_are_told() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.slow
def test_health_check_tells_whether_the_image_serves_below_a_path_too(
    image: Image, synthetic_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(image.environment, "STREAMLIT_SERVER_BASE_URL_PATH", "fashion")
    assert image.user == "1000:1000"
    assert image.run(image.health).returncode != 0
    with image.serving(Path(image.here(image.folder)), FASHION_DATA=str(synthetic_data)):
        assert image.run(image.health).returncode == 0
