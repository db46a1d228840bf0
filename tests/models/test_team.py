"""Importing the module that lists a team's models, in a process with torch: what is wrong is one sentence."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fashion_core.config import FASHION
from fashion_core.errors import ModelError
from fashion_core.models import build_model, sources, team

GOOD = "from torch import nn\nMODELS = {'net': nn.Linear}\n"


@pytest.fixture(autouse=True)
def imported() -> Iterator[None]:
    """What a test imports is gone after it."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in sys.modules.keys() - modules:
        if not name.startswith(("torch", "numpy")):
            del sys.modules[name]
    sys.path[:] = path
    team.load.cache_clear()


def loaded(folder: Path, code: str, **others: str) -> team.Team:
    """The models of a file with this code, beside others by their names."""
    for name, text in {"nets": code, **others}.items():
        (folder / f"{name}.py").write_text(text)
    return team.load(sources.find(str(folder / "nets.py")))


def problem_of(folder: Path, code: str, **others: str) -> str:
    with pytest.raises(ModelError) as told:
        loaded(folder, code, **others)
    assert "\n" not in str(told.value)
    return str(told.value).removeprefix(f"{folder}/nets.py ")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("MODELS = {", "can't be imported: SyntaxError: '{' was never closed (nets.py, line 1)"),
        ("import no_such_package", "can't be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "can't be imported: ZeroDivisionError: division by zero"),
        ("raise ValueError('one\\ntwo\\x1b[2J')", "can't be imported: ValueError: one two"),
        ("import sys; sys.exit('not today')", "can't be imported: SystemExit: not today"),
        ("import sys; sys.exit()", "can't be imported: SystemExit: "),
        ("def again(): again()\nagain()", "can't be imported: RecursionError: "),
        ("MODELS = {'net': missing}", "can't be imported: NameError: name 'missing' is not defined"),
        ("# -*- coding: no-such -*-", "can't be imported: SyntaxError: "),
        ("import other", "can't be imported: SyntaxError: '(' was never closed (other.py, line 1)"),
        ("raise ValueError('x' * 100_000)", "can't be imported: ValueError: xxx"),
        ("", 'lists no models: give it MODELS = {"lenet": LeNet}.'),
        ("MODELS = {}", 'lists no models: give it MODELS = {"lenet": LeNet}.'),
        ("MODELS = ['net']", 'lists no models: give it MODELS = {"lenet": LeNet}.'),
        ("MODELS = {'net': 1}", "gives net as a int: give its class or a function."),
        ("MODELS = {'net': None}", "gives net as a NoneType: give its class or a function."),
        ("MODELS = {'mlp': dict}", "calls a model mlp, as this app calls one of its own: choose another."),
        ("MODELS = {'Net': dict}", "calls a model 'Net': choose a name of small letters, digits, - and _, at most 40."),
        ("MODELS = {'net ': dict}", "calls a model 'net ': choose a name of "),
        ("MODELS = {'../net': dict}", "calls a model '../net': choose a name of "),
        ("MODELS = {'net\\n': dict}", "calls a model 'net\\n': choose a name of "),
        ("MODELS = {'': dict}", "calls a model '': choose a name of "),
        (f"MODELS = {{'{'n' * 41}': dict}}", "calls a model 'nnnn"),
        ("MODELS = {1: dict}", "calls a model 1: choose a name of "),
        ("MODELS = {('a',): dict}", "calls a model ('a',): choose a name of "),
    ],
)
def test_module_that_can_not_be_used_is_one_sentence(tmp_path: Path, code: str, told: str) -> None:
    problem = problem_of(tmp_path, code, other="x = (")
    assert problem.startswith(told)
    assert problem.isprintable()
    assert len(problem) < 600


def test_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_bytes(b"x = '\xff\xfe'\0")
    with pytest.raises(ModelError, match=r"nets.py can't be imported: SyntaxError: "):
        team.load(sources.find(str(tmp_path / "nets.py")))


