"""One source archive and one environment for all tests of this folder: the archive is what the Dockerfile is given."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.dockerfile import Image, context_names, make_python
from tests.support.engines import free_ports
from tests.support.processes import ROOT


@pytest.fixture(scope="package")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository as somebody has it who has used it: secrets and runs lie in it."""
    folder = tmp_path_factory.mktemp("clone")
    for name in {*context_names(), ".gitignore", "CHANGELOG.md", "docs", "Dockerfile"}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    for name in (".streamlit/secrets.toml", "runs/run.json", ".env"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("cookie_secret = 1")
    return folder


@pytest.fixture(scope="package")
def archives(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source archive."""
    folder = tmp_path_factory.mktemp("archives")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=clone, check=True)
    [wheel], [source] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


@pytest.fixture(scope="package")
def installed_wheel(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel itself, which has the other packages of the tests' own beside it."""
    root = tmp_path_factory.mktemp("wheel") / "root"
    make_python(root)
    pip = [sys.executable, "-m", "pip", "--python", str(root / "bin" / "python")]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", str(archives[0])], check=True)
    return root


@pytest.fixture(scope="package")
def image(archives: tuple[Path, Path], clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the Dockerfile makes of the source archive, whose package is built and installed by its own `pip install`.

    Not fetched: torch, which the tests' environment has, and the two packages that build ours, which it has too.
    """
    folder = tmp_path_factory.mktemp("image")
    with tarfile.open(archives[1]) as source:
        source.extractall(folder, filter="data")
    [context] = folder.iterdir()
    shutil.copy(clone / "Dockerfile", context)
    image = Image(context, folder / "root", free_ports(1)[0], {"PIP_NO_BUILD_ISOLATION": "false"})  # that means: none
    image.build(TORCH_INDEX="https://127.0.0.1:9/nothing-is-fetched-here")
    return image
