"""Where a team's own models are: found by file, by module or by an installed package, and never imported for that."""

import sys
from pathlib import Path

import pytest

from fashion_core.errors import ModelError
from fashion_core.models import sources
from fashion_core.models.sources import Source
from tests.support.processes import python

NOT_TO_BE_IMPORTED = "raise SystemExit('imported')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, as from the one that a server is started in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(path: Path, code: str = NOT_TO_BE_IMPORTED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    return path


def problem_of(name: str) -> str:
    with pytest.raises(ModelError) as told:
        sources.find(name)
    return str(told.value)


@pytest.mark.parametrize("named", ["my_models.py", "{folder}/my_models.py"])
def test_file_is_found_by_a_path_from_here_or_from_the_root(folder: Path, named: str) -> None:
    path = made(folder / "my_models.py")
    found = sources.find(named.format(folder=folder))
    assert (found.module, found.path.resolve(), found.root.resolve()) == ("my_models", path, folder)
    assert found.is_file


def test_file_in_the_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    path = made(folder / "my_models.py")
    assert sources.find("~/my_models.py").path == path


def test_module_in_a_package_is_found_without_importing_any_of_them(folder: Path) -> None:
    made(folder / "our_package" / "__init__.py")
    path = made(folder / "our_package" / "nets" / "__init__.py")
    deep = made(folder / "our_package" / "nets" / "small.py")
    assert sources.find("our_package.nets") == Source("our_package.nets", "our_package.nets", path)
    assert sources.find("our_package.nets.small") == Source("our_package.nets.small", "our_package.nets.small", deep)
    assert {sources.find(name).root for name in ("our_package", "our_package.nets", "our_package.nets.small")} == {
        folder
    }
    assert not [name for name in sys.modules if name.startswith("our_package")]


def test_module_in_a_folder_without_an_init_is_found(folder: Path) -> None:
    path = made(folder / "plain_folder" / "nets.py")
    assert sources.find("plain_folder.nets").path == path


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (
            "~nobody-of-this-name/my_models.py",
            "FASHION_MODELS is ~nobody-of-this-name/my_models.py, and there is no such",
        ),
        ("gone.py", "FASHION_MODELS names gone.py, and there is no such file."),
        ("folder.py", "FASHION_MODELS names folder.py, and there is no such file."),
        (
            "my-models.py",
            "FASHION_MODELS names my-models.py, which can't be imported: name the file like my_models.py.",
        ),
        ("torch.py", "FASHION_MODELS names torch.py, whose name belongs to another module: give the file another."),
        ("random.py", "FASHION_MODELS names random.py, whose name belongs to another module: give the file another."),
        ("our.gone", "FASHION_MODELS or a package names the module our.gone, and there is none: give a file"),
        ("our.nets.gone", "FASHION_MODELS or a package names the module our.nets.gone, and there is none: give a file"),
        ("gone", "FASHION_MODELS or a package names the module gone, and there is none: give a file"),
        ("no such/thing", "FASHION_MODELS or a package names the module no such/thing, and there is none: give a file"),
        ("our..nets", "FASHION_MODELS or a package names the module our..nets, and there is none: give a file"),
        (".our", "FASHION_MODELS or a package names the module .our, and there is none: give a file"),
        ("math", "The module math has no source to read: name one that is a .py file."),
        ("sys", "The module sys has no source to read: name one that is a .py file."),
        ("plain", "The module plain has no source to read: name one that is a .py file."),
    ],
)
def test_what_is_no_module_is_refused_in_one_sentence(folder: Path, named: str, told: str) -> None:
    (folder / "folder.py").mkdir()
    for path in ("my-models.py", "torch.py", "random.py", "our/__init__.py", "our/nets.py", "plain/nets.py"):
        made(folder / path)
    assert problem_of(named).startswith(told)
    assert "\n" not in problem_of(named)


def test_nothing_is_named_where_the_variable_is_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_MODELS", "  ")
    assert sources.named() == ()


def test_installed_packages_are_named_after_the_variable_and_each_once(tmp_path: Path) -> None:
    """In a process of its own: what is installed is looked up once in each."""
    for package in ("their_nets", "our_nets"):
        lines = f"[fashion_core.models]\nanything = {package}.models\nagain = {package}.models\n[other]\nx = y\n"
        made(tmp_path / f"{package}-1.0.dist-info" / "entry_points.txt", lines)
        made(
            tmp_path / f"{package}-1.0.dist-info" / "METADATA",
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        )
    code = "from fashion_core.models import sources; print(*sources.named())"
    done = python(code, FASHION_MODELS="our_nets.models", PYTHONPATH=str(tmp_path))
    assert done.stdout.split() == ["our_nets.models", "their_nets.models"], done.stderr