def test_file_that_another_module_has_imported_first_is_told_too(tmp_path: Path) -> None:
    code = f"from shared_parts import part\n{GOOD}"
    loaded(tmp_path, code, shared_parts="def part(): pass")
    (tmp_path / "second.py").write_text(code)
    found = team.load(sources.find(str(tmp_path / "second.py")))
    assert [path.name for path in found.files] == ["second.py", "shared_parts.py"]


def test_files_of_a_failed_import_are_those_in_which_it_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "other", raising=False)  # another test may have imported one of that name
    for other in ("x = (", "1 / 0"):
        with pytest.raises(ModelError) as told:
            loaded(tmp_path, "import other", other=other)
        source = sources.find(str(tmp_path / "nets.py"))
        assert [path.name for path in team.files_in(source, told.value)] == ["nets.py", "other.py"]


def test_what_it_prints_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, f"print('hello')\n{GOOD}")
    assert capsys.readouterr() == ("", "hello\n")


def test_files_beside_it_and_below_are_its_own_and_installed_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    (tmp_path / "parts" / "heads.py").touch()
    found = loaded(tmp_path, f"import other, parts.heads, numpy, torch\n{GOOD}", other="import json")
    names = {path.relative_to(tmp_path).as_posix() for path in found.files}
    assert names == {"nets.py", "other.py", "parts/__init__.py", "parts/heads.py"}


def test_what_stands_beside_it_hides_no_other_module(tmp_path: Path) -> None:
    """Its folder is the last that is searched."""
    found = loaded(
        tmp_path, f"import random, fashion_core\nrandom.random\n{GOOD}", random="1 / 0", fashion_core="1 / 0"
    )
    assert list(found.models) == ["net"]


def test_it_is_imported_once(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'times')!r}, 'a').write('x')\n{GOOD}"
    assert loaded(tmp_path, code) is loaded(tmp_path, code)
    assert (tmp_path / "times").read_text() == "x"


def test_builder_of_a_model_that_nobody_lists_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASHION_MODELS", raising=False)
    with pytest.raises(ModelError, match=r"^There is no model net here: set FASHION_MODELS to the module that "):
        team.builder("net")


def test_builder_says_why_the_module_can_not_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.py").write_text("1 / 0")
    monkeypatch.setenv("FASHION_MODELS", str(tmp_path / "nets.py"))
    with pytest.raises(ModelError, match=r"nets.py can't be imported: ZeroDivisionError: division by zero"):
        team.builder("net")
    assert build_model("mlp", 0)


@pytest.mark.parametrize(
    ("head", "taken"),
    [
        ("classes", {"classes": 10}),
        ("height, width", {"height": 28, "width": 28}),
        ("channels=3, *, depth=2", {"channels": 1, "depth": 2}),
        ("**parts", {"parts": {"channels": 1, "height": 28, "width": 28, "classes": 10}}),
        ("", {}),
    ],
)
def test_model_is_built_with_the_parts_of_the_shape_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, taken: dict[str, object]
) -> None:
    code = (
        f"from torch import nn\ndef net({head}):\n    m = nn.Linear(1, 1)\n    m.taken = dict(locals())\n    return m\n"
    )
    (tmp_path / "nets.py").write_text(f"{code}MODELS = {{'net': net}}")
    monkeypatch.setenv("FASHION_MODELS", str(tmp_path / "nets.py"))
    model = build_model("net", 0, FASHION)
    assert {key: value for key, value in vars(model)["taken"].items() if key != "m"} == taken


def test_first_weights_follow_from_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.py").write_text("from torch import nn\nMODELS = {'net': lambda: nn.Linear(2, 2)}")
    monkeypatch.setenv("FASHION_MODELS", str(tmp_path / "nets.py"))
    one, same, other = (str(build_model("net", seed).state_dict()) for seed in (3, 3, 4))
    assert one == same != other
